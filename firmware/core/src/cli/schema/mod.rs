//! The one table of the configuration tree: what it is made of, and lookups in it.

mod checks;
mod system;
mod table;

use super::value::{Choice, Type};
use super::words::Worded;
use crate::model::Millis;
use crate::model::choice::Chosen;
use alloc::format;
use alloc::string::String;
pub use table::CONFIG;

/// One word of the configuration.
#[derive(Debug)]
pub struct Item {
    /// As typed.
    pub word: &'static str,
    /// One line for `?` and the reference.
    pub help: &'static str,
    /// Whether exported `set` lines carry it on one line with its neighbours of the same kind.
    pub joined: bool,
    /// Unit of a number, for the reference; empty when it counts things or is none.
    pub unit: &'static str,
    /// What follows.
    pub kind: Kind,
}

/// What follows a word.
#[derive(Debug)]
pub enum Kind {
    /// More words.
    Branch {
        /// They.
        items: &'static [Item],
        /// Whether it means something without any of them (`pool web http`).
        presence: bool,
    },
    /// A key, then more words.
    List {
        /// What the key may be.
        key: Type,
        /// One line for `?`.
        key_help: &'static str,
        /// The words after the key.
        items: &'static [Item],
        /// Most entries.
        max: usize,
    },
    /// One value.
    Leaf {
        /// What it may be.
        value: Type,
        /// Value that counts when none is set, as typed.
        default: Option<&'static str>,
    },
    /// Several values, each set by itself.
    Values {
        /// What each may be.
        value: Type,
        /// Most values.
        max: usize,
    },
}

impl Item {
    /// The words inside, if there are any.
    pub fn items(&self) -> &'static [Item] {
        match &self.kind {
            Kind::Branch { items, .. } | Kind::List { items, .. } => items,
            Kind::Leaf { .. } | Kind::Values { .. } => &[],
        }
    }

    /// The type of the value or key that follows, if one does.
    pub fn value_type(&self) -> Option<Type> {
        match &self.kind {
            Kind::Branch { .. } => None,
            Kind::List { key, .. } => Some(*key),
            Kind::Leaf { value, .. } | Kind::Values { value, .. } => Some(*value),
        }
    }

    /// What may follow, in words, with the default: `1 to 65535, default 80`.
    pub fn allowed(&self) -> String {
        match &self.kind {
            Kind::Branch { .. } => String::new(),
            Kind::List { key, .. } => key.allowed(),
            Kind::Leaf { value, default: Some(default) } => format!("{}; default {default}", value.allowed()),
            Kind::Leaf { value, default: None } => value.allowed(),
            Kind::Values { value, max } => format!("{}; up to {max}", value.allowed()),
        }
    }

    /// Key in JSON: snake case, with the unit when the value has one.
    pub fn json_key(&self) -> String {
        let mut key: String = self.word.chars().map(|c| if c == '-' { '_' } else { c }).collect();
        if matches!(self.kind, Kind::Leaf { value: Type::Span { .. }, .. }) {
            key.push_str("_ms");
        }
        key
    }
}

impl Worded for Item {
    fn word(&self) -> &'static str {
        self.word
    }
    fn help(&self) -> &'static str {
        self.help
    }
}

/// Finds an item by its exact word.
pub(crate) fn item(items: &'static [Item], word: &str) -> Option<(usize, &'static Item)> {
    items.iter().enumerate().find(|(_, i)| i.word == word)
}

const fn leaf(word: &'static str, help: &'static str, value: Type, default: Option<&'static str>) -> Item {
    Item { word, help, joined: false, unit: "", kind: Kind::Leaf { value, default } }
}

const fn values(word: &'static str, help: &'static str, value: Type, max: usize) -> Item {
    Item { word, help, joined: false, unit: "", kind: Kind::Values { value, max } }
}

const fn branch(word: &'static str, help: &'static str, items: &'static [Item]) -> Item {
    Item { word, help, joined: false, unit: "", kind: Kind::Branch { items, presence: false } }
}

const fn present(word: &'static str, help: &'static str, items: &'static [Item]) -> Item {
    Item { word, help, joined: false, unit: "", kind: Kind::Branch { items, presence: true } }
}

impl Item {
    /// The same, exported on one line with its neighbours.
    const fn joined(self) -> Self {
        Self { joined: true, ..self }
    }

    /// The same, measured in `unit`.
    const fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }
}

const fn list(
    word: &'static str,
    help: &'static str,
    key: Type,
    key_help: &'static str,
    max: usize,
    items: &'static [Item],
) -> Item {
    Item { word, help, joined: false, unit: "", kind: Kind::List { key, key_help, items, max } }
}

const fn number(min: u32, max: u32) -> Type {
    Type::Number { min, max }
}

const fn choice<T: Chosen>() -> Type {
    Type::Choice(T::CHOICES)
}

const fn port() -> Type {
    number(1, 65_535)
}

const fn span(min: Millis, max: Millis) -> Type {
    Type::Span { min: min.get(), max: max.get(), step: 1 }
}

const ON_OFF: Type =
    Type::Choice(&[Choice { word: "on", help: "Switched on" }, Choice { word: "off", help: "Switched off" }]);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    fn visit(items: &'static [Item], path: &str, f: &mut impl FnMut(&str, &'static Item)) {
        for item in items {
            let path = format!("{path} {}", item.word);
            f(&path, item);
            visit(item.items(), &path, f);
        }
    }

    #[test]
    fn every_default_is_a_valid_value_in_canonical_form() {
        visit(CONFIG, "", &mut |path, item| {
            if let Kind::Leaf { value, default: Some(text) } = &item.kind {
                let parsed = value.parse(text).unwrap_or_else(|e| panic!("{path}: {e}"));
                assert_eq!(alloc::string::ToString::to_string(&parsed), *text, "{path}");
            }
        });
    }

    #[test]
    fn words_are_unique_on_their_level_and_every_one_has_help_that_fits_the_screen() {
        fn level(items: &'static [Item]) {
            let words: BTreeSet<&str> = items.iter().map(|i| i.word).collect();
            assert_eq!(words.len(), items.len());
            assert!(items.len() < usize::from(u8::MAX));
            items.iter().for_each(|i| level(i.items()));
        }
        level(CONFIG);
        visit(CONFIG, "", &mut |path, item| {
            assert!(!item.help.is_empty() && item.help.len() <= 58, "{path}: {}", item.help.len());
            assert!(
                item.word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{path}"
            );
        });
    }

    #[test]
    fn references_name_lists_that_exist() {
        visit(CONFIG, "", &mut |path, item| {
            if let Some(Type::Refer(list)) = item.value_type() {
                let (_, target) = super::item(CONFIG, list).unwrap_or_else(|| panic!("{path}: {list}"));
                assert!(matches!(target.kind, Kind::List { key: Type::Name, .. }), "{path}");
            }
        });
    }
}
