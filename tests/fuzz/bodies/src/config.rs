//! Configuration as text and as a stored blob.

use director_core::cli::seal::{Opener, SALT_BYTES, Sealer};
use director_core::cli::text::load::ERRORS_MAX;
use director_core::cli::{export_braces, export_set_lines, parse_set_lines, parse_text, refused_values};
use director_core::model::Config;
use director_core::model::validate::{Severity, validate};
use director_core::store::{Commit, blob};
use std::sync::{LazyLock, Mutex};

/// `set` lines: any text is refused or read; what was read is exported as text that means the same, and survives the
/// flash.
pub fn fuzz_config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match parse_set_lines(&text) {
        Ok(config) if sampled(data) => {
            round_trip(&config);
            stored(&config);
            drop(validate(&config));
        }
        Ok(_) => {}
        Err(errors) => {
            assert!(!errors.is_empty(), "refused without a reason");
            let lines = text.lines().count().max(1);
            for error in errors {
                assert!((1..=lines).contains(&error.line) && error.column > 0, "{error}");
                assert!(!error.message.is_empty());
            }
        }
    }
}

/// Text of either form: refused with places, or read; what was read is exported with braces that mean the same.
pub fn fuzz_braces(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match parse_text(&text) {
        Ok(_) if !sampled(data) => {}
        Ok(config) => {
            let again = export_braces(&config);
            assert_eq!(parse_text(&again).as_ref(), Ok(&without_secrets(&config)), "{again}");
        }
        Err(wrong) => {
            assert!(wrong.count() > 0, "refused without a reason");
            assert!(wrong.errors.len() <= ERRORS_MAX);
            let lines = text.lines().count().max(1);
            for error in wrong.errors {
                assert!((1..=lines).contains(&error.line) && error.column > 0, "{error}");
                assert!(!error.message.is_empty());
            }
        }
    }
}

/// Whether what costs most is done with an input: with one of four, so that a fuzzer comes to more of them.
fn sampled(data: &[u8]) -> bool {
    crc32fast::hash(data).is_multiple_of(4)
}

/// The set lines leave secrets out and nothing else.
fn without_secrets(config: &Config) -> Config {
    parse_set_lines(&export_set_lines(config)).expect("an export is read")
}

/// The end of a sealed secret: any text is refused, as only what was sealed opens.
pub fn fuzz_seal(data: &[u8]) {
    const PASSPHRASE: &str = "correct horse battery";
    static SEALED: LazyLock<String> = LazyLock::new(|| {
        Sealer::new(PASSPHRASE, [7; SALT_BYTES]).and_then(|mut s| s.seal("place", "secret")).expect("memory")
    });
    // One for all runs: it keeps its keys, which cost most.
    static OPENER: LazyLock<Mutex<Opener>> = LazyLock::new(|| Mutex::new(Opener::new(PASSPHRASE.to_owned())));
    let text = String::from_utf8_lossy(data);
    let keep = usize::from(data.first().copied().unwrap_or(0)) % SEALED.len();
    let token = format!("{}{text}", SEALED.get(..keep).unwrap_or_default());
    let opened = OPENER.lock().expect("no run panicked").open("place", &token);
    if token == *SEALED {
        assert_eq!(opened.as_deref(), Ok("secret"));
    } else {
        assert!(opened.is_err(), "{token} opens");
    }
}

/// A blob from the flash: any bytes are refused or read; what was read is encoded to something that reads the same,
/// and what is also valid, and has no value that the table refuses, can be exported.
pub fn fuzz_blob(data: &[u8]) {
    let (schema, payload) = match data.split_first() {
        Some((first, rest)) if first % 8 == 7 => (u16::from(*first), rest),
        Some((_, rest)) => (blob::SCHEMA, rest),
        None => (blob::SCHEMA, data),
    };
    let Ok(commit) = blob::decode(schema, payload) else { return };
    stored(&commit.config);
    let valid = validate(&commit.config).iter().all(|finding| finding.severity != Severity::Error);
    if valid && refused_values(&commit.config).is_empty() {
        round_trip(&commit.config);
    }
}

fn round_trip(config: &Config) {
    let text = export_set_lines(config);
    match parse_set_lines(&text) {
        // A secret is left out, and a remark says so.
        Ok(again) if text.lines().any(|line| line.starts_with('#')) => {
            let lines = |text: &str| -> Vec<String> {
                text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
            };
            assert_eq!(
                lines(&export_set_lines(&again)),
                lines(&text),
                "the export means something else:\n{text}"
            );
        }
        Ok(again) => assert_eq!(&again, config, "the export means something else:\n{text}"),
        Err(errors) => panic!("the export is refused: {errors:?}\n{text}"),
    }
}

fn stored(config: &Config) {
    let commit = Commit { config: config.clone(), at_unix_s: 7, ..Commit::default() };
    let payload = blob::encode(&commit);
    if payload.len() <= usize::try_from(director_core::store::layout::PAYLOAD_MAX).unwrap_or(usize::MAX) {
        assert_eq!(blob::decode(blob::SCHEMA, &payload), Ok(commit));
    }
}
