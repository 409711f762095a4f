//! Configuration as text and as a stored blob.

use director_core::cli::{export_set_lines, parse_set_lines};
use director_core::model::Config;
use director_core::model::validate::{Severity, validate};
use director_core::store::{Commit, blob};

/// `set` lines: any text is refused or read; what was read is exported as text that means the same, and survives the
/// flash.
pub fn fuzz_config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match parse_set_lines(&text) {
        Ok(config) => {
            round_trip(&config);
            stored(&config);
            drop(validate(&config));
        }
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

/// A blob from the flash: any bytes are refused or read; what was read is encoded to something that reads the same,
/// and what is also valid can be exported.
pub fn fuzz_blob(data: &[u8]) {
    let (schema, payload) = match data.split_first() {
        Some((first, rest)) if first % 8 == 7 => (u16::from(*first), rest),
        Some((_, rest)) => (blob::SCHEMA, rest),
        None => (blob::SCHEMA, data),
    };
    let Ok(commit) = blob::decode(schema, payload) else { return };
    stored(&commit.config);
    if validate(&commit.config).iter().all(|finding| finding.severity != Severity::Error) {
        round_trip(&commit.config);
    }
}

fn round_trip(config: &Config) {
    let text = export_set_lines(config);
    match parse_set_lines(&text) {
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
