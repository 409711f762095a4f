//! The one program of the firmware.
#[cfg_attr(not(test), expect(dead_code, reason = "called by the entry points, which come next"))]
mod platform;

fn main() {}
