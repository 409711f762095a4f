//! Where TLS begins, and what goes through it.

use super::*;
use crate::model::check::{Login, Tls};

/// Says `hello`, is open after `world`, and marks what it protects.
#[derive(Debug, Default)]
struct Marked {
    open: bool,
    ended: bool,
}

impl Channel for Marked {
    fn begin(&mut self) -> Vec<u8> {
        b"hello".to_vec()
    }

    fn feed(&mut self, bytes: &[u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), String> {
        let rest = match (self.open, bytes.strip_prefix(b"world")) {
            (false, None) => return Err("not TLS".into()),
            (false, Some(rest)) => {
                self.open = true;
                out.extend(b"finished");
                rest
            }
            (true, _) => bytes,
        };
        self.ended = rest.ends_with(b"bye");
        plain.extend_from_slice(rest.strip_suffix(b"bye").unwrap_or(rest));
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.open
    }

    fn ended(&self) -> bool {
        self.ended
    }

    fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        [b"<", bytes, b">"].concat()
    }

    fn certificate_ends(&self) -> Option<u64> {
        self.open.then_some(7)
    }
}

fn inside(check: Check) -> Dialogue {
    let check = Check { tls: Some(Tls::default()), ..check };
    let target = "10.0.0.1:99".parse().unwrap();
    let spec = ProbeSpec { target, at: None, source: None, kind: ProbeKind::Named(Shared::new(check)) };
    match open(&spec, ProbeId(7), &mut |_| Some(Box::new(Marked::default()))) {
        Opening::Stream(dialogue) => dialogue,
        other => panic!("{other:?}"),
    }
}

/// Begins in clear, because it is told to.
fn starting(question: Question, login: Option<Login>) -> Dialogue {
    let tls = Some(Tls { starttls: true, ..Tls::default() });
    let check = Check { question, login, tls, ..Check::default() };
    let target = "10.0.0.1:99".parse().unwrap();
    let spec = ProbeSpec { target, at: None, source: None, kind: ProbeKind::Named(Shared::new(check)) };
    match open(&spec, ProbeId(7), &mut |_| Some(Box::new(Marked::default()))) {
        Opening::Stream(dialogue) => dialogue,
        other => panic!("{other:?}"),
    }
}

fn send(bytes: &[u8]) -> Step {
    Step::Send(bytes.to_vec())
}

#[test]
fn a_question_goes_out_when_the_handshake_is_over() {
    let mut dialogue = inside(check(Question::Redis));
    assert_eq!(dialogue.open(), send(b"hello"));
    assert_eq!(dialogue.closed(), Err("connection closed during the TLS handshake".into()));
    assert!(dialogue.silent().is_some_and(|end| end.unwrap_err().contains("TLS handshake")));
    assert_eq!(dialogue.feed(b"world"), send(b"finished<AUTH u \"hunter2\"\r\n>"));
    assert_eq!(dialogue.certificate_ends(), Some(7));
    assert_eq!(dialogue.feed(b"+OK\r\n"), send(b"<PING\r\n>"));
    assert_eq!(dialogue.feed(b"+PONG\r\n"), Step::Done(Ok(())));
    assert_eq!(dialogue.farewell(), b"<QUIT\r\n>");
    let transcript = dialogue.transcript();
    assert!(!transcript.contains("hunter2") && transcript.contains("- TLS is open"), "{transcript}");
}

#[test]
fn a_greeting_may_come_with_the_end_of_the_handshake() {
    let mut dialogue = inside(Check { question: Question::Pop3, ..Check::default() });
    assert_eq!(dialogue.open(), send(b"hello"));
    assert_eq!(dialogue.feed(b"world+OK ready\r\n"), Step::Done(Ok(())));
}

#[test]
fn mail_is_secured_after_starttls_and_greeted_again() {
    let mut dialogue = inside(check(Question::Smtp));
    assert_eq!(dialogue.open(), Step::Wait);
    assert_eq!(dialogue.feed(b"220 mail\r\n"), send(b"EHLO director\r\n"));
    assert_eq!(dialogue.feed(b"250-mail\r\n250 STARTTLS\r\n"), send(b"STARTTLS\r\n"));
    assert_eq!(dialogue.feed(b"220 go on\r\n"), send(b"hello"));
    assert_eq!(dialogue.feed(b"world"), send(b"finished<EHLO director\r\n>"));
    assert_eq!(dialogue.feed(b"250 mail\r\n"), Step::Done(Ok(())));
}

#[test]
fn each_protocol_asks_for_tls_in_its_own_words_and_logs_in_inside() {
    let login = || Some(Login { user: Some("u".parse().unwrap()), password: Some("p".parse().unwrap()) });
    let cases = [
        (Question::Pop3, ["+OK\r\n", "STLS\r\n", "+OK go on\r\n", "finished<USER u\r\n>"]),
        (
            Question::Imap,
            ["* OK\r\n", "s STARTTLS\r\n", "* x\r\ns OK\r\n", "finished<a LOGIN \"u\" \"p\"\r\n>"],
        ),
        (Question::Ftp, ["220 ftp\r\n", "AUTH TLS\r\n", "234 go on\r\n", "finished<USER u\r\n>"]),
        (Question::Nntp, ["200 news\r\n", "STARTTLS\r\n", "382 go on\r\n", "finished<AUTHINFO USER u\r\n>"]),
    ];
    for (question, words) in cases {
        let [greeting, wish, agreed, first] = words.map(str::as_bytes);
        let mut dialogue = starting(question, login());
        assert_eq!(dialogue.open(), Step::Wait);
        assert_eq!(dialogue.feed(greeting), send(wish));
        // What comes in clear behind the agreement is nobody's word.
        assert_eq!(dialogue.feed(&[agreed, b"+OK 230 a OK\r\n"].concat()), send(b"hello"));
        assert_eq!(dialogue.feed(b"world"), send(first));
        let mut nobody = starting(question, None);
        nobody.open();
        nobody.feed(greeting);
        nobody.feed(agreed);
        assert_eq!(nobody.feed(b"world"), Step::Done(Ok(())));
        let mut refused = starting(question, None);
        refused.open();
        refused.feed(greeting);
        let end = refused.feed(b"500 s NO\r\n");
        assert!(
            matches!(&end, Step::Done(Err(why)) if why.starts_with("STARTTLS: ")),
            "{question:?} {end:?}"
        );
    }
}

#[test]
fn a_directory_is_bound_to_inside_tls_after_starttls() {
    let mut dialogue = starting(Question::Ldap, None);
    let wish = b"\x30\x1d\x02\x01\x04\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
    assert_eq!(dialogue.open(), send(wish));
    let agreed = b"\x30\x0c\x02\x01\x04\x78\x07\x0a\x01\x00\x04\x00\x04\x00";
    let bound = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";
    assert_eq!(dialogue.feed(&[&agreed[..], bound].concat()), send(b"hello"));
    let bind = dialogue.feed(b"world");
    assert!(
        matches!(&bind, Step::Send(bytes) if bytes.starts_with(b"finished<\x30\x0c\x02\x01\x01\x60")),
        "{bind:?}"
    );
    assert_eq!(dialogue.feed(bound), Step::Done(Ok(())));
    let mut refused = starting(Question::Ldap, None);
    refused.open();
    let end = refused.feed(b"\x30\x0c\x02\x01\x04\x78\x07\x0a\x01\x34\x04\x00\x04\x00");
    assert_eq!(end, Step::Done(Err("STARTTLS: unavailable".into())));
}

#[test]
fn data_bases_are_asked_for_tls_in_their_own_words() {
    let login = Some(Login { user: Some("u".parse().unwrap()), password: Some("p".parse().unwrap()) });
    let mut dialogue =
        inside(Check { question: Question::Postgresql, login: login.clone(), ..Check::default() });
    assert_eq!(dialogue.open(), send(b"\0\0\0\x08\x04\xd2\x16\x2f"));
    assert_eq!(dialogue.feed(b"S"), send(b"hello"));
    assert!(matches!(dialogue.feed(b"world"), Step::Send(bytes) if bytes.starts_with(b"finished<\0\0\0")));
    assert_eq!(dialogue.feed(b"R\0\0\0\x08\0\0\0\0"), Step::Done(Ok(())));
    let mut refused = inside(Check { question: Question::Postgresql, ..Check::default() });
    refused.open();
    assert_eq!(refused.feed(b"N"), Step::Done(Err("the server does not offer TLS".into())));

    let greeting = |flags: u8| {
        let mut body = b"\x0a8.0.36\0\x01\0\0\0saltsalt\0\0".to_vec();
        body.push(flags);
        body.extend(b"\x2d\0\0\0\0\x15\0\0\0\0\0\0\0\0\0\0saltsaltsalt\0caching_sha2_password\0");
        [&[u8::try_from(body.len()).unwrap(), 0, 0, 0], body.as_slice()].concat()
    };
    let mut dialogue = inside(Check { question: Question::Mysql, login, ..Check::default() });
    assert_eq!(dialogue.open(), Step::Wait);
    let wish = dialogue.feed(&greeting(8));
    assert!(
        matches!(&wish, Step::Send(bytes) if bytes.len() == 36 + 5 && bytes.ends_with(b"hello")),
        "{wish:?}"
    );
    assert!(matches!(dialogue.feed(b"world"), Step::Send(bytes) if bytes.starts_with(b"finished<")));
    assert_eq!(dialogue.feed(b"\x02\0\0\x03\x01\x04"), send(b"<\x02\0\0\x04p\0>"));
    assert_eq!(dialogue.feed(b"\x07\0\0\x05\0\0\0\x02\0\0\0"), Step::Done(Ok(())));
    let mut refused = inside(Check { question: Question::Mysql, ..Check::default() });
    refused.open();
    assert_eq!(refused.feed(&greeting(0)), Step::Done(Err("the server does not offer TLS".into())));
}

#[test]
fn an_answer_that_is_no_tls_and_an_orderly_end_decide() {
    let mut dialogue = inside(Check { question: Question::Imap, ..Check::default() });
    dialogue.open();
    assert_eq!(dialogue.feed(b"* OK ready\r\n"), Step::Done(Err("TLS: not TLS".into())));
    let mut dialogue = inside(Check { question: Question::Imap, ..Check::default() });
    dialogue.open();
    let end = dialogue.feed(b"worldbye");
    assert!(matches!(&end, Step::Done(Err(words)) if words.contains("connection closed")), "{end:?}");
    let mut dialogue = inside(Check::default());
    dialogue.open();
    assert_eq!(dialogue.feed(b"world"), Step::Done(Ok(())));
}
