//! Executes effects, and collects what comes back.

use super::boot::save_checkpoint;
use super::kernel_shell::{self, Job};
use crate::ipc;
use crate::platform::flash::{Flash, FlashWorker, Job as FlashJob};
use crate::platform::probe::Prober;
use crate::platform::{clock, kmsg, liveness::Liveness};
use director_core::director::protocol::{Reply, Request, SessionId};
use director_core::director::{Effect, Event};
use director_core::health::{ProbeId, ProbeOutcome};
use director_core::store::{Commit, StoreError, blob};
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Answers of the kernel under way: one job at a time, and notifications that were not taken yet.
const KERNEL_QUEUE: usize = 16;
/// Jobs for the kernel: the machine has one under way; the rest are repeated announcements.
const KERNEL_JOBS: usize = 64;
/// Ended probes that were not taken yet. Full: the probes wait, the loop does not.
const PROBE_QUEUE: usize = 1024;
/// Answers of the flash: one commit at a time.
const FLASH_QUEUE: usize = 16;
/// Requests of consoles that were not taken yet.
const CONSOLE_QUEUE: usize = 32;

/// Where events come from.
#[derive(Debug)]
pub(super) struct Inputs {
    stop: Signal,
    kernel: mpsc::Receiver<Event>,
    probes: mpsc::Receiver<(ProbeId, ProbeOutcome)>,
    flash: mpsc::Receiver<Event>,
    consoles: mpsc::Receiver<(SessionId, Request)>,
}

impl Inputs {
    /// The next event, the more urgent source first. Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> Event {
        // Senders live as long as the shells, so no queue ever ends; an ended one would only be skipped.
        tokio::select! {
            biased;
            _ = self.stop.recv() => Event::Stop,
            Some(event) = self.kernel.recv() => event,
            Some((id, outcome)) = self.probes.recv() => Event::Probed { id, outcome },
            Some(event) = self.flash.recv() => event,
            Some((session, request)) = self.consoles.recv() => {
                Event::Request { session, request: Box::new(request) }
            }
        }
    }

    /// An event that is there already.
    pub(super) fn waiting(&mut self) -> Option<Event> {
        if let Ok(event) = self.kernel.try_recv() {
            return Some(event);
        }
        if let Ok((id, outcome)) = self.probes.try_recv() {
            return Some(Event::Probed { id, outcome });
        }
        if let Ok(event) = self.flash.try_recv() {
            return Some(event);
        }
        let (session, request) = self.consoles.try_recv().ok()?;
        Some(Event::Request { session, request: Box::new(request) })
    }
}

/// Who executes effects.
#[derive(Debug)]
pub(super) struct Shells {
    kernel: mpsc::Sender<Job>,
    kernel_events: mpsc::Sender<Event>,
    prober: Prober,
    flash: Option<FlashWorker>,
    flash_events: mpsc::Sender<Event>,
    consoles: ipc::Server,
    liveness: Liveness,
}

impl Shells {
    /// Opens everything. Must run inside the loop's local task set.
    pub(super) fn open(flash: Option<Flash>) -> io::Result<(Self, Inputs)> {
        let (jobs, job_queue) = mpsc::channel(KERNEL_JOBS);
        let (kernel_events, kernel) = mpsc::channel(KERNEL_QUEUE);
        let (probe_events, probes) = mpsc::channel(PROBE_QUEUE);
        let (flash_events, flash_queue) = mpsc::channel(FLASH_QUEUE);
        let (requests, consoles) = mpsc::channel(CONSOLE_QUEUE);
        tokio::task::spawn_local(kernel_shell::serve(job_queue, kernel_events.clone()));
        tokio::task::spawn_local(kernel_shell::watch(kernel_events.clone()));
        let shells = Self {
            kernel: jobs,
            kernel_events,
            prober: Prober::new(probe_events),
            flash: flash.map(|flash| FlashWorker::start(flash, flash_events.clone())),
            flash_events,
            consoles: ipc::Server::open(requests)?,
            liveness: Liveness::inherited(),
        };
        let stop = signal(SignalKind::terminate())?;
        Ok((shells, Inputs { stop, kernel, probes, flash: flash_queue, consoles }))
    }
}
