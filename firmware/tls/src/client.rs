//! The state of a connection: which message may come next, and what is answered.

use crate::certificate::{self, Certificate, Policy, Seen};
use crate::exchange::{Exchange, SECRET_BYTES, X25519};
use crate::hello::{ClientHello, ServerHello, framed, message};
use crate::kdf::Hash;
use crate::reader::Reader;
use crate::record::{Direction, HEADER_BYTES, PLAIN_BYTES_MAX, RECORD_BYTES_MAX, content, plain};
use crate::signature::{self, Algorithm};
use crate::suite::Suite;
use crate::{MESSAGE_BYTES_MAX, RANDOM_BYTES, alert};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What a connection is for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Server name that is asked for.
    pub name: Option<String>,
    /// What its certificate must be.
    pub policy: Policy,
    /// Seconds since 1970; `None` when nobody knows.
    pub unix_s: Option<u64>,
    /// Bytes that nobody can guess, used once.
    pub random: [u8; RANDOM_BYTES],
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Hello,
    Extensions,
    Certificate13,
    Verify,
    Finished13,
    Certificate12,
    Exchange,
    Done,
    ChangeCipher,
    Finished12,
    Open,
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    pub(crate) ask: Ask,
    pub(crate) state: State,
    /// Bytes of a record that is not whole.
    incoming: Vec<u8>,
    /// Bytes of handshake messages that are not whole.
    messages: Vec<u8>,
    /// All handshake messages so far.
    pub(crate) transcript: Vec<u8>,
    pub(crate) read: Option<Direction>,
    pub(crate) write: Option<Direction>,
    /// Keys that count from the next change-cipher message on (TLS 1.2).
    pub(crate) next_read: Option<Direction>,
    pub(crate) exchange: Option<Exchange>,
    pub(crate) suite: Option<Suite>,
    retried: bool,
    pub(crate) server_random: [u8; 32],
    /// RFC 7627.
    pub(crate) bound_master: bool,
    pub(crate) master: Vec<u8>,
    /// Traffic secrets of TLS 1.3: ours and the server's.
    pub(crate) secrets: (Vec<u8>, Vec<u8>),
    /// Context of a request for a certificate of ours.
    pub(crate) requested: Option<Vec<u8>>,
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) seen: Option<Seen>,
    ended: bool,
}

pub(crate) type Judged = Result<(), String>;

/// Words for a message that no server sends.
pub(crate) fn damaged(what: &str) -> String {
    format!("a damaged {what} in the TLS handshake")
}

impl Client {
    /// Begins: the bytes that go first.
    #[must_use]
    pub fn new(ask: Ask) -> (Self, Vec<u8>) {
        let mut client = Self {
            ask,
            state: State::Hello,
            incoming: Vec::new(),
            messages: Vec::new(),
            transcript: Vec::new(),
            read: None,
            write: None,
            next_read: None,
            exchange: None,
            suite: None,
            retried: false,
            server_random: [0; 32],
            bound_master: false,
            master: Vec::new(),
            secrets: (Vec::new(), Vec::new()),
            requested: None,
            chain: Vec::new(),
            seen: None,
            ended: false,
        };
        let mut first = Vec::new();
        // Cannot fail: every 32 bytes are a secret of X25519.
        client.hello(X25519, None, &mut first);
        (client, first)
    }

    /// Whether the handshake is over, so that [`Self::send`] may be used.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether the server has ended the connection in an orderly way.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// What was seen of the server's certificate.
    #[must_use]
    pub const fn certificate(&self) -> Option<Seen> {
        self.seen
    }

    /// Takes bytes as they come. What is to be sent goes behind `out`, what the server said behind `plain`.
    ///
    /// # Errors
    /// Why this is no connection to the server that was meant.
    pub fn feed(&mut self, bytes: &[u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), String> {
        self.incoming.extend_from_slice(bytes);
        // Each round takes a record.
        loop {
            let mut reader = Reader(&self.incoming);
            let (Some([kind, major, _]), Some(length)) = (reader.array(), reader.be16()) else {
                return self.plausible();
            };
            if !(content::CHANGE_CIPHER..=content::DATA).contains(&kind) || major != 3 {
                return Err(format!("not TLS: answered {}", quote(&self.incoming)));
            }
            if usize::from(length) > RECORD_BYTES_MAX {
                return Err(damaged("record"));
            }
            let Some(body) = reader.take(length.into()) else { return Ok(()) };
            let body = body.to_vec();
            self.incoming.drain(..HEADER_BYTES + body.len());
            self.record(kind, body, plain, out)?;
        }
    }

    /// Protects bytes for the server. Empty before the handshake is over.
    #[must_use]
    pub fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(write) = self.write.as_mut().filter(|_| self.state == State::Open) else {
            return Vec::new();
        };
        bytes.chunks(PLAIN_BYTES_MAX).filter_map(|piece| write.seal(content::DATA, piece)).flatten().collect()
    }

    /// The first bytes of a record that is not whole: whether they can be one.
    fn plausible(&self) -> Judged {
        match self.incoming.first() {
            Some(kind) if !(content::CHANGE_CIPHER..=content::DATA).contains(kind) => {
                Err(format!("not TLS: answered {}", quote(&self.incoming)))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn record(&mut self, kind: u8, body: Vec<u8>, plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Judged {
        // In TLS 1.3 this message says nothing; servers send it for the sake of middle boxes.
        if kind == content::CHANGE_CIPHER && self.state != State::ChangeCipher {
            let harmless = self.state != State::Open && body == [1];
            return if harmless { Ok(()) } else { Err(damaged("change of ciphers")) };
        }
        let (kind, body) = match &mut self.read {
            // The server may not have the keys yet.
            Some(read) if kind != content::ALERT || body.len() != 2 || self.state == State::Open => {
                read.open(kind, &body).ok_or("a TLS record was changed on its way")?
            }
            Some(_) | None => (kind, body),
        };
        // A message may not be split by others (RFC 8446 section 5.1), nor by a change of keys.
        if !self.messages.is_empty() && !matches!(kind, content::HANDSHAKE | content::ALERT) {
            return Err(damaged("message"));
        }
        match kind {
            content::CHANGE_CIPHER => {
                self.state = State::Finished12;
                self.read = self.next_read.take();
                Ok(())
            }
            content::ALERT => self.alert(&body),
            content::HANDSHAKE => {
                self.messages.extend_from_slice(&body);
                self.handshake(out)
            }
            content::DATA if self.state == State::Open => {
                plain.extend_from_slice(&body);
                Ok(())
            }
            _ => Err(damaged("message")),
        }
    }

    fn alert(&mut self, body: &[u8]) -> Judged {
        let &[level, code] = body else { return Err(damaged("alert")) };
        if code == alert::CLOSE_NOTIFY {
            self.ended = true;
            return Ok(());
        }
        // TLS 1.2 has warnings, such as that a server name is not known.
        let warning = level == 1 && self.suite.is_none_or(|suite| !suite.v13);
        if warning { Ok(()) } else { Err(alert::words(code)) }
    }

    /// Takes whole messages; each round takes one.
    fn handshake(&mut self, out: &mut Vec<u8>) -> Judged {
        loop {
            let mut reader = Reader(&self.messages);
            let Some([kind, a, b, c]) = reader.array() else { return Ok(()) };
            let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
            if length > MESSAGE_BYTES_MAX {
                return Err(format!("a TLS message of {length} bytes"));
            }
            let Some(body) = reader.take(length) else { return Ok(()) };
            let body = body.to_vec();
            self.messages.drain(..body.len() + 4);
            self.message(kind, &body, out)?;
        }
    }

    fn message(&mut self, kind: u8, body: &[u8], out: &mut Vec<u8>) -> Judged {
        match (self.state, kind) {
            (State::Hello, message::SERVER_HELLO) => self.server_hello(body, out),
            (State::Extensions, message::EXTENSIONS) => {
                self.add(kind, body);
                self.state = State::Certificate13;
                Ok(())
            }
            (State::Certificate13, message::CERTIFICATE_REQUEST) => {
                self.add(kind, body);
                self.requested = Reader(body).vec8().map(<[u8]>::to_vec);
                Ok(())
            }
            (State::Certificate13 | State::Certificate12, message::CERTIFICATE) => self.shown(body),
            (State::Verify, message::CERTIFICATE_VERIFY) => self.verify(body),
            (State::Finished13, message::FINISHED) => self.finished_13(body, out),
            (State::Exchange, message::SERVER_EXCHANGE) => self.server_exchange(body),
            (State::Done, message::CERTIFICATE_REQUEST) => {
                self.add(kind, body);
                self.requested = Some(Vec::new());
                Ok(())
            }
            (State::Done, message::SERVER_DONE) => self.server_done(body, out),
            (State::Finished12, message::FINISHED) => self.finished_12(body),
            (State::Open, message::NEW_TICKET) => Ok(()),
            (State::Open, message::KEY_UPDATE) => self.key_update(body, out),
            // A wish for another handshake may be passed over (RFC 5246 section 7.4.1.1).
            (_, message::HELLO_REQUEST) if self.suite.is_some_and(|suite| !suite.v13) => Ok(()),
            _ => Err(format!("TLS message {kind} at the wrong time")),
        }
    }

    /// Sends a hello with a share of this group. `None`: there is no such group.
    fn hello(&mut self, group: u16, cookie: Option<&[u8]>, out: &mut Vec<u8>) -> Option<()> {
        let mut random = Reader(&self.ask.random);
        let (hello, session) = (random.array()?, random.array()?);
        let secret = random.take(if self.retried { 2 * SECRET_BYTES } else { SECRET_BYTES })?.last_chunk()?;
        let exchange = Exchange::new(group, *secret)?;
        let share = (group, exchange.public()?);
        let message = ClientHello { random: hello, session, name: self.ask.name.as_deref(), share, cookie };
        let message = message.emit();
        self.transcript.extend_from_slice(&message);
        out.extend(plain(content::HANDSHAKE, &message));
        self.exchange = Some(exchange);
        Some(())
    }

    fn server_hello(&mut self, body: &[u8], out: &mut Vec<u8>) -> Judged {
        let hello = ServerHello::parse(body).ok_or_else(|| damaged("server hello"))?;
        let v13 = match hello.version {
            0x0304 => true,
            0x0303 => false,
            0x0302 => return Err("the server speaks TLS 1.1 at most".into()),
            0x0301 => return Err("the server speaks TLS 1.0 at most".into()),
            _ => return Err(damaged("version")),
        };
        let suite = Suite::find(hello.suite, v13).ok_or("the server chose a cipher that was not offered")?;
        if hello.retry {
            return self.retry(&hello, suite, body, out);
        }
        if !v13 && hello.downgraded() {
            return Err("somebody on the way made the server choose an old TLS version".into());
        }
        if self.suite.is_some_and(|before| before.id != suite.id) {
            return Err(damaged("server hello"));
        }
        self.add(message::SERVER_HELLO, body);
        self.suite = Some(suite);
        self.server_random = hello.random;
        if v13 {
            let (group, theirs) = hello.share.ok_or_else(|| damaged("key share"))?;
            return self.keys_13(suite, group, theirs);
        }
        self.bound_master = hello.master_secret;
        self.state = State::Certificate12;
        Ok(())
    }

    /// The server wants another group (RFC 8446 section 4.1.4).
    fn retry(&mut self, hello: &ServerHello<'_>, suite: Suite, body: &[u8], out: &mut Vec<u8>) -> Judged {
        let wanted = hello.share.map(|(group, _)| group);
        let have = self.exchange.as_ref().map(Exchange::group);
        if core::mem::replace(&mut self.retried, true)
            || !suite.v13
            || (wanted == have && hello.cookie.is_none())
        {
            return Err(damaged("retry"));
        }
        let first = Hash { sha384: suite.sha384 }.of(&self.transcript);
        self.transcript = framed(message::HASH, &first);
        self.add(message::SERVER_HELLO, body);
        self.suite = Some(suite);
        let cookie = hello.cookie.map(<[u8]>::to_vec);
        self.hello(wanted.or(have).unwrap_or(0), cookie.as_deref(), out)
            .ok_or_else(|| "the server wants a key exchange that was not offered".into())
    }

    /// New keys count for what the server says from now on. What is left over of the record was protected by the old ones, or by
    /// none: somebody on the way may have put it there (RFC 8446 section 5.1).
    pub(crate) fn read_with(&mut self, read: Direction) -> Judged {
        if !self.messages.is_empty() {
            return Err("the server's TLS messages go on across a change of keys".into());
        }
        self.read = Some(read);
        Ok(())
    }

    /// A message becomes part of what both sides must agree about.
    pub(crate) fn add(&mut self, kind: u8, body: &[u8]) {
        self.transcript.extend(framed(kind, body));
    }

    /// Hash of the messages so far.
    pub(crate) fn digest(&self) -> Vec<u8> {
        self.hash().of(&self.transcript)
    }

    pub(crate) fn hash(&self) -> Hash {
        Hash { sha384: self.suite.is_some_and(|suite| suite.sha384) }
    }

    /// The certificates of the server.
    fn shown(&mut self, body: &[u8]) -> Judged {
        let v13 = self.state == State::Certificate13;
        self.add(message::CERTIFICATE, body);
        self.chain = chain(body, v13).ok_or_else(|| damaged("certificate list"))?;
        self.seen = certificate::seen(&self.chain);
        certificate::judge(&self.chain, self.ask.policy, self.ask.name.as_deref(), self.ask.unix_s)?;
        self.state = if v13 { State::Verify } else { State::Exchange };
        Ok(())
    }

    /// Whether the owner of the certificate signed `message`. Nobody asks when any certificate is good.
    pub(crate) fn signed(&self, scheme: u16, message: &[u8], signature: &[u8]) -> Judged {
        if self.ask.policy == Policy::Any {
            return Ok(());
        }
        let first = self.chain.first().and_then(|bytes| Certificate::parse(bytes));
        let key = first.as_ref().and_then(|certificate| certificate.key);
        let key = key.ok_or("the certificate has a kind of key that is not known here")?;
        let algorithm =
            Algorithm::of_scheme(scheme).ok_or("the server signs in a way that was not offered")?;
        let v13 = self.suite.is_some_and(|suite| suite.v13);
        if (v13 && matches!(algorithm, Algorithm::Pkcs1(_)))
            || !signature::verify(key, algorithm, message, signature)
        {
            return Err("the server does not have the key of its certificate".into());
        }
        Ok(())
    }
}

/// The certificates of a message, the server's own first.
fn chain(body: &[u8], v13: bool) -> Option<Vec<Vec<u8>>> {
    let mut reader = Reader(body);
    if v13 {
        reader.vec8()?;
    }
    let mut list = Reader(reader.vec24()?);
    let mut chain = Vec::new();
    // Each round takes a certificate.
    while !list.0.is_empty() {
        chain.push(list.vec24()?.to_vec());
        if v13 {
            list.vec16()?;
        }
    }
    Some(chain)
}

/// The first bytes, escaped.
fn quote(bytes: &[u8]) -> String {
    const QUOTED: usize = 32;
    let escaped: String = bytes
        .iter()
        .take(QUOTED)
        .flat_map(|byte| core::ascii::escape_default(*byte))
        .map(char::from)
        .collect();
    format!("\"{escaped}\"")
}
