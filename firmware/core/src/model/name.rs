//! Bounded identifiers. A value that exists is well formed.

use super::limits;
use alloc::boxed::Box;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not an identifier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameError {
    /// Empty text.
    Empty,
    /// More bytes than the type holds.
    TooLong {
        /// Most bytes allowed.
        max: usize,
    },
    /// A character the type does not allow.
    BadCharacter {
        /// The first offending character.
        found: char,
        /// What is allowed, in words.
        allowed: &'static str,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("must not be empty"),
            Self::TooLong { max } => write!(f, "longer than {max} characters"),
            Self::BadCharacter { found, allowed } => {
                write!(f, "{found:?} is not allowed here: use {allowed}")
            }
        }
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $max:expr, $allowed:literal, $start:expr, $rest:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(heapless::String<{ $max }>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let start: fn(char) -> bool = $start;
                let rest: fn(char) -> bool = $rest;
                let first = text.chars().next().ok_or(NameError::Empty)?;
                if !start(first) {
                    return Err(NameError::BadCharacter { found: first, allowed: $allowed });
                }
                if let Some(found) = text.chars().find(|c| !rest(*c)) {
                    return Err(NameError::BadCharacter { found, allowed: $allowed });
                }
                heapless::String::try_from(text).map(Self).map_err(|_| NameError::TooLong { max: $max })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = heapless::String::<{ $max }>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

identifier!(
    /// Name of a configured thing: 1 to 32 of letters, digits, `.`, `_`, `-`; starts with a letter or digit.
    Name, limits::NAME_BYTES, "letters, digits, '.', '_' and '-', with a letter or digit first",
    |c| c.is_ascii_alphanumeric(), |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
);
identifier!(
    /// Host name: 1 to 64 of letters, digits, `.` and `-`; starts with a letter or digit (RFC 1123 section 2.1).
    Hostname, limits::HOSTNAME_BYTES, "letters, digits, '.' and '-', with a letter or digit first",
    |c| c.is_ascii_alphanumeric(), |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')
);
identifier!(
    /// Kernel name of a network device, such as `eth0`: 1 to 15 characters, no `:` (that marks a label).
    Device, limits::IFNAME_BYTES, "letters, digits, '.', '_' and '-', with a letter first",
    |c| c.is_ascii_alphabetic(), |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
);
identifier!(
    /// Label of an address, such as `eth0:1`: the device name, or it followed by `:` and more; 1 to 15 characters.
    Label, limits::IFNAME_BYTES, "letters, digits, '.', '_', '-' and ':', with a letter first",
    |c| c.is_ascii_alphabetic(), |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':')
);

/// Free text of 1 to 255 printable ASCII characters without spaces or quotes, such as an HTTP path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(Box<str>);

impl Text {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Text {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const ALLOWED: &str = "printable characters without space, quote or backslash";
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(found) = text.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '"' | '\'' | '\\')) {
            return Err(NameError::BadCharacter { found, allowed: ALLOWED });
        }
        if text.len() > limits::TEXT_BYTES {
            return Err(NameError::TooLong { max: limits::TEXT_BYTES });
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = heapless::String::<{ limits::TEXT_BYTES }>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_with_its_first_bad_character() {
        assert_eq!("".parse::<Name>(), Err(NameError::Empty));
        assert!(matches!("web 1".parse::<Name>(), Err(NameError::BadCharacter { found: ' ', .. })));
        assert!(matches!("-web".parse::<Name>(), Err(NameError::BadCharacter { found: '-', .. })));
        assert_eq!("a".repeat(33).parse::<Name>(), Err(NameError::TooLong { max: 32 }));
        assert!("a".repeat(32).parse::<Name>().is_ok());
    }

    #[test]
    fn a_label_may_hold_a_colon_and_a_device_may_not() {
        assert!("eth0:1".parse::<Label>().is_ok());
        assert!("eth0:1".parse::<Device>().is_err());
    }

    #[test]
    fn a_decoded_name_is_checked_like_a_typed_one() {
        let blob = postcard::to_allocvec("no spaces").unwrap();
        assert!(postcard::from_bytes::<Name>(&blob).is_err());
    }
}
