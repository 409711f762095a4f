//! From what is to what should be: ordered kernel operations.
//!
//! [`desired::desired`] is a pure function of (configuration, role, verdicts). [`diff::plan`] compares it with
//! [`observed::Observed`] and gives operations in an order of which every prefix is a safe state. What must never
//! happen: a flush; a delete and an add of the same key (an edit keeps connections); an operation on a service
//! that did not change; any operation at all when nothing differs.

pub mod bind;
pub mod desired;
pub mod diff;
pub mod fallback;
pub mod observed;
pub mod op;
pub mod rules;
pub mod spec;

pub use desired::{Desired, desired};
pub use diff::plan;
pub use observed::Observed;
pub use op::{Op, OpError, Plan};
pub use spec::{
    AddressKey, AddressSpec, DaemonRole, DaemonSpec, DestKey, DestSpec, Family, RouteKey, RouteSpec,
    ServiceKey, ServiceSpec, TimeoutSpec, TunnelSpec, VlanSpec,
};
