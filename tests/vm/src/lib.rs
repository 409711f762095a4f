//! What the VM suites share: running cases on one lab, and reading a director's answers.

pub mod ailments;
pub mod balancing;
pub mod carried;
pub mod counters;
pub mod director;
pub mod flood;
pub mod loads;
pub mod login;
pub mod machines;
pub mod matrix;
pub mod outage;
pub mod provision;
pub mod rollout;
pub mod services;
pub mod storm;
pub mod suite;
pub mod upgrades;
pub mod watchdog;
