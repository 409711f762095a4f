//! What the fuzz targets do with their bytes.
//!
//! A body takes any bytes and asserts what must hold for all of them; a broken promise is a panic. libFuzzer calls
//! them from `tests/fuzz/fuzz_targets` (`make fuzz`); `cargo test` calls them with the corpora in
//! `tests/fuzz/corpus` and with pseudo-random bytes, so that what a fuzzer found once stays found on stable.

mod bytes;
mod codecs;
mod config;
mod console;
mod dialogues;
mod flash;
mod memory;

pub use codecs::{fuzz_frames, fuzz_heartbeat, fuzz_http, fuzz_kmsg, fuzz_wire};
pub use config::{fuzz_blob, fuzz_braces, fuzz_config, fuzz_seal};
pub use console::fuzz_console;
pub use dialogues::fuzz_dialogues;
pub use flash::{fuzz_records, fuzz_slots};

/// A target: the name of its file in `fuzz_targets` and of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("blob", fuzz_blob),
    ("braces", fuzz_braces),
    ("config", fuzz_config),
    ("console", fuzz_console),
    ("dialogues", fuzz_dialogues),
    ("frames", fuzz_frames),
    ("heartbeat", fuzz_heartbeat),
    ("http", fuzz_http),
    ("kmsg", fuzz_kmsg),
    ("records", fuzz_records),
    ("seal", fuzz_seal),
    ("slots", fuzz_slots),
    ("wire", fuzz_wire),
];
