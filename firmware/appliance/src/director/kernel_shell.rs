//! Owns the netlink sockets: executes dumps and operations in the order they were asked for, one at a time.

use crate::platform::changes::Changes;
use crate::platform::kernel::Kernel;
use crate::platform::kmsg::Log;
use director_core::director::{Event, Level};
use director_core::plan::{Observed, Op, OpError};
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use tokio::sync::mpsc;

/// Jobs taken while a dump is under way. Chosen: some announcements, and the one that ends it.
const WAITING_MAX: usize = 16;

/// What the loop asks for.
#[derive(Debug)]
pub(super) enum Job {
    /// Dump, with these sysctls.
    Observe(Vec<String>),
    /// Execute.
    Apply {
        /// Number of the batch.
        batch: u64,
        /// Operations in order.
        ops: Vec<Op>,
    },
}

/// Whether a job changes what a dump shows.
fn changes(job: &Job) -> bool {
    matches!(job, Job::Apply { ops, .. } if ops.iter().any(|op| !matches!(op, Op::Announce { .. })))
}

/// Executes jobs until the loop is gone. A dump that is under way is given up for a job that changes what it shows: a change of
/// role does not wait for it, and the director asks for another one.
pub(super) async fn serve(mut jobs: mpsc::Receiver<Job>, events: mpsc::Sender<Event>) {
    let mut kernel = Kernel::open().await;
    let mut waiting = VecDeque::new();
    loop {
        let next = match waiting.pop_front() {
            Some(job) => Some(job),
            None => jobs.recv().await,
        };
        let Some(job) = next else { return };
        if kernel.is_err() {
            kernel = Kernel::open().await;
        }
        let event = match (&mut kernel, job) {
            (Ok(kernel), Job::Observe(sysctls)) => {
                match observe(kernel, &sysctls, &mut jobs, &mut waiting).await {
                    Some(observed) => Event::Observed(observed.map(Box::new)),
                    None => continue,
                }
            }
            (Ok(kernel), Job::Apply { batch, ops }) => {
                Event::Applied { batch, results: kernel.apply(&ops).await }
            }
            (Err(error), Job::Observe(_)) => Event::Observed(Err(error.clone())),
            (Err(error), Job::Apply { batch, ops }) => {
                Event::Applied { batch, results: ops.iter().map(|_| Err(error.clone())).collect() }
            }
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

/// Dumps; `None` when that was given up. Jobs that came meanwhile are in `waiting`.
async fn observe(
    kernel: &mut Kernel,
    sysctls: &[String],
    jobs: &mut mpsc::Receiver<Job>,
    waiting: &mut VecDeque<Job>,
) -> Option<Result<Observed, OpError>> {
    let mut dump = std::pin::pin!(kernel.observe(sysctls));
    loop {
        tokio::select! {
            biased;
            Some(job) = jobs.recv(), if waiting.len() < WAITING_MAX => {
                let given_up = changes(&job);
                waiting.push_back(job);
                if given_up {
                    return None;
                }
            }
            observed = &mut dump => return Some(observed),
        }
    }
}

/// Tells the loop that something it manages changed in the kernel; sooner when there is a peer.
pub(super) async fn watch(log: Rc<Log>, paired: Rc<Cell<bool>>, events: mpsc::Sender<Event>) {
    let mut changes = match Changes::open(paired) {
        Ok(changes) => changes,
        Err(error) => {
            // Not fatal: the periodic dump finds every change, only later.
            log.write(Level::Error, format_args!("no notifications from the kernel: {error}"));
            return;
        }
    };
    loop {
        changes.next().await;
        if events.send(Event::KernelChanged).await.is_err() {
            return;
        }
    }
}
