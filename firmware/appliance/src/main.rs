//! The one program of the firmware.
mod platform;

fn main() {}
