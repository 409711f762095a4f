//! The first messages of both sides.

use crate::exchange::{P256, P384, X25519};
use crate::reader::Reader;
use crate::signature::SCHEMES;
use crate::suite::SUITES;
use alloc::vec::Vec;

/// Types of handshake messages.
pub(crate) mod message {
    pub(crate) const HELLO_REQUEST: u8 = 0;
    pub(crate) const CLIENT_HELLO: u8 = 1;
    pub(crate) const SERVER_HELLO: u8 = 2;
    pub(crate) const NEW_TICKET: u8 = 4;
    pub(crate) const EXTENSIONS: u8 = 8;
    pub(crate) const CERTIFICATE: u8 = 11;
    pub(crate) const SERVER_EXCHANGE: u8 = 12;
    pub(crate) const CERTIFICATE_REQUEST: u8 = 13;
    pub(crate) const SERVER_DONE: u8 = 14;
    pub(crate) const CERTIFICATE_VERIFY: u8 = 15;
    pub(crate) const CLIENT_EXCHANGE: u8 = 16;
    pub(crate) const FINISHED: u8 = 20;
    pub(crate) const KEY_UPDATE: u8 = 24;
    /// Stands for the first client hello after a retry.
    pub(crate) const HASH: u8 = 254;
}

mod extension {
    pub(super) const SERVER_NAME: u16 = 0;
    pub(super) const GROUPS: u16 = 10;
    pub(super) const POINT_FORMATS: u16 = 11;
    pub(super) const SIGNATURES: u16 = 13;
    pub(super) const MASTER_SECRET: u16 = 23;
    pub(super) const VERSIONS: u16 = 43;
    pub(super) const COOKIE: u16 = 44;
    pub(super) const KEY_SHARE: u16 = 51;
    pub(super) const RENEGOTIATION: u16 = 0xff01;
}

/// Random of a hello that asks for another one (RFC 8446 section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];
/// End of the random of a server that could do better.
const DOWNGRADE: &[u8] = b"DOWNGRD";

/// A handshake message.
pub(crate) fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(body.len()).unwrap_or(0).to_be_bytes();
    [&[kind, a, b, c], body].concat()
}

/// Bytes after their length in one byte.
pub(crate) fn vec8(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap_or(0)], bytes].concat()
}

/// Bytes after their length in two.
pub(crate) fn vec16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap_or(0).to_be_bytes()[..], bytes].concat()
}

fn numbers(list: impl IntoIterator<Item = u16>) -> Vec<u8> {
    list.into_iter().flat_map(u16::to_be_bytes).collect()
}

/// What goes into our hello.
#[derive(Debug)]
pub(crate) struct ClientHello<'a> {
    pub(crate) random: [u8; 32],
    pub(crate) session: [u8; 32],
    pub(crate) name: Option<&'a str>,
    /// Group and our half.
    pub(crate) share: (u16, Vec<u8>),
    pub(crate) cookie: Option<&'a [u8]>,
}

impl ClientHello<'_> {
    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut extensions = Vec::new();
        let mut add = |id: u16, body: Vec<u8>| {
            extensions.extend(id.to_be_bytes());
            extensions.extend(vec16(&body));
        };
        if let Some(name) = self.name {
            add(extension::SERVER_NAME, vec16(&[&[0], vec16(name.as_bytes()).as_slice()].concat()));
        }
        add(extension::GROUPS, vec16(&numbers([X25519, P256, P384])));
        add(extension::POINT_FORMATS, vec8(&[0]));
        add(extension::SIGNATURES, vec16(&numbers(SCHEMES)));
        add(extension::MASTER_SECRET, Vec::new());
        add(extension::RENEGOTIATION, vec8(&[]));
        add(extension::VERSIONS, vec8(&numbers([0x0304, 0x0303])));
        if let Some(cookie) = self.cookie {
            add(extension::COOKIE, vec16(cookie));
        }
        let (group, half) = &self.share;
        add(extension::KEY_SHARE, vec16(&[&group.to_be_bytes()[..], &vec16(half)].concat()));
        let body = [
            &[3, 3],
            &self.random[..],
            &vec8(&self.session),
            &vec16(&numbers(SUITES.iter().map(|suite| suite.id))),
            &vec8(&[0]),
            &vec16(&extensions),
        ];
        framed(message::CLIENT_HELLO, &body.concat())
    }
}

/// The server's answer.
#[derive(Debug, Default)]
pub(crate) struct ServerHello<'a> {
    /// 0x0303 or 0x0304, or what an old server says.
    pub(crate) version: u16,
    pub(crate) random: [u8; 32],
    pub(crate) suite: u16,
    /// Asks for another hello.
    pub(crate) retry: bool,
    /// Group and the server's half; in a retry the half is empty.
    pub(crate) share: Option<(u16, &'a [u8])>,
    pub(crate) cookie: Option<&'a [u8]>,
    pub(crate) master_secret: bool,
}

impl<'a> ServerHello<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(body);
        let version = reader.be16()?;
        let random = reader.array()?;
        reader.vec8()?;
        let suite = reader.be16()?;
        reader.u8().filter(|compression| *compression == 0)?;
        let mut hello = Self { version, random, suite, retry: random == RETRY, ..Self::default() };
        let mut extensions = Reader(if reader.0.is_empty() { &[] } else { reader.vec16()? });
        // Each round takes an extension.
        while !extensions.0.is_empty() {
            let (id, content) = (extensions.be16()?, extensions.vec16()?);
            let mut content = Reader(content);
            match id {
                extension::VERSIONS => hello.version = content.be16()?,
                extension::COOKIE => hello.cookie = Some(content.vec16()?),
                extension::MASTER_SECRET => hello.master_secret = true,
                extension::KEY_SHARE => {
                    let group = content.be16()?;
                    hello.share = Some((group, if hello.retry { &[] } else { content.vec16()? }));
                }
                _ => {}
            }
        }
        Some(hello)
    }

    /// It says that it speaks a better version than it chose.
    pub(crate) fn downgraded(&self) -> bool {
        let end = self.random.get(24..).unwrap_or_default();
        end.starts_with(DOWNGRADE) && end.last().is_some_and(|last| *last <= 1)
    }
}
