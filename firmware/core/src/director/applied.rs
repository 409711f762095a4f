//! What the kernel did with a batch of operations.

use super::{Director, Effect, FAILING_MAX, Level, REFUSALS_LOGGED};
use crate::cli::show::ops::describe;
use crate::model::Mono;
use crate::plan::{Op, OpError};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

impl Director {
    pub(super) fn on_applied(
        &mut self,
        batch: u64,
        results: Vec<Result<(), OpError>>,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        let Some(applied) = self.reconcile.applied(batch, results, now) else { return };
        let mut refused = Vec::new();
        let mut done = 0_u32;
        for (op, result) in applied.results {
            match result {
                Ok(()) => {
                    self.done.note(&op, now);
                    done = done.saturating_add(1);
                }
                // It is repeated anyway, and what it tells is true already.
                Err(error) if matches!(op, Op::Announce { .. }) => {
                    self.log(Level::Warning, format!("{}: {error}", describe(&op)), out);
                }
                Err(error) => refused.push((op, error)),
            }
        }
        self.operations = self.operations.saturating_add(u64::from(done));
        self.refused(&refused, out);
        self.commit_applied(batch, done, &refused, now, out);
        self.cluster_applied(now, out);
        self.failing = refused.into_iter().take(FAILING_MAX).map(|(op, _)| op).collect();
    }

    /// Says what the kernel refused: each first of a kind, and not again while it stays the same.
    fn refused(&mut self, refused: &[(Op, OpError)], out: &mut Vec<Effect>) {
        let text = |(op, error): &(Op, OpError)| format!("kernel refused to {}: {error}", describe(op));
        let Some(first) = refused.first() else {
            self.last_error = None;
            return;
        };
        let known = refused.iter().take(FAILING_MAX);
        let fresh = known.filter(|(op, _)| !self.failing.contains(op)).take(REFUSALS_LOGGED);
        for text in fresh.map(text) {
            self.log(Level::Error, text, out);
        }
        if let Some(more) =
            refused.len().checked_sub(REFUSALS_LOGGED).filter(|n| *n > 0 && self.failing.is_empty())
        {
            self.log(Level::Error, format!("kernel refused {more} more operations"), out);
        }
        self.last_error = Some(text(first));
    }

    /// Says that these operations undo what something else did.
    pub(super) fn blame(&mut self, ops: &[Op], out: &mut Vec<Effect>) {
        let Some(first) = ops.first() else { return };
        self.repairing = u32::try_from(ops.len()).unwrap_or(u32::MAX);
        let rest = match self.repairing.saturating_sub(1) {
            0 => String::new(),
            1 => String::from(", and 1 more operation"),
            more => format!(", and {more} more operations"),
        };
        let text = format!("the kernel was changed by something else: {}{rest}", describe(first));
        self.log(Level::Warning, text, out);
    }

    /// Says that it is undone.
    pub(super) fn repaired(&mut self, out: &mut Vec<Effect>) {
        let count = core::mem::take(&mut self.repairing);
        if count > 0 {
            let s = if count == 1 { "" } else { "s" };
            let text = format!("put right: {count} operation{s} in {}", self.reconcile.took());
            self.log(Level::Notice, text, out);
        }
    }

    /// Logs an error once, however often it comes in a row, and keeps it for the alarms.
    pub(super) fn complain(&mut self, text: String, out: &mut Vec<Effect>) {
        if self.last_error.as_ref() != Some(&text) {
            self.log(Level::Error, text.clone(), out);
        }
        self.last_error = Some(text);
    }
}
