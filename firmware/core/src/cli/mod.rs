//! The face on the serial line: what a typed line means, and what is shown.
//!
//! [`schema`] is the one static table of the configuration. It drives the parser, `?`, Tab, range checks, defaults,
//! the text forms and the JSON keys. [`tree`] is a candidate: a tree of values that each passed the table's check.
//! [`bind`] turns it into [`crate::model::Config`] and back. [`session`] is one console: bytes in, bytes and requests
//! out. Nothing here waits or reads; the shell around it moves the bytes.

pub mod bind;
mod complete;
pub mod editor;
mod grammar;
pub mod json;
mod path;
pub mod reference;
pub mod schema;
pub mod seal;
pub mod session;
mod setup;
pub mod show;
pub mod text;
pub mod transfer;
pub mod tree;
pub mod value;
mod words;

#[cfg(test)]
mod testing;

pub use session::{Output, Session};
pub use text::{LineError, export_braces, export_set_lines, parse_set_lines, parse_text, refused_values};
