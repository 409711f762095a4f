//! One line: what it says, and the bytes that say it.

use super::{BODY_MAX, base64};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// SHA-256 of a configuration's text.
pub type Digest = [u8; 32];

/// What a line says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// Who is there.
    Hello,
    /// The box, with its version of the protocol.
    Version(u32),
    /// Begin or go on pushing.
    Push {
        /// Bytes of the whole.
        length: usize,
        /// Its digest.
        sha256: Digest,
    },
    /// A block of it.
    Data {
        /// Where it belongs.
        offset: usize,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// So many bytes are there.
    Have(usize),
    /// That was all.
    End(Digest),
    /// It is the candidate now.
    Taken(Digest),
    /// It is not, and why.
    Refused(String),
    /// Give the running configuration from here on.
    Get(usize),
    /// A block of it; an empty one is at the end.
    Block {
        /// Where it belongs.
        offset: usize,
        /// Bytes of the whole.
        length: usize,
        /// Digest of the whole.
        sha256: Digest,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Run a command, unless it is the one that was run last; the answer is a block of what it said.
    Run {
        /// Another one for each command, the same when it is asked again.
        id: u64,
        /// What is known of the answer already.
        offset: usize,
        /// The command, at most [`super::COMMAND_BYTES`].
        command: String,
    },
    /// Begin or go on sending an upgrade; blocks and end are as of a push.
    Offer {
        /// Bytes of the whole.
        length: usize,
        /// Its digest.
        sha256: Digest,
    },
    /// Leave; the answer is the same.
    Quit,
}

fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    (hex(&digest) == text).then_some(digest)
}

fn checksum(body: &[u8]) -> String {
    format!("{:08x}", crc32fast::hash(body))
}

impl Message {
    /// The line, with its end.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let body = match self {
            Self::Hello => String::from("H"),
            Self::Version(version) => format!("H {version}"),
            Self::Push { length, sha256 } => format!("P {length} {}", hex(sha256)),
            Self::Data { offset, bytes } => format!("D {offset} {}", base64::encode(bytes)),
            Self::Have(have) => format!("A {have}"),
            Self::End(sha256) => format!("E {}", hex(sha256)),
            Self::Taken(sha256) => format!("Y {}", hex(sha256)),
            Self::Refused(why) => {
                // A line has its limit; the beginning of a reason says most.
                let short: String = why.chars().filter(char::is_ascii).take(BODY_MAX / 2).collect();
                format!("N {}", base64::encode(short.as_bytes()))
            }
            Self::Get(offset) => format!("G {offset}"),
            Self::Block { offset, length, sha256, bytes } => {
                format!("B {offset} {length} {} {}", hex(sha256), base64::encode(bytes))
            }
            Self::Run { id, offset, command } => {
                format!("C {id:016x} {offset} {}", base64::encode(command.as_bytes()))
            }
            Self::Offer { length, sha256 } => format!("U {length} {}", hex(sha256)),
            Self::Quit => String::from("Q"),
        };
        format!(":{body}~{}\r\n", checksum(body.as_bytes())).into_bytes()
    }

    fn parse(body: &str) -> Option<Self> {
        let mut words = body.split(' ');
        let kind = words.next()?;
        let mut word = || words.next();
        let message = match kind {
            "H" => match word() {
                None => Self::Hello,
                Some(version) => Self::Version(version.parse().ok()?),
            },
            "P" => Self::Push { length: word()?.parse().ok()?, sha256: unhex(word()?)? },
            "D" => Self::Data { offset: word()?.parse().ok()?, bytes: base64::decode(word()?)? },
            "A" => Self::Have(word()?.parse().ok()?),
            "E" => Self::End(unhex(word()?)?),
            "Y" => Self::Taken(unhex(word()?)?),
            "N" => Self::Refused(String::from_utf8(base64::decode(word()?)?).ok()?),
            "G" => Self::Get(word()?.parse().ok()?),
            "B" => Self::Block {
                offset: word()?.parse().ok()?,
                length: word()?.parse().ok()?,
                sha256: unhex(word()?)?,
                bytes: base64::decode(word()?)?,
            },
            "C" => Self::Run {
                id: u64::from_str_radix(word()?, 16).ok()?,
                offset: word()?.parse().ok()?,
                command: String::from_utf8(base64::decode(word()?)?).ok()?,
            },
            "U" => Self::Offer { length: word()?.parse().ok()?, sha256: unhex(word()?)? },
            "Q" => Self::Quit,
            _ => return None,
        };
        words.next().is_none().then_some(message)
    }
}

/// Finds sound lines among any bytes.
#[derive(Clone, Default, Debug)]
pub struct Lines {
    /// What came since the last `:`; `None` before one, and after too much.
    body: Option<Vec<u8>>,
}

impl Lines {
    /// Takes one byte; gives the message that it completes.
    pub fn feed(&mut self, byte: u8) -> Option<Message> {
        match byte {
            b':' => self.body = Some(Vec::new()),
            b'\r' | b'\n' => return sound(&self.body.take()?),
            byte => match &mut self.body {
                Some(body) if body.len() < BODY_MAX.saturating_add(9) => body.push(byte),
                Some(_) | None => self.body = None,
            },
        }
        None
    }
}

fn sound(line: &[u8]) -> Option<Message> {
    let (body, sum) = core::str::from_utf8(line).ok()?.split_once('~')?;
    if checksum(body.as_bytes()) == sum { Message::parse(body) } else { None }
}
