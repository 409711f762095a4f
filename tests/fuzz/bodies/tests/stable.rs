//! The corpora and pseudo-random inputs through every body, on any toolchain.

use director_fuzz_bodies::TARGETS;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Inputs of each target beside its corpus.
const INPUTS: usize = 10_000;
/// Most bytes of an input made here.
const BYTES_MAX: usize = 2048;

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/fuzz").to_owned()
}

/// The files of a target's corpus, in the order of their names.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fuzz_folder().join("corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a corpus file"))).collect()
}

/// xorshift64*: the same numbers on every machine.
struct Prng(u64);

impl Prng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).expect("64 bits") % end.max(1)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// A few changes to a known input, or bytes from nothing.
    fn input(&mut self, seeds: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
        if self.below(8) == 0 || seeds.is_empty() {
            let length = self.below(64);
            return (0..length).map(|_| self.byte()).collect();
        }
        let mut bytes = seeds[self.below(seeds.len())].1.clone();
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len());
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = self.byte(),
                2 => bytes.truncate(at),
                3 => {
                    let new = self.byte();
                    bytes.insert(at.min(bytes.len()), new);
                }
                4 => {
                    // Goes on with the rest of another.
                    let other = &seeds[self.below(seeds.len())].1;
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[self.below(other.len() + 1)..]);
                }
                _ => {
                    let end = (at + self.below(32)).min(bytes.len());
                    bytes.drain(at.min(end)..end);
                }
            }
        }
        bytes.truncate(BYTES_MAX);
        bytes
    }
}

fn random_inputs(target: &str) {
    let (_, body) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    let seeds = corpus(target);
    let mut prng = Prng(0x00D1_4EC7_0400_0001);
    for number in 0..INPUTS {
        let input = prng.input(&seeds);
        let shown = input.clone();
        let result = std::panic::catch_unwind(|| body(&input));
        assert!(result.is_ok(), "input {number} of {target}: {:?}", String::from_utf8_lossy(&shown));
    }
}

#[test]
fn every_corpus_file_keeps_the_promises_of_its_target() {
    for (target, body) in TARGETS {
        let files = corpus(target);
        assert!(!files.is_empty(), "{target} has no corpus");
        for (path, bytes) in files {
            let result = std::panic::catch_unwind(|| body(&bytes));
            assert!(result.is_ok(), "{}", path.display());
        }
    }
}

#[test]
fn corpora_are_small_enough_for_the_tree() {
    for (target, _) in TARGETS {
        let bytes: usize = corpus(target).iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(bytes <= 64 * 1024, "{target}: {bytes} bytes; cargo fuzz cmin, and keep the small ones");
    }
}

#[test]
fn every_target_has_a_program_and_every_program_a_body() {
    let folder = fuzz_folder().join("fuzz_targets");
    let programs: BTreeSet<String> = std::fs::read_dir(folder)
        .expect("fuzz_targets")
        .map(|entry| entry.expect("entry").path().file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    assert_eq!(programs, TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect());
}

macro_rules! ten_thousand {
    ($($test:ident $target:literal;)*) => {$(
        #[test]
        fn $test() {
            random_inputs($target);
        }
    )*};
}

ten_thousand! {
    blobs_keep_their_promises "blob";
    braces_keep_their_promises "braces";
    configurations_keep_their_promises "config";
    consoles_keep_their_promises "console";
    dhcp_answers_keep_their_promises "dhcp";
    answers_to_checks_keep_their_promises "dialogues";
    frames_keep_their_promises "frames";
    http_answers_keep_their_promises "http";
    heartbeats_keep_their_promises "heartbeat";
    persistent_lists_keep_their_promises "kept";
    log_records_keep_their_promises "kmsg";
    password_hashes_keep_their_promises "login";
    page_requests_keep_their_promises "page";
    flash_records_keep_their_promises "records";
    sealed_secrets_keep_their_promises "seal";
    sessions_keep_their_promises "session";
    flash_slots_keep_their_promises "slots";
    sync_messages_keep_their_promises "table";
    tls_servers_keep_their_promises "tls";
    serial_lines_keep_their_promises "transfer";
    wire_frames_keep_their_promises "wire";
}
