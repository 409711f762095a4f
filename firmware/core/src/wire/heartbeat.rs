//! The heartbeat frame: what one node of the pair tells the other several times a second.
//!
//! ```text
//!   0  magic "DRHB"
//!   4  version (1)
//!   5  flags: 1 signed
//!   6  group of the pair
//!   7  id of the key, 0 when unsigned
//!   8  u16 length of the whole frame
//!  10  fields: type, length, value; an unknown type is skipped, so that a newer peer may say more
//!   n  HMAC-SHA256 over all before it, when signed: 32 bytes
//!
//!  1  who      role 'P' or 'B', state, fitness, priority, marks
//!  2  stamp    u64 nonce of this process, u64 microseconds since boot: rises with every frame
//!  3  echo     the newest stamp of the peer's that the sender has seen; absent before the first
//!  4  config   u64 generation, u64 first bytes of its hash
//!  5  version  u16 schema, firmware version in ASCII
//!  6  load     u32 usable servers, u32 connections
//!  7  boots    u32 boots counted in flash: a hint
//!  8  keys     while keys change: each key that is accepted, u8 id and u32 of its fingerprint
//! ```
//!
//! Integers are big-endian. Required are `who` and `stamp`. [`Guard::open`] is the pure filter in front of the queue: what
//! it refuses costs one hash at most and changes nothing but a counter.

mod guard;
#[cfg(test)]
mod tests;

pub use guard::{Counters, Guard, KEYS_MAX, Key, KeyMark, Keyring, Refusal};

use super::{WireError, put, take};
use crate::store::identity::Role;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Largest frame. Chosen: four times what version 1 needs, and below every path's MTU.
pub const FRAME_BYTES_MAX: usize = 512;
/// Longest firmware version carried.
pub const VERSION_BYTES: usize = 24;
/// Bytes of the tag that ends a signed frame (SHA-256).
pub const TAG_BYTES: usize = 32;
/// Fields in one frame, at most. Chosen: more than a frame of the largest size with sensible fields has.
const FIELDS_MAX: usize = 64;

const MAGIC: [u8; 4] = *b"DRHB";
/// The version that this code writes. Readers take every frame of the same version with whatever fields.
pub const VERSION: u8 = 1;
const SIGNED: u8 = 1;

mod field {
    pub(super) const MAGIC: usize = 0;
    pub(super) const VERSION: usize = 4;
    pub(super) const FLAGS: usize = 5;
    pub(super) const GROUP: usize = 6;
    pub(super) const KEY: usize = 7;
    pub(super) const LENGTH: usize = 8;
    pub(super) const END: usize = 10;

    pub(super) const WHO: u8 = 1;
    pub(super) const STAMP: u8 = 2;
    pub(super) const ECHO: u8 = 3;
    pub(super) const CONFIG: u8 = 4;
    pub(super) const FIRMWARE: u8 = 5;
    pub(super) const LOAD: u8 = 6;
    pub(super) const BOOTS: u8 = 7;
    pub(super) const KEYS: u8 = 8;
}

/// When and by which process a frame was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Stamp {
    /// Random, made when the process started.
    pub nonce: u64,
    /// Microseconds since boot, raised so that no two frames have the same.
    pub sequence: u64,
}

/// What the sender does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum State {
    /// Just started; listens.
    Starting,
    /// Ready to take over.
    Standby,
    /// Holds the floating addresses.
    Active,
    /// Stops in an orderly way, and holds nothing any more.
    Leaving,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Starting => "starting",
            Self::Standby => "standby",
            Self::Active => "active",
            Self::Leaving => "leaving",
        })
    }
}

/// What the sender asks or adds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Marks {
    /// Answer this frame at once.
    pub ask: bool,
    /// The better node wants to be active again.
    pub claim: bool,
    /// An operator wants the sender to be active.
    pub takeover: bool,
    /// An operator set the sender aside: it takes over only from a dead peer.
    pub aside: bool,
    /// The sender gave its role to the peer, and waits for it to take it.
    pub yielded: bool,
}

impl Marks {
    fn bits(self) -> u8 {
        u8::from(self.ask)
            | u8::from(self.claim) << 1
            | u8::from(self.takeover) << 2
            | u8::from(self.aside) << 3
            | u8::from(self.yielded) << 4
    }

    const fn from_bits(bits: u8) -> Self {
        Self {
            ask: bits & 1 != 0,
            claim: bits & 2 != 0,
            takeover: bits & 4 != 0,
            aside: bits & 8 != 0,
            yielded: bits & 16 != 0,
        }
    }
}

/// What the sender runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Running {
    /// Generation of the configuration.
    pub generation: u64,
    /// First eight bytes of its SHA-256.
    pub hash: u64,
}

/// A heartbeat.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Frame {
    /// Number of the pair.
    pub group: u8,
    /// Which node sent it.
    pub sender: Role,
    /// What it does.
    pub state: State,
    /// How well it could serve; the higher the better ([`crate::election::Fitness`]).
    pub fitness: u8,
    /// The higher one is active when both can.
    pub priority: u8,
    /// What it asks or adds.
    pub marks: Marks,
    /// When it was made.
    pub stamp: Stamp,
    /// The newest of our stamps that the sender has seen.
    pub echo: Option<Stamp>,
    /// Its configuration.
    pub running: Option<Running>,
    /// Newest configuration schema that it reads.
    pub schema: u16,
    /// Its firmware version.
    pub firmware: heapless::String<VERSION_BYTES>,
    /// Servers that it finds usable.
    pub usable: u32,
    /// Connections in its table.
    pub connections: u32,
    /// Boots counted in its flash.
    pub boots: u32,
    /// Keys that the sender accepts, when it says so: while keys change.
    pub keys: heapless::Vec<KeyMark, KEYS_MAX>,
    /// The key that signed it; the guard says so, it does not travel.
    pub key: Option<KeyMark>,
}

/// Bytes of a frame, ready to be sent.
pub type Bytes = heapless::Vec<u8, FRAME_BYTES_MAX>;

impl Frame {
    /// A frame that says no more than it must.
    #[must_use]
    pub fn new(group: u8, sender: Role, state: State, stamp: Stamp) -> Self {
        Self {
            group,
            sender,
            state,
            fitness: 0,
            priority: 0,
            marks: Marks::default(),
            stamp,
            echo: None,
            running: None,
            schema: 0,
            firmware: heapless::String::new(),
            usable: 0,
            connections: 0,
            boots: 0,
            keys: heapless::Vec::new(),
            key: None,
        }
    }

    /// As sent, without the tag; `key` is the id of the key that will sign it.
    fn emit(&self, key: Option<u8>, keys: &[KeyMark]) -> Option<Bytes> {
        let mut bytes = Bytes::new();
        bytes.resize(field::END, 0).ok()?;
        let state = match self.state {
            State::Starting => 0,
            State::Standby => 1,
            State::Active => 2,
            State::Leaving => 3,
        };
        let sender = match self.sender {
            Role::Primary => b'P',
            Role::Backup => b'B',
        };
        let who = [sender, state, self.fitness, self.priority, self.marks.bits()];
        push(&mut bytes, field::WHO, &[&who])?;
        push_pair(&mut bytes, field::STAMP, self.stamp.nonce, self.stamp.sequence)?;
        if let Some(echo) = self.echo {
            push_pair(&mut bytes, field::ECHO, echo.nonce, echo.sequence)?;
        }
        if let Some(running) = self.running {
            push_pair(&mut bytes, field::CONFIG, running.generation, running.hash)?;
        }
        push(&mut bytes, field::FIRMWARE, &[&self.schema.to_be_bytes(), self.firmware.as_bytes()])?;
        push(&mut bytes, field::LOAD, &[&self.usable.to_be_bytes(), &self.connections.to_be_bytes()])?;
        push(&mut bytes, field::BOOTS, &[&self.boots.to_be_bytes()])?;
        if !keys.is_empty() {
            let marks: heapless::Vec<[u8; 5], KEYS_MAX> = keys.iter().map(|mark| mark.bytes()).collect();
            push(&mut bytes, field::KEYS, &[marks.as_flattened()])?;
        }
        let tag = if key.is_some() { TAG_BYTES } else { 0 };
        let length = u16::try_from(bytes.len().checked_add(tag)?).ok()?;
        put(&mut bytes, field::MAGIC, &MAGIC);
        put(&mut bytes, field::VERSION, &[VERSION]);
        put(&mut bytes, field::FLAGS, &[if key.is_some() { SIGNED } else { 0 }]);
        put(&mut bytes, field::GROUP, &[self.group]);
        put(&mut bytes, field::KEY, &[key.unwrap_or(0)]);
        put(&mut bytes, field::LENGTH, &length.to_be_bytes());
        Some(bytes)
    }

    /// Reads the fields behind a header that was checked.
    fn parse(group: u8, fields: &[u8]) -> Result<Self, WireError> {
        let mut who = None;
        let mut stamp = None;
        let mut frame = Self::new(group, Role::Primary, State::Starting, Stamp::default());
        let mut rest = fields;
        for _ in 0..FIELDS_MAX {
            let Some((head, tail)) = rest.split_first_chunk::<2>() else { break };
            let [kind, length] = *head;
            let (value, tail) = tail.split_at_checked(usize::from(length)).ok_or(WireError::Truncated)?;
            rest = tail;
            match kind {
                field::WHO => who = Some(take::<5>(value, 0)?),
                field::STAMP => stamp = Some(pair(value)?),
                field::ECHO => frame.echo = Some(stamp_of(pair(value)?)),
                field::CONFIG => {
                    let (generation, hash) = pair(value)?;
                    frame.running = Some(Running { generation, hash });
                }
                field::FIRMWARE => {
                    frame.schema = u16::from_be_bytes(take(value, 0)?);
                    frame.firmware = text(value.get(2..).unwrap_or_default())?;
                }
                field::LOAD => {
                    frame.usable = u32::from_be_bytes(take(value, 0)?);
                    frame.connections = u32::from_be_bytes(take(value, 4)?);
                }
                field::KEYS => {
                    frame.keys = value.chunks_exact(5).filter_map(KeyMark::read).take(KEYS_MAX).collect()
                }
                field::BOOTS => frame.boots = u32::from_be_bytes(take(value, 0)?),
                _ => {}
            }
        }
        if !rest.is_empty() {
            return Err(WireError::Truncated);
        }
        let [sender, state, fitness, priority, marks] = who.ok_or(WireError::Unexpected { field: "who" })?;
        frame.stamp = stamp_of(stamp.ok_or(WireError::Unexpected { field: "stamp" })?);
        frame.sender = match sender {
            b'P' => Role::Primary,
            b'B' => Role::Backup,
            _ => return Err(WireError::Unexpected { field: "role" }),
        };
        frame.state = match state {
            0 => State::Starting,
            1 => State::Standby,
            2 => State::Active,
            3 => State::Leaving,
            _ => return Err(WireError::Unexpected { field: "state" }),
        };
        (frame.fitness, frame.priority, frame.marks) = (fitness, priority, Marks::from_bits(marks));
        Ok(frame)
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "heartbeat group {} {} {}", self.group, self.sender, self.state)?;
        write!(f, " fitness {} priority {} seq {}", self.fitness, self.priority, self.stamp.sequence)?;
        match self.echo {
            Some(echo) => write!(f, " echo {}", echo.sequence),
            None => f.write_str(" echo none"),
        }
    }
}

fn push(bytes: &mut Bytes, kind: u8, parts: &[&[u8]]) -> Option<()> {
    let length: usize = parts.iter().map(|p| p.len()).sum();
    bytes.extend_from_slice(&[kind, u8::try_from(length).ok()?]).ok()?;
    parts.iter().try_for_each(|part| bytes.extend_from_slice(part).ok())
}

fn push_pair(bytes: &mut Bytes, kind: u8, first: u64, second: u64) -> Option<()> {
    push(bytes, kind, &[&first.to_be_bytes(), &second.to_be_bytes()])
}

fn pair(value: &[u8]) -> Result<(u64, u64), WireError> {
    Ok((u64::from_be_bytes(take(value, 0)?), u64::from_be_bytes(take(value, 8)?)))
}

const fn stamp_of((nonce, sequence): (u64, u64)) -> Stamp {
    Stamp { nonce, sequence }
}

/// Printable ASCII, or nothing: it is shown on a terminal.
fn text(bytes: &[u8]) -> Result<heapless::String<VERSION_BYTES>, WireError> {
    let unexpected = WireError::Unexpected { field: "firmware version" };
    let text = core::str::from_utf8(bytes).map_err(|_| unexpected)?;
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(unexpected);
    }
    heapless::String::try_from(text).map_err(|_| unexpected)
}
