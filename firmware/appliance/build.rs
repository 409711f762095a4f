//! Linker options that keep the flashed program small. Only for musl, which is what is flashed.

use std::env;
use std::process::Command;

/// First Rust whose own musl (1.2.5) applies relative relocations in packed form at start; with an older one the
/// program would not start.
const PACKED_RELOCATIONS_SINCE: u32 = 93;

fn main() {
    println!("cargo::rerun-if-changed=link.ld");
    let var = |name: &str| env::var(name).unwrap_or_default();
    if var("CARGO_CFG_TARGET_ENV") != "musl" || var("PROFILE") != "release" {
        return;
    }
    // A panic aborts and a crash is told by its message, so nothing ever reads the unwind tables (0.4 MB).
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}/link.ld", var("CARGO_MANIFEST_DIR"));
    println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    if minor_version(&var("RUSTC")) >= PACKED_RELOCATIONS_SINCE {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// 95 of `rustc 1.95.0 (...)`; 0 when the compiler does not say.
fn minor_version(rustc: &str) -> u32 {
    let output = Command::new(rustc).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(0)
}
