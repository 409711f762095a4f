//! The director process: one loop that feeds events to the pure [`director_core::director::Director`] and gives its
//! effects to shells.
//!
//! ```text
//!  deadline ──────────────┐                          ┌─> kernel shell  (dump, apply; in order, one at a time)
//!  SIGTERM ───────────────┤                          ├─> heartbeats    (a task for each network)
//!  heartbeats    (64) ────┤                          ├─> prober        (a task for each probe)
//!  peer          (16) ────┤                          ├─> peer          (one connection, sealed)
//!  kernel shell  (16) ────┼──> Director::handle ─────┼─> flash thread  (save, mark; in order)
//!  prober      (1024) ────┤    (pure, never waits)   ├─> consoles      (replies)
//!  flash thread  (16) ────┤                          └─> /run, kmsg    (checkpoint, log; written at once)
//!  consoles      (32) ────┘
//! ```
//!
//! Every source has its own bounded queue; the loop drains them in that order, so a flood of probe results cannot
//! delay a deadline, and no console can delay anything. Each queue that is full holds back its producer.

pub(crate) mod boot;
mod dhcp;
mod kernel_shell;
pub(crate) mod rwho;
mod shells;
mod sorry;
mod syslog;
mod time;

use crate::init::report::Reporter;
use crate::platform::clock;
use crate::platform::kmsg::Log;
use director_core::director::{Director, Event, Level};
use director_core::init::Child;
use director_core::init::limits::{EXIT_FINAL, REPORT_EVERY};
use director_core::model::Mono;
use director_core::store::Generation;
use shells::{Inputs, Shells};
use std::process::ExitCode;
use std::rc::Rc;
use tokio::runtime::LocalOptions;
use tokio::time::{Instant, timeout_at};

/// Descriptors: one for each probe in flight ([`director_core::health::schedule::IN_FLIGHT_MAX`]) and some for the rest.
const DESCRIPTORS: u64 = 8192;
/// Events taken without looking at the deadline again: each takes well below a millisecond.
const DRAIN_MAX: usize = 64;

/// Runs until told to stop.
/// `reporter` tells init that the loop turns; `fenced`: init removed the floating addresses of the process before.
pub(crate) fn run(reporter: Option<Reporter>, fenced: bool) -> ExitCode {
    let log = Rc::new(Log::open(Child::Director.word()));
    if boot::leaves_to_rescue(&log) {
        return ExitCode::from(EXIT_FINAL);
    }
    allow_sockets(&log);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            log.write(Level::Error, format_args!("cannot start the event loop: {error}"));
            return ExitCode::FAILURE;
        }
    };
    // A task of its own: what wakes the future of `block_on` itself costs a write to an eventfd and another look at epoll.
    let serving = Rc::clone(&log);
    let served = runtime.block_on(async {
        tokio::task::spawn_local(async move { serve(&serving, reporter, fenced).await }).await
    });
    match served.unwrap_or_else(|error| Err(error.into())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log.write(Level::Error, format_args!("cannot run: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Raises the limit of open descriptors as far as it goes; checks that find none say so.
fn allow_sockets(log: &Log) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS.min(hard), hard));
    if let Err(errno) = raised {
        log.write(Level::Warning, format_args!("limit of open descriptors: {}", errno.desc()));
    }
}

async fn serve(log: &Rc<Log>, reporter: Option<Reporter>, fenced: bool) -> std::io::Result<()> {
    let (mut start, flash) = boot::load(log);
    if fenced && let Some(role) = start.checkpoint.as_mut().and_then(|c| c.cluster.as_mut()) {
        // The peer may have taken over.
        role.active = false;
    }
    let (mut shells, mut inputs) = Shells::open(log, flash, reporter)?;
    if start.generation != Generation::default() {
        shells.judge(start.generation, start.config.clone());
    }
    let mut effects = Vec::new();
    let mut director = Director::start(start, clock::now(), &mut effects);
    while shells.execute(&mut inputs, &mut effects) {
        shells.turned(clock::now(), director.proven());
        if let Some(event) = next_event(&mut shells, &mut inputs, director.next_deadline()).await {
            director.handle(event, clock::now(), &mut effects);
            // Inputs that never end must not keep a deadline from being met.
            if director.next_deadline() <= clock::now() {
                director.handle(Event::Deadline, clock::now(), &mut effects);
            }
            for _ in 0..DRAIN_MAX {
                let Some(event) = inputs.waiting() else { break };
                director.handle(event, clock::now(), &mut effects);
            }
        }
    }
    Ok(())
}

/// The next event, or `None` when the loop only has to show that it turns.
async fn next_event(shells: &mut Shells, inputs: &mut Inputs, deadline: Mono) -> Option<Event> {
    if let Some(event) = shells.refused() {
        return Some(event);
    }
    let turn_us = u64::from(REPORT_EVERY.get()).saturating_mul(1000);
    let wait_us = deadline.micros_since(clock::now()).min(turn_us);
    let until = Instant::now() + std::time::Duration::from_micros(wait_us);
    match timeout_at(until, inputs.next()).await {
        Ok(event) => Some(event),
        Err(_) if clock::now() >= deadline => Some(Event::Deadline),
        Err(_) => None,
    }
}
