//! Campaigns: named jobs that run one after the other, each in a process of its own, and whose figures end in one
//! JSON file. `bench` measures, `soak` repeats.

pub mod campaign;
pub mod check_cost;
pub mod check_peer;
pub mod commit_time;
pub mod figure;
pub mod power_on;
pub mod programming;
pub mod takeover;
