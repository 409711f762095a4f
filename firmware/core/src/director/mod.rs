//! The one state machine that composes the rest: [`Director::handle`] takes an event and the time, and says
//! what to do. It never waits, never fails, and knows no clock: a recorded event log replays.

pub mod event;
pub mod frame;
pub mod protocol;
pub mod status;

pub use event::{Effect, Event};
