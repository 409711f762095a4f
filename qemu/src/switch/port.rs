//! One port: its cable, its output queue and its counters.

use super::SegmentId;
use nix::errno::Errno;
use nix::poll::PollFlags;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Frames that wait for a receiver with a full socket. Chosen: the `txqueuelen` of a Linux device.
const QUEUE_FRAMES: usize = 1000;

/// What a port has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Frames that came from the node.
    pub received: u64,
    /// Frames given to the node.
    pub sent: u64,
    /// Frames for the node that its full queue lost.
    pub overflowed: u64,
    /// Frames for the node that a rule took.
    pub ruled_out: u64,
}

/// What became of a frame.
pub(super) enum Sent {
    Yes,
    Queued,
    Dropped,
    Gone,
}

pub(super) struct Port {
    pub(super) segment: SegmentId,
    pub(super) name: String,
    /// `None` while nobody is at the other end: a VM that is switched off.
    pub(super) cable: Option<Arc<OwnedFd>>,
    pub(super) counters: Counters,
    queue: VecDeque<Vec<u8>>,
    /// Buffers of frames that left the queue, used again.
    spare: Vec<Vec<u8>>,
}

impl Port {
    pub(super) fn new(segment: SegmentId, name: &str, fd: OwnedFd) -> Self {
        Self {
            segment,
            name: name.to_owned(),
            cable: Some(Arc::new(fd)),
            counters: Counters::default(),
            queue: VecDeque::new(),
            spare: Vec::new(),
        }
    }

    pub(super) fn replug(&mut self, fd: OwnedFd) {
        self.unplug();
        self.cable = Some(Arc::new(fd));
    }

    pub(super) fn unplug(&mut self) {
        self.cable = None;
        self.queue.clear();
    }

    pub(super) fn wants(&self) -> PollFlags {
        if self.queue.is_empty() { PollFlags::POLLIN } else { PollFlags::POLLIN | PollFlags::POLLOUT }
    }

    /// The next frame from the node; `None` when there is none now.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let cable = self.cable.as_ref()?;
        match nix::unistd::read(cable, buffer) {
            // A datagram socket reads zero bytes for an empty datagram; neither QEMU nor a TAP sends one.
            Ok(0) | Err(_) => None,
            Ok(length) => {
                self.counters.received += 1;
                Some(length)
            }
        }
    }

    pub(super) fn send(&mut self, frame: &[u8]) -> Sent {
        if !self.queue.is_empty() {
            return self.enqueue(frame);
        }
        match self.write(frame) {
            Sent::Queued => self.enqueue(frame),
            done @ (Sent::Yes | Sent::Dropped | Sent::Gone) => done,
        }
    }

    /// Sends what waits, as far as the receiver takes it.
    pub(super) fn drain(&mut self) {
        while let Some(frame) = self.queue.pop_front() {
            if matches!(self.write(&frame), Sent::Queued) {
                self.queue.push_front(frame);
                return;
            }
            self.spare.push(frame);
        }
    }

    fn enqueue(&mut self, frame: &[u8]) -> Sent {
        if self.queue.len() >= QUEUE_FRAMES {
            self.counters.overflowed += 1;
            return Sent::Dropped;
        }
        let mut copy = self.spare.pop().unwrap_or_default();
        copy.clear();
        copy.extend_from_slice(frame);
        self.queue.push_back(copy);
        Sent::Queued
    }

    /// `Sent::Queued` here means: would block.
    fn write(&mut self, frame: &[u8]) -> Sent {
        let Some(cable) = self.cable.as_ref() else { return Sent::Dropped };
        match nix::unistd::write(cable, frame) {
            Ok(_) => {
                self.counters.sent += 1;
                Sent::Yes
            }
            Err(Errno::EAGAIN | Errno::ENOBUFS) => Sent::Queued,
            Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN | Errno::ECONNREFUSED) => Sent::Gone,
            // EIO: a TAP device that is down takes nothing, as a cable into a switched-off machine.
            Err(_) => {
                self.counters.overflowed += 1;
                Sent::Dropped
            }
        }
    }
}
