//! Status codes of HTTP that are good.

use super::limits;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// First and last of each range.
type Ranges = heapless::Vec<(u16, u16), { limits::STATUS_RANGES }>;

/// One to four ranges of codes from 100 to 599, as `200-299,401`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "Ranges")]
pub struct Codes(Ranges);

impl Codes {
    /// Whether a code is in one of the ranges.
    #[must_use]
    pub fn contains(&self, code: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&code))
    }
}

impl Default for Codes {
    fn default() -> Self {
        Self(core::iter::once((200, 299)).collect())
    }
}

impl TryFrom<Ranges> for Codes {
    type Error = String;

    fn try_from(ranges: Ranges) -> Result<Self, String> {
        let sound = |(first, last): &(u16, u16)| (100..=599).contains(first) && (*first..=599).contains(last);
        if ranges.is_empty() || !ranges.iter().all(sound) {
            return Err(
                "must be status codes from 100 to 599: 200, a range such as 200-299, or 200-299,401".into()
            );
        }
        Ok(Self(ranges))
    }
}

impl TryFrom<(u16, u16)> for Codes {
    type Error = String;

    fn try_from(range: (u16, u16)) -> Result<Self, String> {
        Ranges::from_iter([range]).try_into()
    }
}

impl FromStr for Codes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // What is no number is no code either.
        let code = |text: &str| {
            let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            if digits { text.parse().unwrap_or_default() } else { 0 }
        };
        let mut ranges = Ranges::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let full = |_| format!("must be {} ranges at most", limits::STATUS_RANGES);
            ranges.push((code(first), code(last))).map_err(full)?;
        }
        ranges.try_into()
    }
}

impl fmt::Display for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn codes_are_single_ones_and_ranges() {
        for text in ["200", "200-299", "200-299,401", "100-199,301,302,400-599"] {
            assert_eq!(text.parse::<Codes>().unwrap().to_string(), text);
        }
        let codes: Codes = "200-299,401".parse().unwrap();
        assert_eq!(
            [199, 200, 299, 300, 401].map(|code| codes.contains(code)),
            [false, true, true, false, true]
        );
        for text in
            ["", "99", "600", "299-200", "200,", "200-", "+200", "0200", "1,2,3,4,5", "200,201,202,203,204"]
        {
            assert!(text.parse::<Codes>().is_err(), "{text}");
        }
    }

    #[test]
    fn decoded_codes_are_checked_like_typed_ones() {
        let decoded = |ranges: &[(u16, u16)]| {
            postcard::from_bytes::<Codes>(&postcard::to_allocvec(ranges).unwrap()).is_ok()
        };
        assert!(decoded(&[(200, 299)]));
        for bad in [&[][..], &[(299, 200)], &[(200, 600)], &[(99, 200)], &[(200, 200); 5]] {
            assert!(!decoded(bad), "{bad:?}");
        }
    }
}
