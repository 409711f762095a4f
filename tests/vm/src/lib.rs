//! What the VM suites share: running cases on one lab, and reading a director's answers.

pub mod ailments;
pub mod balancing;
pub mod carried;
pub mod counters;
pub mod director;
pub mod login;
pub mod provision;
pub mod storm;
pub mod suite;
pub mod upgrades;
