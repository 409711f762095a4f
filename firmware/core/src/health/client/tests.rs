use super::*;
use proptest::prelude::*;

const FIRST: u32 = u32::MAX - 3;
const THEIRS: u32 = u32::MAX - 1;

fn ends() -> (SocketAddr, SocketAddr) {
    ("1.2.3.2:61000".parse().unwrap(), "1.2.3.7:80".parse().unwrap())
}

fn at(ms: u64) -> Mono {
    Mono::from_micros(ms * 1000)
}

fn open() -> Client {
    let mut out = Vec::new();
    let client = Client::open(ends(), FIRST, at(0), &mut out);
    let [packet] = &out[..] else { panic!("{out:?}") };
    let syn = Segment::parse(packet).unwrap();
    assert_eq!((syn.flags, syn.sequence, syn.mss), (flag::SYN, FIRST, Some(SEGMENT_BYTES)));
    client
}

/// What the server says.
fn said(flags: u8, sequence: u32, acknowledgement: u32, payload: &[u8]) -> Vec<u8> {
    let (destination, source) = ends();
    let payload = payload.to_vec();
    Segment { source, destination, sequence, acknowledgement, flags, window: 4000, mss: None, payload }
        .packet()
}

fn connected() -> Client {
    let mut client = open();
    let mut out = Vec::new();
    let heard =
        client.segment(&said(flag::SYN | flag::ACK, THEIRS, FIRST.wrapping_add(1), b""), at(1), &mut out);
    assert!(heard.connected);
    let ack = Segment::parse(&out[0]).unwrap();
    assert_eq!((ack.flags, ack.sequence), (flag::ACK, FIRST.wrapping_add(1)));
    assert_eq!(ack.acknowledgement, THEIRS.wrapping_add(1));
    assert_eq!(client.next_deadline(), None);
    client
}

#[test]
fn a_reset_in_answer_to_the_syn_is_a_refusal_and_one_with_another_number_is_not() {
    let mut client = open();
    let mut out = Vec::new();
    let other = client.segment(&said(flag::RST | flag::ACK, 0, FIRST, b""), at(1), &mut out);
    assert_eq!(other, Heard::default());
    let heard = client.segment(&said(flag::RST | flag::ACK, 0, FIRST.wrapping_add(1), b""), at(1), &mut out);
    assert!(heard.reset && out.is_empty());
    assert_eq!((client.next_deadline(), client.abort()), (None, None));
}

#[test]
fn a_syn_that_nobody_answers_is_sent_again_at_growing_distances() {
    let mut client = open();
    let mut times = Vec::new();
    while let Some(next) = client.next_deadline().filter(|next| *next <= at(5000)) {
        let mut out = Vec::new();
        client.on_deadline(next, &mut out);
        assert_eq!(Segment::parse(&out[0]).unwrap().flags, flag::SYN);
        times.push(next.millis());
    }
    assert_eq!(times, [200, 600, 1400, 3000, 4600]);
}

#[test]
fn data_is_taken_in_order_once_and_acknowledged() {
    let mut client = connected();
    let mut out = Vec::new();
    let (seq, ack) = (THEIRS.wrapping_add(1), FIRST.wrapping_add(1));
    let data = |flags, from: u32, bytes: &[u8]| said(flag::ACK | flags, seq.wrapping_add(from), ack, bytes);
    assert_eq!(client.segment(&data(0, 3, b"lo"), at(2), &mut out).data, b"", "out of order");
    assert_eq!(client.segment(&data(0, 0, b"hel"), at(2), &mut out).data, b"hel");
    assert_eq!(client.segment(&data(0, 0, b"hello"), at(2), &mut out).data, b"lo", "overlapping");
    assert_eq!(client.segment(&data(0, 0, b"hello"), at(2), &mut out).data, b"", "old");
    let last = client.segment(&data(flag::FIN, 5, b"!"), at(2), &mut out);
    assert_eq!((last.data.as_slice(), last.closed), (&b"!"[..], true));
    let acks: Vec<u32> =
        out.iter().map(|p| Segment::parse(p).unwrap().acknowledgement.wrapping_sub(seq)).collect();
    assert_eq!(acks, [0, 3, 5, 5, 7]);
    let reset = Segment::parse(&client.abort().unwrap()).unwrap();
    assert!(reset.has(flag::RST) && reset.sequence == ack);
}

#[test]
fn a_question_is_cut_to_the_window_and_sent_again_until_it_is_acknowledged() {
    let mut client = connected();
    let mut out = Vec::new();
    let question: Vec<u8> = (0..6000_u32).map(|n| (n % 251) as u8).collect();
    client.send(&question, at(10), &mut out);
    let total =
        |out: &[Vec<u8>]| -> usize { out.iter().map(|p| Segment::parse(p).unwrap().payload.len()).sum() };
    assert_eq!(total(&out), 4000, "the window");
    out.clear();
    client.on_deadline(at(210), &mut out);
    assert_eq!(total(&out), 4000, "again");
    out.clear();
    let base = FIRST.wrapping_add(1);
    client.segment(&said(flag::ACK, THEIRS.wrapping_add(1), base.wrapping_add(4000), b""), at(220), &mut out);
    assert_eq!(total(&out), 2000, "the rest");
    client.segment(&said(flag::ACK, THEIRS.wrapping_add(1), base.wrapping_add(6000), b""), at(230), &mut out);
    assert_eq!(client.next_deadline(), None);
}

#[test]
fn a_reset_counts_at_the_exact_place_only() {
    let mut client = connected();
    let mut out = Vec::new();
    assert!(!client.segment(&said(flag::RST, THEIRS.wrapping_add(2), 0, b""), at(2), &mut out).reset);
    assert!(client.segment(&said(flag::RST, THEIRS.wrapping_add(1), 0, b""), at(2), &mut out).reset);
}

proptest! {
    /// Whatever is lost, doubled or swapped on the way, both sides get all bytes in order as long as some get through.
    #[test]
    fn a_bad_network_delays_and_never_corrupts(
        fate in proptest::collection::vec(0_u8..4, 200),
        question in proptest::collection::vec(any::<u8>(), 1..5000),
        answer in proptest::collection::vec(any::<u8>(), 1..5000),
    ) {
        let mut fate = fate.into_iter();
        let mut out = Vec::new();
        let mut client = Client::open(ends(), FIRST, at(0), &mut out);
        // A server that acknowledges all in order, and sends everything from its first unacknowledged byte each time.
        let (mut got, mut told, mut heard) = (Vec::new(), 0_usize, Vec::new());
        let mut opened = false;
        let mut ms = 0;
        for _ in 0..400 {
            let mut replies = Vec::new();
            for packet in core::mem::take(&mut out) {
                // 0: lost. 1: doubled.
                let fate = fate.next().unwrap_or(2);
                for _ in 0..[0, 2, 1, 1][fate as usize] {
                    let segment = Segment::parse(&packet).unwrap();
                    if segment.has(flag::SYN) {
                        replies.push(said(flag::SYN | flag::ACK, THEIRS, FIRST.wrapping_add(1), b""));
                        continue;
                    }
                    opened = true;
                    let place = segment.sequence.wrapping_sub(FIRST.wrapping_add(1)) as usize;
                    if place <= got.len() && place + segment.payload.len() > got.len() {
                        got.extend_from_slice(&segment.payload[got.len() - place..]);
                    }
                    told = told.max(segment.acknowledgement.wrapping_sub(THEIRS.wrapping_add(1)) as usize);
                }
            }
            if opened {
                let ack = FIRST.wrapping_add(1).wrapping_add(got.len() as u32);
                let end = answer.len().min(told + 1000);
                let (seq, bytes) = (THEIRS.wrapping_add(1).wrapping_add(told as u32), &answer[told..end]);
                replies.push(said(flag::ACK, seq, ack, bytes));
            }
            if fate.next() == Some(3) { replies.reverse(); }
            for packet in replies {
                if fate.next() == Some(0) { continue; }
                let news = client.segment(&packet, at(ms), &mut out);
                if news.connected { client.send(&question, at(ms), &mut out); }
                heard.extend(news.data);
            }
            ms += 200;
            client.on_deadline(at(ms), &mut out);
            if got == question && heard == answer { break; }
        }
        prop_assert_eq!(got, question);
        prop_assert_eq!(heard, answer);
    }
}
