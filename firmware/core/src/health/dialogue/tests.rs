//! Every protocol against the same misfortunes: a healthy server, garbage, an answer byte by byte, an early close.

#![expect(clippy::wildcard_enum_match_arm, reason = "tables name the protocols that need something special")]

use super::*;
use crate::health::Shared;
use crate::model::check;
use alloc::vec;
use proptest::prelude::*;

mod secure;

fn check(question: Question) -> Check {
    let escaped = |text: &str| Some(text.parse().unwrap());
    let step = |send: &str, expect: &str| check::Dialogue {
        send: escaped(send),
        expect: escaped(expect),
        ..Default::default()
    };
    let mut check = Check { question, ..Check::default() };
    match question {
        Question::SendExpect => {
            check.steps.insert(1, step(r"HELO\r\n", "250"));
            check.steps.insert(2, step(r"STAT\r\n", "ready"));
        }
        Question::Http => {
            check.http = Some(check::HttpProbe { body: escaped("alive"), ..Default::default() });
        }
        Question::Smtp => check.smtp = Some(check::Smtp { helo: None, starttls: true }),
        Question::Pop3 | Question::Imap | Question::Ftp | Question::Nntp | Question::Redis => {
            check.login = Some(check::Login {
                user: Some("u".parse().unwrap()),
                password: Some("hunter2".parse().unwrap()),
            });
        }
        Question::Ldap => check.ldap = Some(check::Ldap { base: escaped("dc=x"), filter: None }),
        Question::Radius => {
            check.radius =
                Some(check::Radius { secret: Some("s3cret".parse().unwrap()), reject_is_good: false });
        }
        Question::Udp => {
            check.udp =
                Some(check::Udp { payload: escaped("hi"), reply: escaped("ho"), ..Default::default() });
        }
        _ => {}
    }
    check
}

fn dialogue(check: Check) -> Dialogue {
    let target = "10.0.0.1:99".parse().unwrap();
    let kind = ProbeKind::Named(Shared::new(check));
    match open(&ProbeSpec { target, at: None, source: None, kind }, ProbeId(7), &mut |_| None) {
        Opening::Stream(dialogue) | Opening::Datagram(dialogue) => dialogue,
        other @ (Opening::Decided(_) | Opening::Connect | Opening::Echo(_)) => panic!("{other:?}"),
    }
}

/// The answers of a healthy server, in order, one for the greeting and each question.
fn answers(question: Question) -> Vec<&'static [u8]> {
    match question {
        Question::SendExpect => vec![b"250 hello\r\n", b"+ ready\r\n"],
        Question::Http => vec![b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nI'm alive"],
        Question::Smtp => vec![b"220-a\r\n220 b\r\n", b"250-me\r\n250-STARTTLS\r\n250 SIZE 9\r\n"],
        Question::Pop3 => vec![b"+OK <1@x>\r\n", b"+OK\r\n", b"+OK 3 messages\r\n"],
        Question::Imap => vec![b"* OK ready\r\n", b"* CAPABILITY IMAP4\r\na OK done\r\n"],
        Question::Ftp => vec![b"220 ftp\r\n", b"331 pass?\r\n", b"230 in\r\n"],
        Question::Nntp => vec![b"200 news\r\n", b"381 more\r\n", b"281 ok\r\n"],
        Question::Redis => vec![b"+OK\r\n", b"+PONG\r\n"],
        Question::Ldap => vec![
            b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
            b"\x30\x09\x02\x01\x02\x64\x04\x04\x00\x30\x00\x30\x0c\x02\x01\x02\x65\x07\x0a\x01\x00\x04\x00\x04\x00",
        ],
        Question::Mysql => vec![b"\x14\0\0\0\x0a8.0.36\0\x01\0\0\0saltsalt"],
        Question::Postgresql => vec![b"R\0\0\0\x08\0\0\0\x05"],
        Question::Sip => vec![b"SIP/2.0 100 Trying\r\n\r\nSIP/2.0 200 OK\r\n\r\n"],
        _ => panic!("no stream of fixed answers: {question:?}"),
    }
}

const STREAMS: [Question; 12] = [
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
];

const DATAGRAMS: [Question; 4] = [Question::Dns, Question::Radius, Question::Ntp, Question::Udp];

/// Plays a server that gives `answers` in pieces of `step` bytes, and each only when it is its turn.
fn play(dialogue: &mut Dialogue, answers: &[&[u8]], step: usize) -> Step {
    let mut now = dialogue.open();
    for answer in answers {
        for piece in answer.chunks(step) {
            if matches!(now, Step::Done(_)) {
                return now;
            }
            now = dialogue.feed(piece);
        }
    }
    now
}

#[test]
fn a_healthy_server_passes_at_once_and_byte_by_byte() {
    for question in STREAMS {
        for step in [usize::MAX, 7, 1] {
            let mut dialogue = dialogue(check(question));
            let end = play(&mut dialogue, &answers(question), step);
            assert_eq!(
                end,
                Step::Done(Ok(())),
                "{question:?} in pieces of {step}: {}",
                dialogue.transcript()
            );
        }
    }
}

#[test]
fn an_early_close_is_a_failure_with_words_at_every_byte() {
    for question in STREAMS {
        let answers = answers(question);
        let first = answers[0];
        for cut in 0..first.len() {
            let mut dialogue = dialogue(check(question));
            dialogue.open();
            if matches!(dialogue.feed(&first[..cut]), Step::Done(_)) {
                continue;
            }
            let words = dialogue.closed().unwrap_err();
            assert!(!words.is_empty() && !words.chars().any(char::is_control), "{question:?} {cut}: {words}");
        }
    }
}

#[test]
fn garbage_is_refused_before_the_answer_is_too_long() {
    for question in STREAMS {
        let mut dialogue = dialogue(check(question));
        dialogue.open();
        let mut end = Step::Wait;
        for _ in 0..=ANSWER_BYTES_MAX / 16 {
            end = dialogue.feed(b"\xff\x00garbage\x17\x80\n\r\n\n\n");
            if matches!(end, Step::Done(_)) {
                break;
            }
        }
        let Step::Done(Err(words)) = end else { panic!("{question:?}: {end:?}") };
        assert!(!words.chars().any(char::is_control), "{question:?}: {words}");
        assert!(dialogue.transcript().len() < 4096);
    }
}

#[test]
fn a_password_is_in_no_transcript() {
    for question in [Question::Pop3, Question::Imap, Question::Ftp, Question::Nntp, Question::Redis] {
        let mut dialogue = dialogue(check(question));
        play(&mut dialogue, &answers(question), usize::MAX);
        let transcript = dialogue.transcript();
        assert!(!transcript.contains("hunter2") && transcript.contains("(login, not shown)"), "{transcript}");
    }
}

#[test]
fn a_refusal_names_what_was_asked_and_what_was_said() {
    for (question, said, words) in [
        (Question::Smtp, &[&b"220 a\r\n"[..], b"250-me\r\n250 SIZE 9\r\n"][..], "does not offer STARTTLS"),
        (Question::Smtp, &[b"554 no\r\n"], "greeting: answered \"554 no\""),
        (Question::Pop3, &[b"+OK\r\n", b"-ERR who\r\n"], "USER: answered \"-ERR who\""),
        (Question::Imap, &[b"* BYE\r\n"], "greeting: answered \"* BYE\""),
        (Question::Redis, &[b"-ERR hunter2 is wrong\r\n"], "AUTH: answered \"-ERR hunter2\""),
        (
            Question::Ldap,
            &[b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x31\x04\x00\x04\x00"],
            "wrong user or password",
        ),
        (Question::Mysql, &[b"\x0b\0\0\0\xff\x69\x04Host bad"], "error 1129: \"Host bad\""),
        (Question::Postgresql, &[b"E\0\0\0\x19SFATAL\0C57P03\0Mwait\0\0"], "error 57P03: \"wait\""),
        (Question::Sip, &[b"SIP/2.0 503 Full\r\n\r\n"], "answered \"503 Full\""),
        (Question::Http, &[b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndead"], "wanted the text"),
        (Question::SendExpect, &[b"250 x\r\n", b"busy\r\n"], ""),
    ] {
        let mut dialogue = dialogue(check(question));
        match play(&mut dialogue, said, usize::MAX) {
            Step::Done(Err(why)) => assert!(why.contains(words), "{question:?}: {why}"),
            Step::Wait if question == Question::SendExpect => {
                assert!(dialogue.silent().unwrap().unwrap_err().contains("busy"));
            }
            other => panic!("{question:?}: {other:?}"),
        }
    }
}

#[test]
fn a_chunked_body_is_compared_without_its_chunk_lines() {
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nali\r\n2\r\nve\r\n0\r\n\r\n";
    for step in [usize::MAX, 5, 1] {
        let mut dialogue = dialogue(check(Question::Http));
        assert_eq!(play(&mut dialogue, &[answer], step), Step::Done(Ok(())));
    }
}

fn sent(dialogue: &mut Dialogue) -> Vec<u8> {
    match dialogue.open() {
        Step::Send(bytes) | Step::SendSecret(bytes) => bytes,
        other @ (Step::Wait | Step::Done(_)) => panic!("{other:?}"),
    }
}

#[test]
fn a_dns_answer_must_be_to_this_question_and_hold_the_wanted_value() {
    let details = check::Dns {
        name: Some("www.example.org".parse().unwrap()),
        answer: Some("10.1.2.3".parse().unwrap()),
        ..Default::default()
    };
    let check = Check { question: Question::Dns, dns: Some(details), ..Check::default() };
    for (flags, value, end) in [
        (0x8180_u16, [10, 1, 2, 3], Some(Ok(()))),
        (0x8180, [10, 9, 9, 9], Some(Err(String::from("answers 10.9.9.9, wanted 10.1.2.3")))),
        (0x8182, [10, 1, 2, 3], Some(Err(String::from("answers SERVFAIL")))),
        (0x0180, [10, 1, 2, 3], None),
    ] {
        let mut dialogue = dialogue(check.clone());
        let mut packet = sent(&mut dialogue);
        packet[2..4].copy_from_slice(&flags.to_be_bytes());
        packet[7] = 1;
        packet.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04");
        packet.extend_from_slice(&value);
        let expected = end.map_or(Step::Wait, Step::Done);
        assert_eq!(dialogue.feed(&packet), expected);
    }
}

#[test]
fn names_of_addresses_and_places_of_services_are_read_from_dns() {
    let ask = |name: &str, record, answer: &str| {
        let (name, answer) = (Some(name.parse().unwrap()), Some(answer.parse().unwrap()));
        let dns = Some(check::Dns { name, record, answer });
        dialogue(Check { question: Question::Dns, dns, ..Check::default() })
    };
    let target = b"\x03sip\x07example\x03org\0";
    let answer = |dialogue: &mut Dialogue, kind: u8, data: &[u8]| {
        let mut packet = sent(dialogue);
        packet[2..4].copy_from_slice(&[0x81, 0x80]);
        packet[7] = 1;
        packet.extend_from_slice(&[
            0xc0,
            0x0c,
            0,
            kind,
            0,
            1,
            0,
            0,
            0,
            60,
            0,
            u8::try_from(data.len()).unwrap(),
        ]);
        packet.extend_from_slice(data);
        (packet.clone(), dialogue.feed(&packet))
    };
    let mut pointer = ask("192.0.2.7", check::RecordType::Ptr, "sip.example.org");
    let (packet, end) = answer(&mut pointer, 12, target);
    assert!(
        packet[12..].starts_with(b"\x017\x012\x010\x03192\x07in-addr\x04arpa\0\0\x0c\0\x01"),
        "{packet:?}"
    );
    assert_eq!(end, Step::Done(Ok(())));
    let mut pointer = ask("2001:db8::7", check::RecordType::Ptr, "sip.example.org");
    let (packet, end) = answer(&mut pointer, 12, target);
    assert!(packet[12..].starts_with(b"\x017\x010\x010\x010"), "{packet:?}");
    assert!(packet.windows(12).any(|w| w == b"\x012\x03ip6\x04arpa\0"), "{packet:?}");
    assert_eq!(end, Step::Done(Ok(())));
    let place = [&[0, 10, 0, 60, 0x13, 0xc4], &target[..]].concat();
    let mut service = ask("_sip._tcp.example.org", check::RecordType::Srv, "sip.example.org:5060");
    assert_eq!(answer(&mut service, 33, &place).1, Step::Done(Ok(())));
    let mut other = ask("_sip._tcp.example.org", check::RecordType::Srv, "sip.example.org:5061");
    let why = "answers sip.example.org:5060, wanted sip.example.org:5061";
    assert_eq!(answer(&mut other, 33, &place).1, Step::Done(Err(why.into())));
}

#[test]
fn a_radius_answer_must_be_signed_with_the_shared_secret() {
    use md5::{Digest as _, Md5};
    for (code, secret, good) in [(2, "s3cret", true), (3, "s3cret", false), (2, "other", false)] {
        let mut dialogue = dialogue(check(Question::Radius));
        let request = sent(&mut dialogue);
        let mut answer = vec![code, request[1], 0, 20];
        let digest =
            Md5::new().chain_update(&answer).chain_update(&request[4..20]).chain_update(secret).finalize();
        answer.extend_from_slice(&digest);
        let Step::Done(result) = dialogue.feed(&answer) else { panic!("undecided") };
        assert_eq!(result.is_ok(), good, "{code} {secret}: {result:?}");
    }
}

#[test]
fn an_ntp_answer_tells_whether_the_clock_is_set() {
    for (first, stratum, good) in [(0x24, 2, true), (0xe4, 2, false), (0x24, 0, false), (0x24, 16, false)] {
        let mut dialogue = dialogue(check(Question::Ntp));
        let request = sent(&mut dialogue);
        let mut answer = vec![first, stratum];
        answer.resize(24, 0);
        answer.extend_from_slice(&request[40..48]);
        answer.resize(48, 0);
        let Step::Done(result) = dialogue.feed(&answer) else { panic!("undecided") };
        assert_eq!(result.is_ok(), good, "{first:x} {stratum}: {result:?}");
    }
}

#[test]
fn silence_after_a_payload_is_good_only_when_no_reply_is_wanted() {
    let mut wants = dialogue(check(Question::Udp));
    wants.open();
    assert_eq!(wants.silent(), None);
    assert_eq!(wants.feed(b"ho!"), Step::Done(Ok(())));
    let mut quiet = dialogue(Check { question: Question::Udp, ..Check::default() });
    quiet.open();
    assert_eq!(quiet.silent(), Some(Ok(())));
}

proptest! {
    #[test]
    fn any_bytes_end_or_wait_and_never_panic(
        which in 0..STREAMS.len() + DATAGRAMS.len(),
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..8),
    ) {
        let question = *STREAMS.iter().chain(&DATAGRAMS).nth(which).unwrap();
        let mut dialogue = dialogue(check(question));
        dialogue.open();
        for piece in pieces {
            if let Step::Done(result) = dialogue.feed(&piece) {
                if let Err(words) = result {
                    prop_assert!(!words.chars().any(char::is_control));
                }
                return Ok(());
            }
        }
        let _result = dialogue.closed();
        prop_assert!(!dialogue.transcript().chars().any(|c| c.is_control() && c != '\n'));
    }
}
