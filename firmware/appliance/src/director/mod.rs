//! The director process: one loop that feeds events to the pure [`director_core::director::Director`] and gives its
//! effects to shells.
//!
//! ```text
//!  deadline ──────────────┐                          ┌─> kernel shell  (dump, apply; in order, one at a time)
//!  SIGTERM ───────────────┤                          ├─> prober        (a task for each probe)
//!  kernel shell  (16) ────┼──> Director::handle ─────┼─> flash thread  (save, mark; in order)
//!  prober      (1024) ────┤    (pure, never waits)   ├─> consoles      (replies)
//!  flash thread  (16) ────┤                          └─> /run, kmsg    (checkpoint, log; written at once)
//!  consoles      (32) ────┘
//! ```
//!
//! Every source has its own bounded queue; the loop drains them in that order, so a flood of probe results cannot
//! delay a deadline, and no console can delay anything. Each queue that is full holds back its producer.

mod boot;
mod kernel_shell;
mod shells;

use crate::platform::clock;
use director_core::director::{Director, Effect, Event};
use director_core::model::Mono;
use shells::{Inputs, Shells};
use std::process::ExitCode;
use tokio::time::{Instant, timeout_at};

/// Longest sleep of the loop: init takes a loop that does not turn for wedged. A tenth of its first limit.
const TURN_MAX_MS: u64 = 100;
/// Events taken without looking at the deadline again: each takes well below a millisecond.
const DRAIN_MAX: usize = 64;

/// Runs until told to stop.
pub(crate) fn run() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            crate::platform::kmsg::error(&format!("cannot start the event loop: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let tasks = tokio::task::LocalSet::new();
    match tasks.block_on(&runtime, serve()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::platform::kmsg::error(&format!("director cannot run: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> std::io::Result<()> {
    let (start, flash) = boot::load();
    let (mut shells, mut inputs) = Shells::open(flash)?;
    let mut effects = Vec::new();
    let mut director = Director::start(start, clock::now(), &mut effects);
    let mut running = shells.execute(&mut effects);
    while running {
        let event = next_event(&mut inputs, director.next_deadline()).await;
        if let Some(event) = event {
            director.handle(event, clock::now(), &mut effects);
            for _ in 0..DRAIN_MAX {
                let Some(event) = inputs.waiting() else { break };
                director.handle(event, clock::now(), &mut effects);
            }
        }
        running = shells.execute(&mut effects);
        shells.turned();
    }
    Ok(())
}

/// The next event, or `None` when the loop only has to show that it turns.
async fn next_event(inputs: &mut Inputs, deadline: Mono) -> Option<Event> {
    let wait_us = deadline.micros_since(clock::now()).min(TURN_MAX_MS.saturating_mul(1000));
    let until = Instant::now() + std::time::Duration::from_micros(wait_us);
    match timeout_at(until, inputs.next()).await {
        Ok(event) => Some(event),
        Err(_) if clock::now() >= deadline => Some(Event::Deadline),
        Err(_) => None,
    }
}

/// Effects of one turn.
type Effects = Vec<Effect>;
