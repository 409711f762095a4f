//! An orderly end: what is ours is released, then nothing follows.

use super::commit::Stage;
use super::{Director, Effect, Level};
use crate::model::Mono;
use alloc::vec::Vec;

impl Director {
    pub(super) fn stop(&mut self, now: Mono, out: &mut Vec<Effect>) {
        self.log(Level::Notice, "stopping: releasing the floating addresses", out);
        self.stopping = true;
        self.with_election(now, out, crate::election::Election::leave);
        // One that is being marked is whole in the kernel and ends by itself.
        if self.transaction.as_ref().is_some_and(|t| t.stage != Stage::Marking) {
            self.take_back("the director is stopping", now, out);
        }
        self.reconcile.desired_changed();
        self.reconcile.retry_now();
    }

    /// Ends, when asked to, unless the flash is at work for us. All is released.
    pub(super) fn end(&mut self, out: &mut Vec<Effect>) {
        let told = self.cluster.done();
        if self.released
            && !self.stopped
            && told
            && self.transaction.is_none()
            && self.marks.idle()
            && !self.keeping.busy
        {
            self.stopped = true;
            out.push(Effect::Stopped);
        }
    }
}
