//! What servers answer to their checks.

use crate::bytes::Bytes;
use director_core::health::dialogue::{
    ANSWER_BYTES_MAX, Channel, Dialogue, Opening, Step, open, takes_starttls,
};
use director_core::health::{ProbeId, ProbeKind, ProbeSpec, Shared};
use director_core::model::check::{
    self, Check, Compare, Dns, HttpProbe, Ldap, LoadMonitor, LoadSource, Login, Question, Radius, RecordType,
    Sql, Tls, Udp,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// Questions whose answers are parsed.
const QUESTIONS: [Question; 16] = [
    Question::SendExpect,
    Question::Http,
    Question::Smtp,
    Question::Pop3,
    Question::Imap,
    Question::Ftp,
    Question::Nntp,
    Question::Redis,
    Question::Ldap,
    Question::Mysql,
    Question::Postgresql,
    Question::Sip,
    Question::Dns,
    Question::Radius,
    Question::Ntp,
    Question::Udp,
];

/// Answers to every kind of question, in pieces: a verdict or a wish for more, in printable words and with a bounded
/// transcript; the same bytes twice lead to the same.
pub fn fuzz_dialogues(data: &[u8]) {
    let mut bytes = Bytes(data);
    let question = QUESTIONS[usize::from(bytes.byte()) % QUESTIONS.len()];
    let how = bytes.byte();
    let step = usize::from(bytes.byte()).max(1);
    let login = (how & 1 != 0).then(|| Login {
        user: Some("check".parse().expect("a user")),
        password: Some("secret".parse().expect("a password")),
    });
    let mut check = Check { question, login, ..Check::default() };
    if how & 0x20 != 0 {
        check = detailed(check, how);
    }
    if how & 0x40 != 0 && takes_starttls(question) {
        check.tls = Some(Tls { starttls: true, ..Tls::default() });
    }
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
    // The other half of the questions are those of load monitors.
    let kind = if how & 2 == 0 { ProbeKind::Named(Shared::new(check)) } else { load(how) };
    let spec = ProbeSpec { target, at: None, source: None, kind };
    let run = || match open(&spec, ProbeId(7), &mut |_| Some(Box::new(Clear::default()))) {
        Opening::Stream(dialogue) | Opening::Datagram(dialogue) => Some(play(dialogue, bytes.0, step)),
        Opening::Decided(_) | Opening::Connect | Opening::Echo(_) => None,
    };
    assert_eq!(run(), run());
    let ping = ProbeKind::Named(Shared::new(Check { question: Question::Ping, ..Check::default() }));
    let spec = ProbeSpec { kind: ping, ..spec.clone() };
    if let Opening::Echo(echo) = open(&spec, ProbeId(7), &mut |_| None) {
        let mut right = echo.request();
        right[0] = 0;
        // The checksum and the identifier are the kernel's business.
        assert!(echo.answers(&right));
        assert!(!echo.answers(bytes.0) || bytes.0.get(6..) == right.get(6..));
    }
}

fn text<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// What an answer must hold, in one of the ways that there are.
fn detailed(check: Check, how: u8) -> Check {
    let compare =
        [Compare::Contains, Compare::Prefix, Compare::Glob, Compare::Regex][usize::from(how >> 2 & 3)];
    let record = [RecordType::A, RecordType::Mx, RecordType::Txt, RecordType::Srv][usize::from(how >> 2 & 3)];
    let step = check::Dialogue { send: text("ask"), expect: text("o*k+"), compare };
    Check {
        steps: [(1, step.clone()), (2, step)].into(),
        http: Some(HttpProbe { body: text("o*k"), compare, ..HttpProbe::default() }),
        ldap: Some(Ldap { base: text("dc=org"), filter: text("(cn=*)") }),
        dns: Some(Dns { name: text("a.b"), record, answer: text("c.d:7") }),
        radius: Some(Radius { secret: text("s"), reject_is_good: how & 4 != 0 }),
        sql: Some(Sql { database: text("d") }),
        udp: Some(Udp { payload: text("ask"), reply: text("o*k"), compare }),
        ..check
    }
}

/// TLS that protects nothing and is open with the first byte.
#[derive(Debug, Default)]
struct Clear {
    open: bool,
}

impl Channel for Clear {
    fn begin(&mut self) -> Vec<u8> {
        b"hello".to_vec()
    }

    fn feed(&mut self, bytes: &[u8], plain: &mut Vec<u8>, _: &mut Vec<u8>) -> Result<(), String> {
        self.open = true;
        plain.extend_from_slice(bytes);
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.open
    }

    fn ended(&self) -> bool {
        false
    }

    fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }

    fn certificate_ends(&self) -> Option<u64> {
        None
    }
}

/// A source of load, asked in one of its ways.
fn load(how: u8) -> ProbeKind {
    let sources = [LoadSource::Agent, LoadSource::Http, LoadSource::Rstatd, LoadSource::Rstatd];
    let monitor = LoadMonitor {
        source: sources[usize::from(how >> 2 & 3)],
        port: (how & 4 != 0).then_some(7),
        header: (how & 16 != 0).then(|| "X-Load".parse().expect("a header")),
        ..LoadMonitor::default()
    };
    ProbeKind::Load(Shared::new(monitor))
}

fn play(mut dialogue: Dialogue, answer: &[u8], step: usize) -> (Option<Result<(), String>>, String) {
    let mut result = done(dialogue.open());
    let mut taken = 0;
    for piece in answer.chunks(step) {
        if result.is_some() {
            break;
        }
        result = done(dialogue.feed(piece));
        taken += piece.len();
        assert!(taken <= ANSWER_BYTES_MAX + step || result.is_some());
    }
    let result = result.or_else(|| Some(dialogue.closed()));
    if let Some(said) = dialogue.said() {
        assert!(said.reading.is_none_or(|reading| reading.percent() <= 999_999), "{said:?}");
    }
    assert_ne!(dialogue.elsewhere(), Some(0));
    if let Some(Err(words)) = &result {
        assert!(!words.is_empty() && words.len() < 1024, "{words:?}");
    }
    let transcript = dialogue.transcript();
    assert!(transcript.len() < 4096, "{} bytes", transcript.len());
    assert!(transcript.chars().all(|c| c == '\n' || !c.is_control()), "{transcript:?}");
    assert!(!transcript.contains("secret") || answer.windows(6).any(|w| w == b"secret"), "{transcript:?}");
    (result, transcript)
}

fn done(step: Step) -> Option<Result<(), String>> {
    match step {
        Step::Done(result) => Some(result),
        Step::Wait | Step::Send(_) | Step::SendSecret(_) => None,
    }
}
