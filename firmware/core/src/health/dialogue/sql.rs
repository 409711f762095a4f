//! MySQL (and MariaDB) and PostgreSQL: the handshake, and a login if one is set.

use super::super::ProbeId;
use super::super::words::quote;
use super::reader::Reader;
use super::scram::Scram;
use super::{Machine, Step};
use crate::model::check::{Login, Sql};
use crate::model::text::Secret;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Longest packet of a handshake that is taken. Chosen: a greeting has about a hundred bytes, an error some hundred more.
const PACKET_BYTES_MAX: usize = 16 * 1024;

/// Capabilities (MySQL protocol): long password, connect with a data base, protocol 4.1, secure connection, plugins.
mod flag {
    pub(super) const BASE: u32 = 0x0000_0001 | 0x0000_0200 | 0x0000_8000 | 0x0008_0000;
    pub(super) const DATABASE: u32 = 0x0000_0008;
    pub(super) const TLS: u32 = 0x0000_0800;
}

/// MySQL: without a user the greeting decides.
#[derive(Debug)]
pub(super) struct Mysql {
    user: Option<String>,
    password: String,
    database: Option<String>,
    have: Vec<u8>,
    greeted: bool,
    rounds: u8,
    tls: bool,
    securing: bool,
    /// What is said first inside TLS.
    waiting: Option<Step>,
}

/// Messages of the server in one login at most: greeting, switch, fast-path word, verdict, and one to spare.
const ROUNDS_MAX: u8 = 5;

impl Mysql {
    pub(super) fn new(login: &Login, sql: Option<&Sql>, tls: bool) -> Self {
        Self {
            user: login.user.as_ref().map(|user| user.as_str().into()),
            password: login.password.as_ref().map_or("", Secret::reveal).into(),
            database: sql.and_then(|sql| sql.database.as_ref()).map(|name| name.as_str().into()),
            have: Vec::new(),
            greeted: false,
            rounds: 0,
            tls,
            securing: false,
            waiting: None,
        }
    }

    fn packet(&mut self, number: u8, body: &[u8]) -> Step {
        self.rounds = self.rounds.saturating_add(1);
        if self.rounds > ROUNDS_MAX {
            return Step::Done(Err(String::from("the login does not come to an end")));
        }
        let mut reader = Reader(body);
        match reader.u8() {
            Some(0xff) => Step::Done(Err(complaint(reader))),
            _ if !self.greeted => self
                .greeting(number, body)
                .unwrap_or_else(|| Step::Done(Err(format!("not a MySQL greeting: {}", quote(body))))),
            Some(0x00) => Step::Done(Ok(())),
            Some(0xfe) => {
                let plugin = reader.text().unwrap_or_default();
                let salt = reader.0.strip_suffix(b"\0").unwrap_or(reader.0).to_vec();
                match self.proof(plugin, &salt) {
                    Some(proof) => Step::SendSecret(framed(number.wrapping_add(1), &proof)),
                    None => Step::Done(Err(format!("wants the login {}, not known here", quote(plugin)))),
                }
            }
            // caching_sha2_password: 3 is followed by the verdict, 4 wants the password itself inside TLS.
            Some(0x01) if reader.0 == [3] => Step::Wait,
            Some(0x01) if reader.0 == [4] && self.tls => {
                let password = [self.password.as_bytes(), b"\0"].concat();
                Step::SendSecret(framed(number.wrapping_add(1), &password))
            }
            Some(0x01) => Step::Done(Err(String::from(
                "wants the password itself inside TLS: set the check's tls, or log in once from elsewhere",
            ))),
            _ => Step::Done(Err(format!("not a MySQL answer: {}", quote(body)))),
        }
    }

    fn greeting(&mut self, number: u8, body: &[u8]) -> Option<Step> {
        let mut reader = Reader(body);
        if reader.u8()? != 10 {
            return None;
        }
        reader.text()?;
        reader.take(4)?;
        let mut salt = reader.take(8)?.to_vec();
        self.greeted = true;
        if !self.tls && self.user.is_none() {
            return Some(Step::Done(Ok(())));
        }
        reader.u8()?;
        let offered = u32::from(reader.array().map(u16::from_le_bytes)?);
        if self.tls && offered & flag::TLS == 0 {
            return Some(Step::Done(Err(String::from("the server does not offer TLS"))));
        }
        // Character set, status, capabilities, length of the salt, filler.
        reader.take(1 + 2 + 2 + 1 + 10)?;
        salt.extend_from_slice(reader.take(12)?);
        reader.u8()?;
        let plugin = reader.text().unwrap_or(b"mysql_native_password");
        let known = [b"mysql_native_password".as_slice(), b"caching_sha2_password"];
        let plugin = if known.contains(&plugin) { plugin } else { b"mysql_native_password" };
        let proof = self.proof(plugin, &salt)?;
        let flags = flag::BASE
            | if self.database.is_some() { flag::DATABASE } else { 0 }
            | if self.tls { flag::TLS } else { 0 };
        let mut answer = flags.to_le_bytes().to_vec();
        answer.extend_from_slice(&0x0100_0000_u32.to_le_bytes());
        answer.push(45);
        answer.resize(32, 0);
        let wish = framed(number.wrapping_add(1), &answer);
        // Without a user the handshake of TLS is all.
        let user = self.user.clone().unwrap_or_default();
        answer.extend_from_slice(user.as_bytes());
        answer.push(0);
        answer.push(u8::try_from(proof.len()).ok()?);
        answer.extend_from_slice(&proof);
        if let Some(database) = &self.database {
            answer.extend_from_slice(database.as_bytes());
            answer.push(0);
        }
        answer.extend_from_slice(plugin);
        answer.push(0);
        if !self.tls {
            return Some(Step::SendSecret(framed(number.wrapping_add(1), &answer)));
        }
        let inside = Step::SendSecret(framed(number.wrapping_add(2), &answer));
        self.waiting = Some(if self.user.is_some() { inside } else { Step::Done(Ok(())) });
        self.securing = true;
        Some(Step::Send(wish))
    }

    /// What proves the password under a plugin.
    fn proof(&self, plugin: &[u8], salt: &[u8]) -> Option<Vec<u8>> {
        let password = self.password.as_bytes();
        match plugin {
            b"mysql_native_password" | b"caching_sha2_password" if password.is_empty() => Some(Vec::new()),
            b"mysql_native_password" => {
                let once = Sha1::digest(password);
                let twice = Sha1::digest(once);
                let key = Sha1::new().chain_update(salt).chain_update(twice).finalize();
                Some(once.iter().zip(key).map(|(a, b)| a ^ b).collect())
            }
            b"caching_sha2_password" => {
                let once = Sha256::digest(password);
                let twice = Sha256::digest(once);
                let key = Sha256::new().chain_update(twice).chain_update(salt).finalize();
                Some(once.iter().zip(key).map(|(a, b)| a ^ b).collect())
            }
            _ => None,
        }
    }
}

/// Error number, state and words.
fn complaint(mut reader: Reader<'_>) -> String {
    let number = reader.array().map_or(0, u16::from_le_bytes);
    let words = match reader.0 {
        [b'#', _, _, _, _, _, rest @ ..] => rest,
        other => other,
    };
    format!("error {number}: {}", quote(words))
}

fn framed(number: u8, body: &[u8]) -> Vec<u8> {
    // Bodies are short: the configuration bounds user, password and data base.
    let [a, b, c, ..] = u32::try_from(body.len()).unwrap_or(0).to_le_bytes();
    let mut packet = Vec::from([a, b, c, number]);
    packet.extend_from_slice(body);
    packet
}

impl Machine for Mysql {
    fn open(&mut self) -> Step {
        Step::Wait
    }

    fn clear_first(&self) -> bool {
        true
    }

    fn secures(&mut self) -> bool {
        core::mem::take(&mut self.securing)
    }

    fn secured(&mut self) -> Step {
        self.waiting.take().unwrap_or(Step::Wait)
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        self.have.extend_from_slice(bytes);
        // Each round takes a packet out of `have`.
        loop {
            let mut reader = Reader(&self.have);
            let (Some([a, b, c]), Some(number)) = (reader.array(), reader.u8()) else { return Step::Wait };
            let length = usize::try_from(u32::from_le_bytes([a, b, c, 0])).unwrap_or(usize::MAX);
            if length > PACKET_BYTES_MAX {
                return Step::Done(Err(format!("not a MySQL greeting: {}", quote(&self.have))));
            }
            let Some(body) = reader.take(length) else { return Step::Wait };
            let (body, rest) = (body.to_vec(), reader.0.to_vec());
            self.have = rest;
            match self.packet(number, &body) {
                Step::Wait => {}
                step @ (Step::Send(_) | Step::SendSecret(_) | Step::Done(_)) => return step,
            }
        }
    }

    fn closed(&mut self) -> Result<(), String> {
        Err(if self.greeted {
            String::from("connection closed during the login")
        } else {
            String::from("connection closed before the greeting")
        })
    }

    fn farewell(&self) -> &[u8] {
        // COM_QUIT, when somebody is logged in.
        if self.user.is_some() { b"\x01\0\0\0\x01" } else { b"" }
    }
}

/// PostgreSQL: without a password any wish for a login is good, because the server works.
#[derive(Debug)]
pub(super) struct Postgresql {
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
    have: Vec<u8>,
    asked: bool,
    tls: bool,
    /// TLS is wished for, and the server has not said whether.
    wishes_tls: bool,
    securing: bool,
    scram: Option<Scram>,
    nonce: u64,
}

impl Postgresql {
    pub(super) fn new(login: &Login, sql: Option<&Sql>, tls: bool, id: ProbeId) -> Self {
        Self {
            user: login.user.as_ref().map(|user| user.as_str().into()),
            password: login.password.as_ref().map(|password| password.reveal().into()),
            database: sql.and_then(|sql| sql.database.as_ref()).map(|name| name.as_str().into()),
            have: Vec::new(),
            asked: false,
            tls,
            wishes_tls: tls,
            securing: false,
            scram: None,
            nonce: id.0,
        }
    }

    fn message(&mut self, kind: u8, body: &[u8]) -> Step {
        let mut reader = Reader(body);
        match kind {
            b'R' => match (reader.be32(), &self.password) {
                (Some(0), _) => Step::Done(Ok(())),
                (Some(_), None) => Step::Done(Ok(())),
                (None, _) => Step::Done(Err(String::from("damaged answer to the login"))),
                (Some(3), Some(password)) => self.login(password.clone()),
                (Some(5), Some(password)) => match reader.array::<4>() {
                    Some(salt) => {
                        let user = self.user.clone().unwrap_or_default();
                        let inner = hex(&Md5::new().chain_update(password).chain_update(user).finalize());
                        let outer = Md5::new().chain_update(inner).chain_update(salt).finalize();
                        self.login(format!("md5{}", hex(&outer)))
                    }
                    None => Step::Done(Err(String::from("damaged answer to the login"))),
                },
                // Kinds of SASL, of which the plain SCRAM is always one.
                (Some(10), Some(_)) => {
                    let (scram, first) = Scram::new(self.nonce);
                    self.scram = Some(scram);
                    let mut body = b"SCRAM-SHA-256\0".to_vec();
                    body.extend(u32::try_from(first.len()).unwrap_or(0).to_be_bytes());
                    body.extend(first.into_bytes());
                    self.prove(&body)
                }
                (Some(11), Some(password)) => {
                    let answer = self.scram.as_mut().and_then(|scram| scram.answer(reader.0, password));
                    match answer {
                        Some(answer) => tagged(answer.as_bytes()),
                        None => Step::Done(Err(String::from("damaged answer to the login"))),
                    }
                }
                (Some(12), Some(_)) if self.scram.as_ref().is_some_and(|scram| scram.proven(reader.0)) => {
                    Step::Wait
                }
                (Some(12), Some(_)) => {
                    Step::Done(Err(String::from("the server does not know the password itself")))
                }
                (Some(kind), Some(_)) => {
                    Step::Done(Err(format!("wants a login of kind {kind}, not known here")))
                }
            },
            b'E' => Step::Done(self.error(reader)),
            // What may come before: parameters, notices, protocol version.
            b'S' | b'N' | b'v' => Step::Wait,
            _ => Step::Done(Err(String::from("not a PostgreSQL answer"))),
        }
    }

    fn login(&mut self, proof: String) -> Step {
        let mut body = proof.into_bytes();
        body.push(0);
        self.prove(&body)
    }

    fn prove(&mut self, body: &[u8]) -> Step {
        if core::mem::replace(&mut self.asked, true) {
            return Step::Done(Err(String::from("asks for the password twice")));
        }
        tagged(body)
    }

    /// Fields of a letter and text each. An unknown user or data base shows a server that works, when none was set.
    fn error(&self, mut reader: Reader<'_>) -> Result<(), String> {
        let (mut code, mut words) = (&b""[..], &b""[..]);
        // Each round takes a field.
        while let Some(letter) = reader.u8().filter(|letter| *letter != 0) {
            let Some(text) = reader.text() else { break };
            match letter {
                b'C' => code = text,
                b'M' => words = text,
                _ => {}
            }
        }
        let alive = code.starts_with(b"28") || code == b"3D000";
        if self.user.is_none() && alive {
            return Ok(());
        }
        Err(format!("error {}: {}", String::from_utf8_lossy(code).escape_default(), quote(words)))
    }
}

/// A message about a password.
fn tagged(body: &[u8]) -> Step {
    let mut message = Vec::from([b'p']);
    let length = u32::try_from(body.len().saturating_add(4)).unwrap_or(u32::MAX);
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(body);
    Step::SendSecret(message)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

impl Machine for Postgresql {
    fn clear_first(&self) -> bool {
        self.tls
    }

    fn secures(&mut self) -> bool {
        core::mem::take(&mut self.securing)
    }

    fn secured(&mut self) -> Step {
        self.wishes_tls = false;
        self.open()
    }

    fn open(&mut self) -> Step {
        if self.wishes_tls {
            // SSLRequest.
            return Step::Send(b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec());
        }
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        let user = self.user.as_deref().unwrap_or("director");
        let mut pairs = Vec::from([("user", user)]);
        if let Some(database) = &self.database {
            pairs.push(("database", database.as_str()));
        }
        for (key, value) in pairs {
            for text in [key, value] {
                body.extend_from_slice(text.as_bytes());
                body.push(0);
            }
        }
        body.push(0);
        let length = u32::try_from(body.len().saturating_add(4)).unwrap_or(u32::MAX);
        let mut message = length.to_be_bytes().to_vec();
        message.append(&mut body);
        Step::Send(message)
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        if self.wishes_tls {
            return match bytes {
                b"S" => {
                    self.securing = true;
                    Step::Wait
                }
                [b'N', ..] => Step::Done(Err(String::from("the server does not offer TLS"))),
                _ => Step::Done(Err(format!("not a PostgreSQL answer: {}", quote(bytes)))),
            };
        }
        self.have.extend_from_slice(bytes);
        // Each round takes a message out of `have`.
        loop {
            let mut reader = Reader(&self.have);
            let Some(kind) = reader.u8() else { return Step::Wait };
            let garbage = || Step::Done(Err(format!("not a PostgreSQL answer: {}", quote(&self.have))));
            if !matches!(kind, b'R' | b'E' | b'S' | b'N' | b'v') {
                return garbage();
            }
            let Some(length) = reader.be32() else { return Step::Wait };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if !(4..=PACKET_BYTES_MAX).contains(&length) {
                return garbage();
            }
            let Some(body) = reader.take(length.saturating_sub(4)) else { return Step::Wait };
            let (body, rest) = (body.to_vec(), reader.0.to_vec());
            self.have = rest;
            match self.message(kind, &body) {
                Step::Wait => {}
                step @ (Step::Send(_) | Step::SendSecret(_) | Step::Done(_)) => return step,
            }
        }
    }

    fn closed(&mut self) -> Result<(), String> {
        Err(String::from("connection closed before the server said whether it takes logins"))
    }

    fn farewell(&self) -> &[u8] {
        // Terminate.
        b"X\0\0\0\x04"
    }
}
