//! The one program of the firmware.
fn main() {}
