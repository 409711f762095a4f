//! One netlink socket for requests: single ones, batches and dumps.
//!
//! Cancelling any of the futures is harmless: what the kernel still answers is thrown away before the next request.

use super::{Body, Encoder, Malformed, Message, decode, errno, errno_raw, from_io, messages, refuse, uapi};
use director_core::plan::OpError;
use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Bytes of the receive buffer. The kernel makes parts of a dump as large as the reader's buffer, up to 32 KiB
/// (`netlink_recvmsg`); an error repeats its request.
const RECEIVE_BYTES: usize = 64 * 1024;
/// Bytes that the kernel may queue for us, and we for it. Chosen: the errors of [`BATCH_MAX`] messages, each with the
/// overhead of its buffer, several times; and a rule set of 60,000 virtual servers (at most 36 bytes each) in one transaction.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Most messages in one [`Channel::batch`]. Chosen: the kernel works about 3 ms on them in an
/// emulated guest, and all their errors fit the queue.
pub(crate) const BATCH_MAX: usize = 128;
/// How long to wait for an answer that is not there yet. Chosen: far above what a loaded kernel needs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a dump is repeated because the objects changed meanwhile.
const DUMP_ATTEMPTS: usize = 8;
/// Most datagrams of an abandoned request that are thrown away before the next one: a dump of 20,000 objects.
const STALE_MAX: usize = 4096;

/// A bound socket that is closed when dropped.
#[derive(Debug)]
pub(crate) struct Socket(AsyncFd<Owned>);

/// Gives neli's socket `AsFd` and `Debug`.
struct Owned(NlSocket);

impl std::fmt::Debug for Owned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NlSocket").field(&self.0.as_raw_fd()).finish()
    }
}

impl AsRawFd for Owned {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

impl AsFd for Owned {
    #[expect(unsafe_code, reason = "neli's socket has no AsFd")]
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor belongs to `self.0`, which closes it on drop only and outlives the borrow.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

impl Socket {
    /// Opens a socket that is member of `groups`. Needs a running tokio reactor.
    pub(crate) fn open(family: NlFamily, groups: &[u32]) -> io::Result<Self> {
        let socket = Owned(NlSocket::connect(family, None, Groups::empty())?);
        socket.0.nonblock()?;
        if !groups.is_empty() {
            socket.0.add_mcast_membership(Groups::new_groups(groups))?;
        }
        // A kernel that does not know these says less in its errors; nothing else changes.
        socket.0.enable_ext_ack(true).or_else(unknown_option)?;
        socket.0.enable_strict_checking(true).or_else(unknown_option)?;
        // In a user namespace (tests) the limit stays at the system's; a full queue is then met by asking again.
        setsockopt(&socket, sockopt::RcvBufForce, &QUEUE_BYTES).or_else(not_permitted)?;
        setsockopt(&socket, sockopt::SndBufForce, &QUEUE_BYTES).or_else(not_permitted)?;
        #[expect(unsafe_code, reason = "tokio asks for the promise that the descriptor stays open")]
        // SAFETY: `Owned` owns the descriptor, gives no one else a way to close it, and always returns the same.
        let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Ok(Self(registered.map_err(io::Error::from)?))
    }

    /// Takes one datagram if there is one.
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (length, _) = self.0.get_ref().0.recv(buffer, Msg::TRUNC | Msg::DONTWAIT)?;
        Ok(length)
    }

    /// Waits until [`Self::try_receive`] may have something, an error included.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await?.clear_ready();
        Ok(())
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_ref().0.send(bytes, Msg::DONTWAIT).map(drop)
    }
}

fn unknown_option(error: io::Error) -> io::Result<()> {
    if error.raw_os_error() == Some(libc::ENOPROTOOPT) { Ok(()) } else { Err(error) }
}

fn not_permitted(errno: Errno) -> nix::Result<()> {
    if errno == Errno::EPERM { Ok(()) } else { Err(errno) }
}

/// What became of the messages of one batch.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// One result for each message, certain.
    All(Vec<Result<(), OpError>>),
    /// The kernel lost answers (ENOBUFS): each message may or may not have been executed.
    Unknown,
}

/// A socket for requests.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: Socket,
    encoder: Encoder,
    buffer: Vec<u8>,
    seq: u32,
    /// The last request was answered to its end: nothing of it can still arrive.
    clean: bool,
}

impl Channel {
    /// Opens a socket of the given family.
    pub(crate) fn open(family: NlFamily) -> io::Result<Self> {
        let socket = Socket::open(family, &[])?;
        Ok(Self { socket, encoder: Encoder::default(), buffer: vec![0; RECEIVE_BYTES], seq: 0, clean: true })
    }

    /// Sends one request with `flags` and waits until the kernel acknowledges or refuses it.
    pub(crate) async fn request(
        &mut self,
        kind: u16,
        flags: u16,
        write: impl FnOnce(&mut Body<'_>),
    ) -> Result<(), OpError> {
        let seq = self.next_seq(1);
        self.encoder.clear();
        self.encoder.message(kind, flags | uapi::ACK, seq, write);
        self.send()?;
        self.answers(|message| if message.seq == seq { finished(message) } else { Ok(None) }).await
    }

    /// Sends one request that the kernel answers by objects and an acknowledgement, `each` of which is given to `each`.
    pub(crate) async fn get(
        &mut self,
        kind: u16,
        write: impl FnOnce(&mut Body<'_>),
        mut each: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), OpError> {
        let seq = self.next_seq(1);
        self.encoder.clear();
        self.encoder.message(kind, uapi::ACK, seq, write);
        self.send()?;
        self.answers(|message| match message.kind {
            _ if message.seq != seq => Ok(None),
            uapi::ERROR | uapi::DONE | uapi::OVERRUN => finished(message),
            _ => each(message).map(|()| None).map_err(OpError::from),
        })
        .await
    }

    /// Sends 1 to [`BATCH_MAX`] messages at once. `write` gets each message's index and its body; only the last asks for
    /// an acknowledgement, because errors come unasked and the kernel works in order: a message before the
    /// acknowledged one without an error was executed.
    pub(crate) async fn batch(
        &mut self,
        count: usize,
        kind: u16,
        mut write: impl FnMut(usize, &mut Body<'_>),
    ) -> Result<Outcome, OpError> {
        let count = u32::try_from(count.min(BATCH_MAX)).unwrap_or(0);
        let Some(last) = count.checked_sub(1) else { return Ok(Outcome::All(Vec::new())) };
        let first = self.next_seq(count);
        self.encoder.clear();
        for index in 0..count {
            let flags = if index == last { uapi::ACK } else { 0 };
            let position = usize::try_from(index).unwrap_or(usize::MAX);
            self.encoder.message(kind, flags, first.wrapping_add(index), |body| write(position, body));
        }
        self.send()?;
        let mut results = vec![Ok(()); usize::try_from(count).unwrap_or(0)];
        let answered = self
            .answers(|message| {
                let index = message.seq.wrapping_sub(first);
                let slot = usize::try_from(index).ok().and_then(|index| results.get_mut(index));
                let (Some(slot), uapi::ERROR) = (slot, message.kind) else { return Ok(None) };
                *slot = acknowledgement(message)?;
                Ok((index == last).then_some(()))
            })
            .await;
        match answered {
            Ok(()) => Ok(Outcome::All(results)),
            Err(error) if Errno::from_raw(error.errno) == Errno::ENOBUFS => Ok(Outcome::Unknown),
            Err(error) => Err(error),
        }
    }

    /// Sends messages that the kernel executes all or none (nf_tables). `write` gets the encoder, the sequence number of
    /// the first message, and returns that of the last, which it marked with `NLM_F_ACK`.
    pub(crate) async fn transaction(
        &mut self,
        write: impl FnOnce(&mut Encoder, u32) -> u32,
    ) -> Result<(), OpError> {
        self.encoder.clear();
        let first = self.seq.wrapping_add(1).max(1);
        let last = write(&mut self.encoder, first);
        self.seq = last.wrapping_add(1);
        self.send()?;
        let span = last.wrapping_sub(first);
        self.answers(|message| {
            let ours = message.seq.wrapping_sub(first) <= span && message.kind == uapi::ERROR;
            if !ours {
                return Ok(None);
            }
            // A failed commit is reported with the number of the first message, ahead of the acknowledgement.
            acknowledgement(message)??;
            Ok((message.seq == last).then_some(()))
        })
        .await
    }

    /// Dumps objects: calls `each` for every one; when the kernel says that they changed meanwhile, calls `restart`
    /// and begins again.
    pub(crate) async fn dump<T>(
        &mut self,
        kind: u16,
        found: &mut T,
        write: impl Fn(&mut Body<'_>),
        mut each: impl FnMut(&mut T, &Message<'_>) -> Result<(), Malformed>,
        restart: impl Fn(&mut T),
    ) -> Result<(), OpError> {
        for _ in 0..DUMP_ATTEMPTS {
            let seq = self.next_seq(1);
            self.encoder.clear();
            self.encoder.message(kind, uapi::DUMP, seq, &write);
            self.send()?;
            let mut interrupted = false;
            self.answers(|message| {
                if message.seq != seq {
                    return Ok(None);
                }
                interrupted |= message.flags & uapi::DUMP_INTR != 0 && message.kind != uapi::ERROR;
                match message.kind {
                    uapi::ERROR | uapi::DONE | uapi::OVERRUN => finished(message),
                    _ => each(found, message).map(|()| None).map_err(OpError::from),
                }
            })
            .await?;
            if !interrupted {
                return Ok(());
            }
            restart(found);
        }
        Err(refuse(Errno::EINTR, "the kernel's objects changed during each of several dumps"))
    }

    fn next_seq(&mut self, count: u32) -> u32 {
        // 0 is what notifications carry.
        let first = self.seq.wrapping_add(1).max(1);
        let first = if first.checked_add(count).is_none() { 1 } else { first };
        self.seq = first.wrapping_add(count).wrapping_sub(1);
        first
    }

    /// Sends what the encoder holds, after throwing away answers to abandoned requests: a dump that was not read to its
    /// end would make the kernel refuse the next one (EBUSY).
    fn send(&mut self) -> Result<(), OpError> {
        let stale = if std::mem::take(&mut self.clean) { 0 } else { STALE_MAX };
        for _ in 0..stale {
            match self.socket.try_receive(&mut self.buffer) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(_) => break,
            }
        }
        let bytes =
            self.encoder.finish().map_err(|_| refuse(Errno::EMSGSIZE, "a netlink request is too long"))?;
        self.socket.send(bytes).map_err(|error| from_io("netlink", &error))
    }

    /// Gives every message that arrives to `judge` until it says that the request is finished or failed.
    async fn answers(
        &mut self,
        mut judge: impl FnMut(&Message<'_>) -> Result<Option<()>, OpError>,
    ) -> Result<(), OpError> {
        loop {
            let length = self.receive().await?;
            let datagram = self
                .buffer
                .get(..length)
                .ok_or_else(|| refuse(Errno::EMSGSIZE, "a netlink answer is too long"))?;
            for message in messages(datagram) {
                if judge(&message?)?.is_some() {
                    self.clean = true;
                    return Ok(());
                }
            }
        }
    }

    async fn receive(&mut self) -> Result<usize, OpError> {
        loop {
            match self.socket.try_receive(&mut self.buffer) {
                Ok(length) => return Ok(length),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ready = tokio::time::timeout(ANSWER_TIMEOUT, self.socket.readable()).await;
                    let ready = ready.map_err(|_| refuse(Errno::ETIMEDOUT, "the kernel does not answer"))?;
                    ready.map_err(|error| from_io("netlink", &error))?;
                }
                Err(error) => return Err(error.raw_os_error().map_or_else(|| errno(Errno::EIO), errno_raw)),
            }
        }
    }
}

/// Whether the message ends its request, and how.
fn finished(message: &Message<'_>) -> Result<Option<()>, OpError> {
    match message.kind {
        uapi::ERROR => acknowledgement(message)?.map(Some),
        uapi::DONE => {
            // The end of a dump carries its error as a negative number, or nothing in old kernels.
            let number = decode::bytes_at(message.payload, 0).map_or(0, i32::from_ne_bytes);
            if number < 0 { Err(errno_raw(number.saturating_neg())) } else { Ok(Some(())) }
        }
        uapi::OVERRUN => Err(errno(Errno::ENOBUFS)),
        _ => Ok(None),
    }
}

/// The kernel's verdict about one message.
fn acknowledgement(message: &Message<'_>) -> Result<Result<(), OpError>, OpError> {
    let (number, words) = decode::error(message)?;
    if number == 0 {
        return Ok(Ok(()));
    }
    let error = errno_raw(number);
    let said = words.filter(|words| !words.is_empty()).map(String::from);
    Ok(Err(OpError { message: said.unwrap_or(error.message), ..error }))
}

#[cfg(test)]
mod tests;
