//! Byte formats of sockets, wires and the kernel.

use crate::bytes::Bytes;
use director_core::cli::transfer::{Lines, Message};
use director_core::director::event::Level;
use director_core::director::frame::{Decoder, FrameError, decode, encode, encode_message};
use director_core::director::protocol::{Reply, Request};
use director_core::health::http::{Dialogue, Step};
use director_core::init::kmsg::{Record, line};
use director_core::login::Hash;
use director_core::model::cluster::Authentication;
use director_core::model::config::HttpCheck;
use director_core::store::identity::Role;
use director_core::wire::heartbeat::{Counters, Frame, Guard, Key, Keyring};
use director_core::wire::{arp, ethernet, ndp, rwho};
use std::net::{Ipv4Addr, SocketAddr};

/// Frames between console and director: where the stream is cut does not matter, messages are no longer than what
/// came, and a value that decodes encodes to itself.
pub fn fuzz_frames(data: &[u8]) {
    let (step, stream) =
        data.split_first().map_or((1, data), |(first, rest)| (usize::from(*first).max(1), rest));
    let (whole, error) = messages(stream, stream.len().max(1));
    assert_eq!(messages(stream, step), (whole.clone(), error));
    assert!(whole.iter().map(Vec::len).sum::<usize>() <= stream.len());
    for message in whole {
        let mut again = Vec::new();
        encode_message(&message, &mut again).expect("it fitted when it came");
        assert_eq!(messages(&again, again.len()), (vec![message.clone()], None));
        if let Ok(request) = decode::<Request>(&message) {
            assert_eq!(values::<Request>(&request), request);
        }
        if let Ok(reply) = decode::<Reply>(&message) {
            assert_eq!(values::<Reply>(&reply), reply);
        }
    }
}

fn values<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    let mut stream = Vec::new();
    encode(value, &mut stream).expect("a decoded value can be encoded");
    let (messages, error) = messages(&stream, stream.len());
    assert_eq!((messages.len(), error), (1, None));
    decode(&messages[0]).expect("an encoded value can be decoded")
}

fn messages(stream: &[u8], step: usize) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let (mut decoder, mut got) = (Decoder::new(), Vec::new());
    for mut piece in stream.chunks(step) {
        loop {
            match decoder.take(&mut piece) {
                Ok(Some(message)) => got.push(message),
                Ok(None) => break,
                Err(error) => return (got, Some(error)),
            }
        }
    }
    (got, None)
}

/// Records of the kernel log, read and written: what is written is one line without control characters.
pub fn fuzz_kmsg(data: &[u8]) {
    if let Some(record) = Record::parse(data) {
        assert!(!record.text.contains('\n') && record.severity < 8);
        assert!(record.to_string().starts_with('['));
    }
    let text = String::from_utf8_lossy(data);
    let written = line(Level::Notice, "fuzz", format_args!("{text}"));
    let body = written.strip_suffix('\n').expect("a line ends");
    assert!(body.starts_with("<5>fuzz: ") && !body.chars().any(char::is_control), "{body:?}");
}

/// Answers of a web server: a verdict or a wish for more, the same wherever the answer is cut.
pub fn fuzz_http(data: &[u8]) {
    let mut bytes = Bytes(data);
    let first = 100 + bytes.word() % 500;
    let last = first.saturating_add(bytes.word() % 500).min(599);
    let step = usize::from(bytes.byte()).max(1);
    let status = (first, last).try_into().expect("codes");
    let check = HttpCheck { path: "/".parse().expect("a path"), host: None, status };
    let dialogue = Dialogue::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 80)), &check);
    let (mut at_once, mut pieces) = (dialogue.clone(), dialogue);
    let whole = at_once.feed(bytes.0);
    let mut cut = Step::NeedMore;
    for piece in bytes.0.chunks(step) {
        cut = pieces.feed(piece);
        if cut != Step::NeedMore {
            break;
        }
    }
    // The words quote what had come by then, so only the verdict is compared. Bytes after the last line end are not
    // looked at before another comes, so a wrong beginning is noticed later when it comes in pieces, and only that.
    let verdict = |step: &Step| match step {
        Step::NeedMore => None,
        Step::Done(result) => Some(result.is_ok()),
    };
    let later = verdict(&whole) == Some(false) && cut == Step::NeedMore;
    let same = verdict(&whole) == verdict(&cut) || later;
    assert!(same, "{whole:?} at once, {cut:?} in pieces of {step}");
    for words in [at_once.closed(), pieces.closed()] {
        assert!(!words.is_empty() && !words.chars().any(char::is_control), "{words:?}");
    }
    if let Step::Done(Err(words)) = &cut {
        assert!(!words.is_empty() && !words.chars().any(char::is_control), "{words:?}");
    }
}

/// Ethernet, ARP and neighbour advertisements: what is accepted is written back the same.
pub fn fuzz_wire(data: &[u8]) {
    if let Ok((header, payload)) = ethernet::Repr::parse(data) {
        assert!(!header.to_string().is_empty());
        if let Ok(packet) = arp::Repr::parse(payload) {
            let frame = packet.frame(header.destination);
            let (_, again) = ethernet::Repr::parse(&frame).expect("our own frame");
            assert_eq!(arp::Repr::parse(again), Ok(packet));
            assert!(!packet.to_string().is_empty());
        }
    }
    if let Ok(packet) = arp::Repr::parse(data) {
        assert_eq!(packet.frame([0xff; 6])[14..].get(..28), data.get(..28));
    }
    if let Some(reading) = rwho::parse(data) {
        assert!(data.len() >= 60 && reading.percent() <= 100_000);
    }
    if let Ok(packet) = ndp::Repr::parse(data) {
        assert_eq!(ndp::Repr::parse(&packet.frame()), Ok(packet));
        assert!(!packet.to_string().is_empty());
    }
}

/// Heartbeats: what a node without authentication accepts is written back and read the same, and one that asks for
/// signatures accepts nothing of it; each is counted once.
pub fn fuzz_heartbeat(data: &[u8]) {
    let mut keys = Keyring::default();
    assert!(keys.add(1, Key::of("secret")));
    let group = data.get(6).copied().unwrap_or(1);
    let guard = |own, mode| Guard { group, own, mode, keys: keys.clone() };
    let mut counters = Counters::default();
    for own in [Role::Primary, Role::Backup] {
        let open = guard(own, Authentication::ReceiveOnly);
        if let Ok(frame) = open.open(data, &mut counters) {
            let bytes = guard(frame.sender, Authentication::ReceiveOnly)
                .seal(&frame)
                .expect("it fitted when it came");
            // Which keys there are is the guard's to say, not the frame's.
            let frame = Frame { keys: Default::default(), ..frame };
            assert_eq!(open.open(&bytes, &mut Counters::default()), Ok(frame.clone()));
            assert!(frame.to_string().bytes().all(|b| b.is_ascii_graphic() || b == b' '));
        }
        let closed = guard(own, Authentication::Enforce).open(data, &mut counters);
        assert!(closed.is_err(), "a signature was guessed");
    }
    let Counters { passed, foreign, group: others, identity, forged, malformed } = counters;
    assert_eq!(passed + foreign + others + identity + forged + malformed, 4);
}

/// Lines of the serial protocol among anything else: what is understood is written back and understood the same. The
/// input is also put into a sound line, as few guess a checksum.
pub fn fuzz_transfer(data: &[u8]) {
    let mut framed = vec![b':'];
    framed.extend(data);
    framed.extend(format!("~{:08x}\r\n", crc32fast::hash(data)).bytes());
    for stream in [data, &framed] {
        let mut lines = Lines::default();
        for message in stream.iter().filter_map(|byte| lines.feed(*byte)) {
            let again = message.emit();
            let mut lines = Lines::default();
            let back: Vec<Message> = again.iter().filter_map(|byte| lines.feed(*byte)).collect();
            // A reason is shortened to ASCII.
            if !matches!(message, Message::Refused(_)) {
                assert_eq!(back, [message]);
            }
        }
    }
}

/// Hashes of passwords: refused, or within what this box can compute and written back the same.
pub fn fuzz_login(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Hash::parse(&text) {
        Ok(hash) => assert_eq!(Hash::parse(&hash.phc()).map(|h| h.phc()), Ok(hash.phc())),
        Err(why) => assert!(!why.is_empty()),
    }
}
