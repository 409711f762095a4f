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
mod network;
mod pair;
mod segments;
mod tls;

pub use codecs::{fuzz_frames, fuzz_heartbeat, fuzz_http, fuzz_kmsg, fuzz_login, fuzz_transfer, fuzz_wire};
pub use config::{fuzz_blob, fuzz_braces, fuzz_config, fuzz_seal};
pub use console::fuzz_console;
pub use dialogues::fuzz_dialogues;
pub use flash::{fuzz_kept, fuzz_records, fuzz_slots};
pub use network::{fuzz_dhcp, fuzz_page};
pub use pair::{fuzz_session, fuzz_table};
pub use segments::fuzz_segments;
pub use tls::fuzz_tls;

/// A target: the name of its file in `fuzz_targets` and of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("blob", fuzz_blob),
    ("braces", fuzz_braces),
    ("config", fuzz_config),
    ("console", fuzz_console),
    ("dhcp", fuzz_dhcp),
    ("dialogues", fuzz_dialogues),
    ("frames", fuzz_frames),
    ("heartbeat", fuzz_heartbeat),
    ("http", fuzz_http),
    ("kept", fuzz_kept),
    ("kmsg", fuzz_kmsg),
    ("login", fuzz_login),
    ("page", fuzz_page),
    ("records", fuzz_records),
    ("seal", fuzz_seal),
    ("segments", fuzz_segments),
    ("session", fuzz_session),
    ("slots", fuzz_slots),
    ("table", fuzz_table),
    ("tls", fuzz_tls),
    ("transfer", fuzz_transfer),
    ("wire", fuzz_wire),
];
