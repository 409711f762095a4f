//! Settings that are one word of a fixed set. Word and help stand beside the variant, and the table of the console takes
//! them from there.

/// One of a fixed set of words.
#[derive(Debug)]
pub struct Choice {
    /// As typed.
    pub word: &'static str,
    /// One line for `?` and the reference.
    pub help: &'static str,
}

/// A setting that is one word of a fixed set.
pub trait Chosen: Copy + 'static {
    /// All words, in the order of the variants.
    const CHOICES: &'static [Choice];
    /// The word of this one.
    fn word(self) -> &'static str;
    /// The one with this word.
    fn from_word(word: &str) -> Option<Self>;
}

/// Defines such settings. Variants are appended to and never reordered: flash holds their numbers.
macro_rules! choices {
    ($($(#[$meta:meta])* $name:ident {
        $($(#[$attribute:meta])* $variant:ident $word:literal $help:literal,)+
    })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $(#[doc = $help] $(#[$attribute])* $variant,)+
        }

        impl $crate::model::choice::Chosen for $name {
            const CHOICES: &'static [$crate::model::choice::Choice] =
                &[$($crate::model::choice::Choice { word: $word, help: $help }),+];
            fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
            fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    )+};
}
pub(crate) use choices;
