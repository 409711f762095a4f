//! How an answer is compared with what was wanted.

use super::super::words::quote;
use crate::model::check::Compare;
use crate::model::text::Escaped;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What an answer must hold.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    compare: Compare,
    wanted: Vec<u8>,
    /// Of [`Compare::Regex`]; `None` for one that does not compile, which validation refuses.
    regex: Option<regex_lite::Regex>,
}

/// What the answer so far means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Match {
    /// It fits; the bytes up to here are used up.
    Yes(usize),
    /// It may fit with more.
    NotYet,
    /// It cannot fit any more.
    Never,
}

impl Pattern {
    pub(crate) fn new(wanted: &Escaped, compare: Compare) -> Self {
        let wanted = wanted.bytes();
        let regex = (compare == Compare::Regex).then(|| compile(&wanted).ok()).flatten();
        Self { compare, wanted, regex }
    }

    /// Judges the bytes so far; `whole` when no more will come.
    pub(crate) fn judge(&self, have: &[u8], whole: bool) -> Match {
        let fits = match self.compare {
            Compare::Contains => find(have, &self.wanted).map(|at| at.saturating_add(self.wanted.len())),
            Compare::Prefix => {
                if !have.iter().zip(&self.wanted).all(|(a, b)| a == b) {
                    return Match::Never;
                }
                (have.len() >= self.wanted.len()).then_some(self.wanted.len())
            }
            Compare::Glob => {
                let trimmed = have.strip_suffix(b"\n").unwrap_or(have);
                let trimmed = trimmed.strip_suffix(b"\r").unwrap_or(trimmed);
                glob(&self.wanted, trimmed).then_some(have.len())
            }
            Compare::Regex => {
                let text = String::from_utf8_lossy(have);
                self.regex.as_ref().is_some_and(|regex| regex.is_match(&text)).then_some(have.len())
            }
        };
        match fits {
            Some(used) => Match::Yes(used),
            None if whole => Match::Never,
            None => Match::NotYet,
        }
    }

    /// Words for an answer that does not fit.
    pub(crate) fn complaint(&self, have: &[u8]) -> String {
        let how = match self.compare {
            Compare::Contains => "text",
            Compare::Prefix => "beginning",
            Compare::Glob => "pattern",
            Compare::Regex => "expression",
        };
        format!("answered {}, wanted the {how} {}", quote(have), quote(&self.wanted))
    }
}

fn compile(wanted: &[u8]) -> Result<regex_lite::Regex, String> {
    /// Chosen: a hundred times what a line of pattern needs; keeps a nested repetition from filling the memory.
    const REGEX_BYTES_MAX: usize = 128 * 1024;
    let text = core::str::from_utf8(wanted).map_err(|_| "is not UTF-8".to_string())?;
    let mut builder = regex_lite::RegexBuilder::new(text);
    builder.size_limit(REGEX_BYTES_MAX).dot_matches_new_line(true).build().map_err(|e| e.to_string())
}

/// Whether a pattern can be used.
///
/// # Errors
/// Why a regular expression does not compile.
pub fn check_pattern(wanted: &Escaped, compare: Compare) -> Result<(), String> {
    match compare {
        Compare::Contains | Compare::Prefix | Compare::Glob => Ok(()),
        Compare::Regex => compile(&wanted.bytes()).map(|_| ()),
    }
}

fn find(have: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return Some(0);
    }
    have.windows(wanted.len()).position(|window| window == wanted)
}

/// `*` stands for anything. Each star is given as little as possible, and the last one what is left; so the time is
/// at most length times length.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let mut parts = pattern.split(|b| *b == b'*');
    let Some(first) = parts.next() else { return text.is_empty() };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = find(rest, part) else { return false };
        rest = rest.get(at.saturating_add(part.len())..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(compare: Compare, wanted: &str, have: &[u8], whole: bool) -> Match {
        Pattern::new(&wanted.parse().unwrap(), compare).judge(have, whole)
    }

    #[test]
    fn a_contained_text_is_used_up_to_its_end() {
        assert_eq!(judge(Compare::Contains, "OK", b"it is OK.", false), Match::Yes(8));
        assert_eq!(judge(Compare::Contains, "OK", b"it is O", false), Match::NotYet);
        assert_eq!(judge(Compare::Contains, "OK", b"it is O", true), Match::Never);
    }

    #[test]
    fn a_wrong_beginning_is_known_at_its_first_byte() {
        assert_eq!(judge(Compare::Prefix, "SSH-", b"SS", false), Match::NotYet);
        assert_eq!(judge(Compare::Prefix, "SSH-", b"SX", false), Match::Never);
        assert_eq!(judge(Compare::Prefix, "SSH-", b"SSH-2.0", false), Match::Yes(4));
    }

    #[test]
    fn a_star_stands_for_anything_and_a_line_end_does_not_count() {
        for (pattern, text, fits) in [
            ("a*c", "abbbc\r\n", true),
            ("a*c", "ac", true),
            ("a*c", "acd", false),
            ("*b*", "abc", true),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a*a", "a", false),
            ("*", "", true),
        ] {
            let judged = judge(Compare::Glob, pattern, text.as_bytes(), true);
            assert_eq!(judged != Match::Never, fits, "{pattern} {text:?}");
        }
    }

    #[test]
    fn an_expression_looks_at_all_lines_and_a_bad_one_is_refused() {
        assert!(matches!(judge(Compare::Regex, "load:\\s[0-9]+$", b"ok\nload: 17", true), Match::Yes(_)));
        assert!(check_pattern(&"(".parse().unwrap(), Compare::Regex).is_err());
        assert!(check_pattern(&"((a{500}){500}){500}".parse().unwrap(), Compare::Regex).is_err());
        assert!(check_pattern(&"(".parse().unwrap(), Compare::Glob).is_ok());
    }
}
