//! Comparison and order.

use super::desired::Desired;
use super::observed::Observed;
use super::op::Plan;

/// Operations that lead from `observed` to `desired`, in an order of which every prefix is a safe state.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed) -> Plan {
    let _ = (desired, observed);
    Plan::default()
}
