extern crate std;

use super::*;
use crate::model::Millis;
use crate::store::Generation;
use crate::sync::{Bundle, Proposal};
use crate::wire::heartbeat::Running;
use alloc::vec;
use proptest::prelude::*;

fn credentials(own: Role, secret: &str) -> Credentials {
    Credentials::new(1, own, 1, secret)
}

struct Pair {
    ends: [Session; 2],
    /// What each has sent and the other has not got.
    wire: [Vec<u8>; 2],
    got: [Vec<Message>; 2],
}

impl Pair {
    fn new(secrets: [&str; 2]) -> Self {
        let mut wire = [Vec::new(), Vec::new()];
        let [to_b, to_p] = &mut wire;
        let primary = Session::start(credentials(Role::Primary, secrets[0]), [1; NONCE], to_b);
        let backup = Session::start(credentials(Role::Backup, secrets[1]), [2; NONCE], to_p);
        Self { ends: [primary, backup], wire, got: [Vec::new(), Vec::new()] }
    }

    /// Carries everything across until nothing is left.
    fn exchange(&mut self) -> Result<(), Broken> {
        for _ in 0..8 {
            for from in 0..2 {
                let bytes = core::mem::take(&mut self.wire[from]);
                let to = 1 - from;
                let mut answer = Vec::new();
                self.ends[to].receive(&bytes, &mut answer, &mut self.got[to])?;
                self.wire[to].extend(answer);
            }
        }
        Ok(())
    }
}

fn large() -> Message {
    Message::Propose(Proposal {
        generation: Generation(7),
        base: Running { generation: 6, hash: 5 },
        schema: 2,
        commit: (0..40_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect(),
        window: Millis::from_secs(90),
    })
}

#[test]
fn hkdf_is_that_of_rfc_5869() {
    // Appendix A.1, first block.
    let salt: Vec<u8> = (0..=0x0c).collect();
    let info: Vec<u8> = (0xf0..=0xf9).collect();
    let okm = hkdf(&[0x0b; 22], &salt, &[&info]);
    assert_eq!(okm[..8], [0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a]);
    assert_eq!(okm[24..], [0x5d, 0xb0, 0x2d, 0x56, 0xec, 0xc4, 0xc5, 0xbf]);
}

#[test]
fn messages_of_any_size_arrive_in_both_directions() {
    let mut pair = Pair::new(["s3cret"; 2]);
    pair.exchange().unwrap();
    assert!(pair.ends.iter().all(Session::proven));
    for message in [large(), Message::Give, Message::Ready(Generation(3))] {
        for from in 0..2 {
            let Pair { ends, wire, .. } = &mut pair;
            ends[from].send(&message, &mut wire[from]).unwrap();
        }
        pair.exchange().unwrap();
        assert_eq!(core::mem::take(&mut pair.got), [vec![message.clone()], vec![message]]);
    }
}

#[test]
fn a_greeting_that_does_not_fit_is_named() {
    let ours = || {
        let mut out = Vec::new();
        Session::start(credentials(Role::Primary, "s"), [1; NONCE], &mut out)
    };
    let theirs = credentials(Role::Backup, "s").greeting([2; NONCE]);
    for (place, value, broken) in [
        (0, b'X', Broken::Foreign),
        (4, 9, Broken::Version(9)),
        (5, 4, Broken::Group(4)),
        (6, b'P', Broken::SameIdentity),
        (6, b'Q', Broken::Foreign),
        (7, 3, Broken::OtherKey(3)),
    ] {
        let mut bytes = theirs;
        bytes[place] = value;
        assert_eq!(ours().receive(&bytes, &mut Vec::new(), &mut Vec::new()), Err(broken));
    }
}

#[test]
fn another_secret_ends_the_connection_before_anything_is_said() {
    let mut pair = Pair::new(["one", "two"]);
    assert_eq!(pair.exchange(), Err(Broken::Seal));
    assert!(!pair.ends.iter().any(Session::proven));
    let Pair { ends, wire, .. } = &mut pair;
    assert_eq!(ends[0].send(&Message::Give, &mut wire[0]), Err(Broken::Early));
}

#[test]
fn before_the_proof_no_more_than_a_proof_is_stored() {
    let mut out = Vec::new();
    let mut session = Session::start(credentials(Role::Primary, "s"), [1; NONCE], &mut out);
    let mut bytes = credentials(Role::Backup, "s").greeting([2; NONCE]).to_vec();
    bytes.extend_from_slice(&18_u16.to_be_bytes());
    bytes.resize(5000, 0);
    assert_eq!(session.receive(&bytes, &mut out, &mut Vec::new()), Err(Broken::Length(18)));
    assert_eq!(session.input.capacity(), 0);
}

#[test]
fn what_was_recorded_opens_on_no_other_connection() {
    let mut pair = Pair::new(["s"; 2]);
    pair.exchange().unwrap();
    let Pair { ends, wire, .. } = &mut pair;
    ends[1].send(&Message::Give, &mut wire[1]).unwrap();
    let recorded = wire[1].clone();
    pair.exchange().unwrap();
    // Again on the same connection.
    let mut got = Vec::new();
    assert_eq!(pair.ends[0].receive(&recorded, &mut Vec::new(), &mut got), Err(Broken::Seal));
    // On a new one of the same boxes, whose nonces are others.
    let mut out = Vec::new();
    let mut fresh = Session::start(credentials(Role::Primary, "s"), [3; NONCE], &mut out);
    let mut stream = credentials(Role::Backup, "s").greeting([2; NONCE]).to_vec();
    stream.extend_from_slice(&recorded);
    assert!(fresh.receive(&stream, &mut out, &mut got).is_err());
    // Sent back to who said it.
    assert_eq!(pair.ends[1].receive(&recorded, &mut Vec::new(), &mut got), Err(Broken::Seal));
    assert_eq!(got, []);
}

#[test]
fn a_message_that_is_not_known_is_skipped() {
    assert_eq!(Message::decode(&[200, 1, 2]), None);
    let reason = Message::Refused { generation: Generation(1), reason: "a\u{1b}[2Jb".into() };
    let shown = Message::Refused { generation: Generation(1), reason: "a[2Jb".into() };
    assert_eq!(Message::decode(&reason.encode()), Some(shown));
}

#[test]
fn the_bytes_have_not_changed() {
    let mut pair = Pair::new(["s3cret"; 2]);
    let greeting = pair.wire[0].clone();
    assert_eq!(greeting[..9], *b"DRSS\x01\x01P\x01\x01");
    pair.exchange().unwrap();
    let Pair { ends, wire, .. } = &mut pair;
    ends[0].send(&Message::Ready(Generation(300)), &mut wire[0]).unwrap();
    let golden = include_bytes!("../../../../../tests/golden/sync/ready.bin");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/sync/ready.bin");
        return std::fs::write(path, &wire[0]).unwrap();
    }
    assert_eq!(wire[0], golden);
    let state = Message::State(crate::sync::State {
        schema: 2,
        newest: Generation(9),
        running: Running { generation: 9, hash: 1 },
        settled: true,
    });
    assert_eq!(state.encode(), [0, 2, 9, 9, 1, 1]);
    assert_eq!(Message::TableSent(5).encode(), [10, 5]);
    assert_eq!(Message::Bundle(Bundle::Have(5)).encode(), [12, 1, 5]);
}

proptest! {
    // Sealing 40 kB takes long without optimisation.
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn any_cut_of_the_stream_gives_the_same_messages(step in 1_usize..600) {
        let mut pair = Pair::new(["s"; 2]);
        pair.exchange().unwrap();
        let Pair { ends, wire, .. } = &mut pair;
        ends[0].send(&large(), &mut wire[0]).unwrap();
        ends[0].send(&Message::WantTable, &mut wire[0]).unwrap();
        let bytes = core::mem::take(&mut pair.wire[0]);
        for piece in bytes.chunks(step) {
            pair.ends[1].receive(piece, &mut Vec::new(), &mut pair.got[1]).unwrap();
        }
        prop_assert_eq!(&pair.got[1], &vec![large(), Message::WantTable]);
    }
}

proptest! {
    #[test]
    fn a_changed_bit_ends_the_connection_and_nothing_of_it_is_said(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut pair = Pair::new(["s"; 2]);
        pair.exchange().unwrap();
        let Pair { ends, wire, .. } = &mut pair;
        ends[0].send(&Message::Keep(Generation(4)), &mut wire[0]).unwrap();
        let mut bytes = core::mem::take(&mut pair.wire[0]);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // A longer length waits for more, which fails then.
        bytes.resize(bytes.len() + FRAME_MAX, 0);
        prop_assert!(pair.ends[1].receive(&bytes, &mut Vec::new(), &mut pair.got[1]).is_err());
        prop_assert!(pair.got[1].is_empty());
    }
}
