//! What init is told while this box has floating addresses, and how they are given up.

use super::{Director, Election, ElectionRole, FenceOrders};
use crate::director::Effect;
use crate::model::Mono;
use crate::plan::{AddressKey, Op};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

impl Director {
    /// Whether the kernel has floating addresses, or is not known yet.
    pub(in super::super) fn may_hold(&self) -> bool {
        let Some(observed) = self.reconcile.observed() else { return true };
        let mut floating = self.config.floating.values().filter_map(|f| f.address);
        floating.any(|address| observed.addresses.keys().any(|key| key.cidr == address))
    }

    /// The kernel is about to be given these floating addresses, or has them.
    pub(in super::super) fn cluster_planned<'a>(&mut self, floating: impl Iterator<Item = &'a AddressKey>) {
        if self.cluster.election.as_ref().is_some_and(Election::active) {
            self.cluster.held = floating.cloned().collect();
        }
    }

    /// Tells init what to remove should this process stand still.
    pub(in super::super) fn order_fence(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let held = !self.cluster.held.is_empty();
        let after = self.cluster.election.as_ref().filter(|_| held).map(|e| e.fence_after(now));
        // What the process before this one ordered stands until its addresses are gone.
        if self.cluster.ordered.is_none() && after.is_none() && self.may_hold() {
            return;
        }
        let same = match (&self.cluster.ordered, after) {
            (Some(None), None) => true,
            (Some(Some(old)), Some(after)) => old.after == after && old.keys == self.cluster.held,
            (None | Some(_), _) => false,
        };
        if !same {
            let orders = after.map(|after| FenceOrders { after, keys: self.cluster.held.clone() });
            self.cluster.ordered = Some(orders.clone());
            out.push(Effect::Fence(orders.map(Box::new)));
        }
    }

    /// Kernel and desired state agree: what was to be released is gone.
    pub(in super::super) fn cluster_settled(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if !self.cluster.election.as_ref().is_some_and(Election::active) {
            self.cluster.held.clear();
        }
        let known = self.reconcile.observed().map(|o| &o.addresses);
        let held = self.cluster.held.iter().filter(|key| known.is_some_and(|k| k.contains_key(*key)));
        self.cluster.pings.held(held, now);
        self.update_cluster(now, out);
        if self.releasing() {
            self.addresses_gone(now, out);
        }
    }

    fn releasing(&self) -> bool {
        let releasing = |e: &Election| matches!(e.role(), ElectionRole::Releasing { .. });
        self.cluster.election.as_ref().is_some_and(releasing)
    }

    /// The addresses go first, and alone: clients wait for the peer to be told, and what else follows from the role can wait.
    pub(in super::super) fn addresses_first(&self, released: &BTreeSet<AddressKey>, ops: &mut Vec<Op>) {
        let goes = |op: &&Op| matches!(op, Op::AddressDelete { key } if released.contains(key));
        let first = ops.iter().take_while(goes).count();
        if first > 0 && self.releasing() {
            ops.truncate(first);
        }
    }

    /// Operations were done: the addresses may be gone.
    pub(in super::super) fn cluster_applied(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if self.releasing() && !self.may_hold() {
            self.cluster.held.clear();
            self.addresses_gone(now, out);
        }
    }
}
