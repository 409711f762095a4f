//! Real directors over models of what surrounds them, on virtual time.
//!
//! The director under test is the product's, byte for byte; only its effects are executed by models: a kernel as
//! strict as Linux, a flash of records, servers that answer or do not. Nothing waits: time jumps to the next thing that happens.

pub mod chaos;
pub mod conformance;
pub mod kernel;
pub mod lender;
pub mod many;
pub mod pair;
pub mod world;
