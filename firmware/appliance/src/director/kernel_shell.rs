//! Owns the netlink sockets: executes dumps and operations in the order they were asked for, one at a time.

use crate::platform::changes::Changes;
use crate::platform::kernel::Kernel;
use crate::platform::kmsg::Log;
use director_core::director::{Event, Level};
use director_core::plan::Op;
use std::rc::Rc;
use tokio::sync::mpsc;

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

/// Executes jobs until the loop is gone.
pub(super) async fn serve(mut jobs: mpsc::Receiver<Job>, events: mpsc::Sender<Event>) {
    let mut kernel = Kernel::open().await;
    while let Some(job) = jobs.recv().await {
        if kernel.is_err() {
            kernel = Kernel::open().await;
        }
        let event = match (&mut kernel, job) {
            (Ok(kernel), Job::Observe(sysctls)) => {
                Event::Observed(kernel.observe(&sysctls).await.map(Box::new))
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

/// Tells the loop that something it manages changed in the kernel.
pub(super) async fn watch(log: Rc<Log>, events: mpsc::Sender<Event>) {
    let mut changes = match Changes::open() {
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
