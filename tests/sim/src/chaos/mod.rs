//! One director under randomly drawn faults. A seed decides everything, so a failed run is repeated by its number.
//!
//! Two phases. *Safety*: faults of the classes that the seed switched on come at random moments, and after every event
//! what must always hold is checked ([`sim`]). *Liveness*: the faults end, and within [`HEAL_MS`] the kernel must be
//! as the committed configuration says and every request answered ([`script`]).
//!
//! The service `control` is what nothing ever happens to: no commit, no drift, no fault of a server concerns it, so
//! each of its objects is added once in a boot and never touched again.

pub mod draw;
pub mod rng;
pub mod script;
pub mod sim;

/// Time from the end of all faults until everything must be well again.
pub const HEAL_MS: u64 = 15_000;
