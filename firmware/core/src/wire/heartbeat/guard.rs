//! What decides whether bytes from the network are the peer's word.

use super::{Bytes, Frame, MAGIC, SIGNED, TAG_BYTES, VERSION, field};
use crate::model::cluster::Authentication;
use crate::model::limits;
use crate::store::identity::Role;
use crate::wire::{WireError, take};
use core::fmt;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Keys at once: the signing one and those accepted beside it.
pub const KEYS_MAX: usize = limits::KEYS + 1;
/// Makes a key of a secret for this purpose and no other.
const PURPOSE: &[u8] = b"director heartbeat 1";
/// Words of Piranha's `pulse` heartbeat (features.md 1.1.4), in either byte order.
const PIRANHA: [u32; 7] =
    [0xbdad_dbda, 0xadbd_dabd, 0xdeaf_babe, 0xdeaf_dada, 0xbeef_babe, 0xdead_beef, 0xdead_dada];

/// A key that signs heartbeats. It has no text form.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key([u8; 32]);

impl Key {
    /// The key that a shared secret stands for.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(Sha256::new().chain_update(PURPOSE).chain_update(secret.as_bytes()).finalize().into())
    }

    fn mac(&self) -> Option<Hmac<Sha256>> {
        Hmac::new_from_slice(&self.0).ok()
    }
}

/// Tells keys apart without showing them: the id, and the first bytes of a hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeyMark {
    /// Id of the key.
    pub id: u8,
    /// First bytes of the SHA-256 of the key.
    pub print: u32,
}

impl KeyMark {
    /// Of a key.
    #[must_use]
    pub fn of(id: u8, key: &Key) -> Self {
        let hash: [u8; 32] = Sha256::new().chain_update(b"mark").chain_update(key.0).finalize().into();
        Self { id, print: hash.first_chunk::<4>().map_or(0, |first| u32::from_be_bytes(*first)) }
    }

    pub(super) fn bytes(self) -> [u8; 5] {
        let [a, b, c, d] = self.print.to_be_bytes();
        [self.id, a, b, c, d]
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let [id, print @ ..] = <[u8; 5]>::try_from(bytes).ok()?;
        Some(Self { id, print: u32::from_be_bytes(print) })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

/// The keys of a pair by id; the first signs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Keyring(heapless::Vec<(u8, Key), KEYS_MAX>);

impl Keyring {
    /// Adds a key that is accepted; the first one added signs. False when it finds no room.
    pub fn add(&mut self, id: u8, key: Key) -> bool {
        self.0.push((id, key)).is_ok()
    }

    fn with_id(&self, id: u8) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(move |(known, _)| *known == id).map(|(_, key)| key)
    }

    /// The key that signs, and its id.
    #[must_use]
    pub fn first(&self) -> Option<&(u8, Key)> {
        self.0.first()
    }

    /// All keys, as they are told to the peer.
    #[must_use]
    pub fn marks(&self) -> heapless::Vec<KeyMark, KEYS_MAX> {
        self.0.iter().map(|(id, key)| KeyMark::of(*id, key)).collect()
    }

    /// Id of the key that signs.
    #[must_use]
    pub fn signing(&self) -> Option<u8> {
        self.0.first().map(|(id, _)| *id)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why bytes are not the peer's word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// Some other program's datagram.
    Foreign,
    /// A heartbeat of Piranha's `pulse`.
    Piranha,
    /// A heartbeat of Linux-HA.
    LinuxHa,
    /// Of a version that this firmware cannot read.
    Version(u8),
    /// Of another pair.
    Group(u8),
    /// Says to be this very node: another box has the same identity, or our own frame came back.
    SameIdentity,
    /// Signed by a key that we do not have.
    UnknownKey(u8),
    /// Not signed, and it must be.
    Unsigned,
    /// The tag is wrong: forged or damaged.
    BadTag,
    /// Cut short, or fields that make no sense.
    Malformed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("not a heartbeat"),
            Self::Piranha => f.write_str("an old Piranha (pulse) peer: stop pulse there"),
            Self::LinuxHa => f.write_str("a Linux-HA heartbeat peer: stop heartbeat there"),
            Self::Version(version) => write!(f, "heartbeat version {version}: upgrade this box"),
            Self::Group(group) => write!(f, "another pair's, of group {group}"),
            Self::SameIdentity => f.write_str(
                "another box with this box's identity: make one of them the other node with cluster identity",
            ),
            Self::UnknownKey(id) => write!(f, "signed by key {id}, which this box does not accept"),
            Self::Unsigned => f.write_str("not signed"),
            Self::BadTag => f.write_str("wrong signature"),
            Self::Malformed => f.write_str("malformed"),
        }
    }
}

/// Frames by what became of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Passed.
    pub passed: u64,
    /// Not a heartbeat of ours: [`Refusal::Foreign`], [`Refusal::Piranha`], [`Refusal::LinuxHa`], [`Refusal::Version`].
    pub foreign: u64,
    /// Of another pair.
    pub group: u64,
    /// Of a box with our identity.
    pub identity: u64,
    /// Unsigned, of an unknown key, or wrongly signed.
    pub forged: u64,
    /// Malformed.
    pub malformed: u64,
}

impl Counters {
    fn count(&mut self, result: Option<Refusal>) {
        let counter = match result {
            None => &mut self.passed,
            Some(Refusal::Foreign | Refusal::Piranha | Refusal::LinuxHa | Refusal::Version(_)) => {
                &mut self.foreign
            }
            Some(Refusal::Group(_)) => &mut self.group,
            Some(Refusal::SameIdentity) => &mut self.identity,
            Some(Refusal::Unsigned | Refusal::UnknownKey(_) | Refusal::BadTag) => &mut self.forged,
            Some(Refusal::Malformed) => &mut self.malformed,
        };
        *counter = counter.saturating_add(1);
    }
}

/// The filter in front of the queue. Pure: bytes in, a frame or a refusal out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Guard {
    /// Number of the pair.
    pub group: u8,
    /// Which node this is.
    pub own: Role,
    /// What counts as authentic.
    pub mode: Authentication,
    /// The keys.
    pub keys: Keyring,
}

impl Guard {
    /// The frame as it goes out, signed as the mode says. `None` when there is no key and there must be one.
    #[must_use]
    pub fn seal(&self, frame: &Frame) -> Option<Bytes> {
        let sign = match self.mode {
            Authentication::Enforce => Some(self.keys.0.first()?),
            Authentication::Permissive => self.keys.0.first(),
            Authentication::ReceiveOnly => None,
        };
        // One key is no news.
        let marks = if self.keys.0.len() > 1 { self.keys.marks() } else { heapless::Vec::new() };
        let Some((id, key)) = sign else { return frame.emit(None, &marks) };
        let mut bytes = frame.emit(Some(*id), &marks)?;
        let tag = key.mac()?.chain_update(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&tag).ok()?;
        Some(bytes)
    }

    /// The frame that some bytes are, and counts it. What comes out is of this pair, of the other node, and authentic as
    /// far as the mode asks; whether it is fresh is not known here.
    pub fn open(&self, bytes: &[u8], counters: &mut Counters) -> Result<Frame, Refusal> {
        let result = self.judge(bytes);
        counters.count(result.as_ref().err().copied());
        result
    }

    fn judge(&self, bytes: &[u8]) -> Result<Frame, Refusal> {
        if bytes.get(field::MAGIC..field::VERSION) != Some(MAGIC.as_slice()) {
            return Err(stranger(bytes));
        }
        let malformed = |_: WireError| Refusal::Malformed;
        let [version, flags, group, key] = take(bytes, field::VERSION).map_err(malformed)?;
        if version != VERSION {
            return Err(Refusal::Version(version));
        }
        let length = take(bytes, field::LENGTH).map(u16::from_be_bytes).map_err(malformed)?;
        if usize::from(length) != bytes.len() || bytes.len() > super::FRAME_BYTES_MAX {
            return Err(Refusal::Malformed);
        }
        if group != self.group {
            return Err(Refusal::Group(group));
        }
        let (body, signer) = if flags & SIGNED == 0 {
            if self.mode == Authentication::Enforce {
                return Err(Refusal::Unsigned);
            }
            (bytes, None)
        } else {
            let (body, signer) = self.verify(bytes, key)?;
            (body, Some(signer))
        };
        let mut frame = Frame::parse(group, body.get(field::END..).unwrap_or_default()).map_err(malformed)?;
        frame.key = signer;
        if frame.sender == self.own { Err(Refusal::SameIdentity) } else { Ok(frame) }
    }

    /// What the tag covers, when it is right. The comparison takes the same time whatever differs.
    fn verify<'a>(&self, bytes: &'a [u8], id: u8) -> Result<(&'a [u8], KeyMark), Refusal> {
        let end = bytes.len().checked_sub(TAG_BYTES).ok_or(Refusal::Malformed)?;
        let (body, tag) = bytes.split_at_checked(end).ok_or(Refusal::Malformed)?;
        let mut refusal = Refusal::UnknownKey(id);
        // Two while a secret changes and its id does not.
        for key in self.keys.with_id(id) {
            let mac = key.mac().ok_or(Refusal::BadTag)?;
            if mac.chain_update(body).verify_slice(tag).is_ok() {
                return Ok((body, KeyMark::of(id, key)));
            }
            refusal = Refusal::BadTag;
        }
        Err(refusal)
    }
}

/// Whose heartbeat it is, if it is one at all.
fn stranger(bytes: &[u8]) -> Refusal {
    if let Ok(word) = <[u8; 4]>::try_from(bytes) {
        let known = |word| PIRANHA.contains(&word);
        if known(u32::from_be_bytes(word)) || known(u32::from_le_bytes(word)) {
            return Refusal::Piranha;
        }
    }
    // Its text form, and the one with netstrings (features.md 4.7).
    if bytes.starts_with(b">>>\n") || bytes.starts_with(b"###\n") {
        return Refusal::LinuxHa;
    }
    Refusal::Foreign
}
