//! What an operator says about a commit.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most bytes of a comment. Chosen: a sentence, and one row of a terminal in `show commits`.
pub const COMMENT_BYTES: usize = 120;

/// 0 to [`COMMENT_BYTES`] printable ASCII characters, without blanks at either end. Empty: nothing was said.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Comment(heapless::String<COMMENT_BYTES>);

/// Why a text is not a comment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommentError {
    /// More than [`COMMENT_BYTES`].
    TooLong,
    /// Not printable ASCII.
    BadCharacter(char),
}

impl fmt::Display for CommentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "at most {COMMENT_BYTES} characters"),
            Self::BadCharacter(c) => write!(f, "printable ASCII only, not {c:?}"),
        }
    }
}

impl core::error::Error for CommentError {}

impl Comment {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Comment {
    type Err = CommentError;

    fn from_str(text: &str) -> Result<Self, CommentError> {
        let text = text.trim();
        if let Some(bad) = text.chars().find(|c| !matches!(c, ' '..='~')) {
            return Err(CommentError::BadCharacter(bad));
        }
        heapless::String::try_from(text).map(Self).map_err(|_| CommentError::TooLong)
    }
}

impl fmt::Display for Comment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Comment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Comment {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Comment {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = heapless::String::<COMMENT_BYTES>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
