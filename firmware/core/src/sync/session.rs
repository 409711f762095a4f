//! One connection between the boxes, sealed: bytes in, bytes out. Who connects and how is the shell's matter.
//!
//! ```text
//!   0  magic "DRSS"          both ends begin with a greeting, in the clear
//!   4  version (1)
//!   5  group of the pair
//!   6  sender 'P' or 'B'
//!   7  id of the key
//!   8  nonce, 32 random bytes
//!
//!   0  u16 length of what follows
//!   2  sealed: kind (0 proof, 1 more follows, 2 the message ends here), data, 16 bytes of tag
//! ```
//!
//! Keys: HKDF-SHA256 (RFC 5869) of the cluster secret, with both greetings as salt, and purpose and sender as info. So each
//! direction of each connection has its own, and nothing that was recorded opens on another connection. Nonces of
//! ChaCha20-Poly1305 (RFC 8439) count frames, so that one left out, repeated or moved is found; the length is bound as
//! associated data. The first frame is an empty proof. Before it was verified no more than a greeting and that
//! frame is ever stored, and whatever is wrong ends the connection.

use super::{MESSAGE_MAX, Message};
use crate::store::identity::Role;
use alloc::vec::Vec;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use core::fmt;
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Bytes of a greeting.
pub const GREETING: usize = 40;
/// Bytes of random that a greeting needs.
pub const NONCE: usize = 32;
/// Most bytes of a message in one frame. Chosen: a socket buffer takes some.
const DATA_MAX: usize = 16 * 1024;
const TAG: usize = 16;
/// Bytes of a sealed frame with nothing but its kind.
const EMPTY: usize = 1 + TAG;
const FRAME_MAX: usize = EMPTY + DATA_MAX;
const LENGTH: usize = 2;

const MAGIC: [u8; 4] = *b"DRSS";
const VERSION: u8 = 1;
const PURPOSE: &[u8] = b"director sync 1";

mod kind {
    pub(super) const PROOF: u8 = 0;
    pub(super) const MORE: u8 = 1;
    pub(super) const LAST: u8 = 2;
}

/// What both boxes know. It has no text form.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// Number of the pair.
    pub group: u8,
    /// Which node this is.
    pub own: Role,
    /// Id of the key.
    pub key: u8,
    secret: [u8; 32],
}

impl Credentials {
    /// Of a shared secret.
    #[must_use]
    pub fn new(group: u8, own: Role, key: u8, secret: &str) -> Self {
        Self { group, own, key, secret: mac(PURPOSE, &[secret.as_bytes()]) }
    }

    fn greeting(&self, nonce: [u8; NONCE]) -> [u8; GREETING] {
        let mut bytes = [0; GREETING];
        let head = [MAGIC.as_slice(), &[VERSION, self.group, letter(self.own), self.key], &nonce];
        bytes.iter_mut().zip(head.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        bytes
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}

const fn letter(role: Role) -> u8 {
    match role {
        Role::Primary => b'P',
        Role::Backup => b'B',
    }
}

/// HMAC-SHA256 over all parts.
pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // It takes a key of any length.
    let Ok(hmac) = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key) else { return [0; 32] };
    parts.iter().fold(hmac, |hmac, part| hmac.chain_update(part)).finalize().into_bytes().into()
}

/// HKDF-SHA256 for one block of output (RFC 5869 sections 2.2 and 2.3).
#[must_use]
pub fn hkdf(secret: &[u8], salt: &[u8], info: &[&[u8]]) -> [u8; 32] {
    let mut parts: heapless::Vec<&[u8], 4> = info.iter().copied().take(3).collect();
    // There is room: three of four.
    parts.push(&[1]).unwrap_or_default();
    mac(&mac(salt, &[secret]), &parts)
}

/// Why a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// Not a greeting of this protocol.
    Foreign,
    /// A version that this firmware does not speak.
    Version(u8),
    /// Of another pair.
    Group(u8),
    /// The other end says to be this very node.
    SameIdentity,
    /// It uses another key.
    OtherKey(u8),
    /// A frame of a length that may not be.
    Length(u16),
    /// Forged, damaged, repeated, or made with another secret.
    Seal,
    /// A kind of frame that does not exist, or comes when it may not.
    Kind(u8),
    /// A message beyond [`MESSAGE_MAX`], to be sent or received.
    TooLong,
    /// Used before the other end proved itself.
    Early,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("some other program's greeting"),
            Self::Version(version) => write!(f, "version {version}, which this firmware does not speak"),
            Self::Group(group) => write!(f, "cluster group {group}, not ours"),
            Self::SameIdentity => f.write_str("it says to be this node: check show version on each box"),
            Self::OtherKey(key) => write!(f, "it uses key {key}: check cluster key on each box"),
            Self::Length(length) => write!(f, "a frame of {length} bytes"),
            Self::Seal => f.write_str("not sealed with our secret, or changed on its way"),
            Self::Kind(kind) => write!(f, "unexpected frame of kind {kind}"),
            Self::TooLong => f.write_str("a message longer than any may be"),
            Self::Early => f.write_str("used before it was ready"),
        }
    }
}

impl core::error::Error for Broken {}

struct Seal {
    cipher: ChaCha20Poly1305,
    frames: u64,
}

impl Seal {
    fn new(credentials: &Credentials, salt: &[u8], sender: Role) -> Self {
        let key = hkdf(&credentials.secret, salt, &[PURPOSE, &[letter(sender)]]);
        Self { cipher: ChaCha20Poly1305::new(&key.into()), frames: 0 }
    }

    /// The nonce of the next frame. 2^64 of them are not sent.
    fn nonce(&mut self) -> Nonce {
        let mut nonce = Nonce::default();
        nonce.iter_mut().skip(4).zip(self.frames.to_be_bytes()).for_each(|(to, from)| *to = from);
        self.frames = self.frames.saturating_add(1);
        nonce
    }

    fn frame(&mut self, kind: u8, data: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let mut plain = Vec::with_capacity(data.len().saturating_add(1));
        plain.push(kind);
        plain.extend_from_slice(data);
        let length = u16::try_from(plain.len().saturating_add(TAG)).map_err(|_| Broken::TooLong)?;
        let length = length.to_be_bytes();
        let nonce = self.nonce();
        let sealed = self.cipher.encrypt(&nonce, Payload { msg: &plain, aad: &length });
        out.extend_from_slice(&length);
        out.extend_from_slice(&sealed.map_err(|_| Broken::TooLong)?);
        Ok(())
    }

    fn open(&mut self, length: [u8; 2], sealed: &[u8]) -> Result<Vec<u8>, Broken> {
        let nonce = self.nonce();
        self.cipher.decrypt(&nonce, Payload { msg: sealed, aad: &length }).map_err(|_| Broken::Seal)
    }
}

/// The machine of one end of one connection.
pub struct Session {
    credentials: Credentials,
    greeting: [u8; GREETING],
    /// What came and is not a whole frame yet, at most one.
    input: Vec<u8>,
    /// Parts of a message.
    message: Vec<u8>,
    /// Sending and receiving, since the greetings.
    seals: Option<(Seal, Seal)>,
    proven: bool,
    broken: Option<Broken>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("proven", &self.proven).finish_non_exhaustive()
    }
}

impl Session {
    /// Begins; `nonce` is random and was never used before. The greeting goes to `out`.
    pub fn start(credentials: Credentials, nonce: [u8; NONCE], out: &mut Vec<u8>) -> Self {
        let greeting = credentials.greeting(nonce);
        out.extend_from_slice(&greeting);
        Self {
            credentials,
            greeting,
            input: Vec::new(),
            message: Vec::new(),
            seals: None,
            proven: false,
            broken: None,
        }
    }

    /// Whether the other end has shown that it knows the secret, on this connection.
    #[must_use]
    pub fn proven(&self) -> bool {
        self.proven
    }

    /// Takes bytes. What is to be sent goes to `out`, whole messages to `messages`; those that this firmware does not know are
    /// left out. An error is final: close the connection.
    pub fn receive(
        &mut self,
        mut bytes: &[u8],
        out: &mut Vec<u8>,
        messages: &mut Vec<Message>,
    ) -> Result<(), Broken> {
        while self.broken.is_none() {
            let wanted = match self.wanted() {
                Ok(wanted) => wanted,
                Err(broken) => return self.end(broken),
            };
            let missing = wanted.saturating_sub(self.input.len());
            let (taken, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
            self.input.extend_from_slice(taken);
            bytes = rest;
            if self.input.len() < wanted {
                return Ok(());
            }
            if wanted > LENGTH {
                let whole = core::mem::take(&mut self.input);
                if let Err(broken) = self.whole(&whole, out, messages) {
                    return self.end(broken);
                }
            }
        }
        self.broken.map_or(Ok(()), Err)
    }

    fn end(&mut self, broken: Broken) -> Result<(), Broken> {
        (self.input, self.message) = (Vec::new(), Vec::new());
        self.broken = Some(broken);
        Err(broken)
    }

    /// Bytes that the input must have before something can be done with it.
    fn wanted(&self) -> Result<usize, Broken> {
        if self.seals.is_none() {
            return Ok(GREETING);
        }
        let Some(length) = self.input.first_chunk::<LENGTH>() else { return Ok(LENGTH) };
        let length = u16::from_be_bytes(*length);
        let sealed = usize::from(length);
        let most = if self.proven { FRAME_MAX } else { EMPTY };
        if (EMPTY..=most).contains(&sealed) {
            Ok(LENGTH.saturating_add(sealed))
        } else {
            Err(Broken::Length(length))
        }
    }

    fn whole(&mut self, bytes: &[u8], out: &mut Vec<u8>, messages: &mut Vec<Message>) -> Result<(), Broken> {
        let Some((_, receiving)) = &mut self.seals else { return self.greeted(bytes, out) };
        let (length, sealed) = bytes.split_first_chunk::<LENGTH>().ok_or(Broken::Seal)?;
        let plain = receiving.open(*length, sealed)?;
        let (kind, data) = plain.split_first().ok_or(Broken::Seal)?;
        match (*kind, self.proven) {
            (kind::PROOF, false) => {
                self.proven = true;
                Ok(())
            }
            (kind::MORE | kind::LAST, true) => {
                if self.message.len().saturating_add(data.len()) > MESSAGE_MAX {
                    return Err(Broken::TooLong);
                }
                self.message.extend_from_slice(data);
                if *kind == kind::LAST {
                    messages.extend(Message::decode(&core::mem::take(&mut self.message)));
                }
                Ok(())
            }
            (kind, _) => Err(Broken::Kind(kind)),
        }
    }

    fn greeted(&mut self, theirs: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let head = theirs.first_chunk::<8>().ok_or(Broken::Foreign)?;
        let [m, a, g, i, version, group, sender, key] = *head;
        if [m, a, g, i] != MAGIC {
            return Err(Broken::Foreign);
        }
        if version != VERSION {
            return Err(Broken::Version(version));
        }
        if group != self.credentials.group {
            return Err(Broken::Group(group));
        }
        let peer = self.credentials.own.other();
        if sender != letter(peer) {
            return Err(if sender == letter(self.credentials.own) {
                Broken::SameIdentity
            } else {
                Broken::Foreign
            });
        }
        if key != self.credentials.key {
            return Err(Broken::OtherKey(key));
        }
        let mut salt = Vec::with_capacity(GREETING.saturating_mul(2));
        let both = match self.credentials.own {
            Role::Primary => [self.greeting.as_slice(), theirs],
            Role::Backup => [theirs, self.greeting.as_slice()],
        };
        both.into_iter().for_each(|greeting| salt.extend_from_slice(greeting));
        let mut sending = Seal::new(&self.credentials, &salt, self.credentials.own);
        sending.frame(kind::PROOF, &[], out)?;
        self.seals = Some((sending, Seal::new(&self.credentials, &salt, peer)));
        Ok(())
    }

    /// Seals a message into `out`. On error nothing was added.
    pub fn send(&mut self, message: &Message, out: &mut Vec<u8>) -> Result<(), Broken> {
        let bytes = message.encode();
        if bytes.len() > MESSAGE_MAX {
            return Err(Broken::TooLong);
        }
        let Some((sending, _)) = self.seals.as_mut().filter(|_| self.proven) else {
            return Err(Broken::Early);
        };
        let mut rest = bytes.as_slice();
        loop {
            let (data, tail) = rest.split_at_checked(DATA_MAX).unwrap_or((rest, &[]));
            sending.frame(if tail.is_empty() { kind::LAST } else { kind::MORE }, data, out)?;
            if tail.is_empty() {
                return Ok(());
            }
            rest = tail;
        }
    }
}

#[cfg(test)]
mod tests;
