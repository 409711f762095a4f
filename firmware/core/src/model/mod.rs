//! What an operator can say: the configuration schema, its value types, limits and cross checks.
//!
//! Configuration, runtime state and status are three different types; only the first is here. A value that
//! exists has passed its own range check (the newtypes check in their constructors); what concerns several
//! values at once is [`validate`].

pub mod check;
pub mod choice;
pub mod cluster;
pub mod codes;
pub mod config;
pub mod date;
pub mod ipvs;
pub mod limits;
pub mod name;
pub mod net;
pub mod system;
pub mod text;
pub mod time;
pub mod validate;

pub use config::Config;
pub use name::{Device, Hostname, Label, Name};
pub use net::Cidr;
pub use text::Escaped;
pub use time::{Millis, Mono};
