//! Rules of the tree, as tests.
//!
//! What a compiler cannot prove and a reader would have to remember: which crates may depend on what, what never
//! appears in the firmware, what lies where, and that the documents name commands that exist. [`Tree`] reads the work
//! tree; the rules are the tests of the modules.

pub mod tree;

#[cfg(test)]
mod dependencies;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod layout;
#[cfg(test)]
mod source;

pub use tree::{Text, Tree};
