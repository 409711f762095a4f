//! Two directors over a model LAN: who is active, and what the LAN believes, under random faults.
//!
//! Both are the product's directors with their own clocks, kernels and `/run`; heartbeats are sealed and judged by the
//! product's guard. What must hold is checked after every event ([`checks`]); a seed that fails prints its settings, what
//! happened and one line of roles for each node, a character every 100 ms.

pub mod book;
pub mod checks;
pub mod disk;
pub mod draw;
pub mod lan;
pub mod line;
pub mod node;
pub mod script;
pub mod world;
