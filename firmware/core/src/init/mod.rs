//! What PID 1 decides: in which order the box boots, when a child is started again, when a wedged director is
//! ended, when the hardware watchdog is fed, how the machine stops.
//!
//! Nothing here acts. [`Supervisor::handle`] takes an [`Input`] and the time and gives [`Action`]s; the shell in
//! the appliance executes them. PID 1 must never fail, so nothing here can: no allocation in the steady
//! state, no arithmetic that can overflow, every input is legal in every state.
//!
//! Terms: a *child* is one of the three processes that PID 1 keeps running; a *report* is the director's word that
//! its main loop completed a turn; a *quick death* is the end of a child that did not reach the minimum run time.

pub mod ask;
pub mod cmdline;
pub mod fence;
pub mod kmsg;
pub mod limits;
pub mod liveness;
pub mod phase;
pub mod policy;
pub mod supervisor;

pub use ask::Ask;
pub use liveness::{Liveness, Report};
pub use phase::Phase;
pub use policy::{Exit, Restart};
pub use supervisor::{Action, Child, Input, Note, Signal, Supervisor};
