use super::*;
use crate::model::cluster::Authentication;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use expect_test::expect;
use proptest::prelude::*;

fn guard(own: Role, mode: Authentication, keys: &[(u8, &str)]) -> Guard {
    let mut ring = Keyring::default();
    for (id, secret) in keys {
        assert!(ring.add(*id, Key::of(secret)));
    }
    Guard { group: 7, own, mode, keys: ring }
}

fn frame() -> Frame {
    Frame {
        fitness: 7,
        priority: 100,
        marks: Marks { claim: true, ..Marks::default() },
        echo: Some(Stamp { nonce: 0x1122_3344_5566_7788, sequence: 999 }),
        running: Some(Running { generation: 12, hash: 0xabcd }),
        schema: 2,
        firmware: "1.2.3".try_into().unwrap(),
        usable: 3,
        connections: 70_000,
        boots: 5,
        ..Frame::new(
            7,
            Role::Backup,
            State::Standby,
            Stamp { nonce: 0x0102_0304_0506_0708, sequence: 1_000_000 },
        )
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.chunks(16).map(|line| line.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n").collect()
}

/// Without what the guard says of keys.
fn open(guard: &Guard, bytes: &[u8]) -> Result<Frame, Refusal> {
    let opened = guard.open(bytes, &mut Counters::default());
    opened.map(|frame| Frame { key: None, keys: heapless::Vec::new(), ..frame })
}

#[test]
fn a_signed_frame_has_its_golden_bytes_and_is_read_back() {
    let sealed =
        guard(Role::Backup, Authentication::Enforce, &[(3, "correct horse")]).seal(&frame()).unwrap();
    expect![[r#"
        44524842010107030080010542010764
        02021001020304050607080000000000
        0f424003101122334455667788000000
        00000003e70410000000000000000c00
        0000000000abcd05070002312e322e33
        06080000000300011170070400000005
        c41b197c726e303c0f687edf7c94b6e3
        a281526070df39dff9ad9441aa89d6ac
    "#]]
    .assert_eq(&hex(&sealed));
    let reader = guard(Role::Primary, Authentication::Enforce, &[(1, "other"), (3, "correct horse")]);
    assert_eq!(open(&reader, &sealed), Ok(frame()));
    assert_eq!(
        frame().to_string(),
        "heartbeat group 7 backup standby fitness 7 priority 100 seq 1000000 echo 999"
    );
}

#[test]
fn a_newer_peers_unknown_fields_are_skipped() {
    let writer = guard(Role::Backup, Authentication::ReceiveOnly, &[]);
    let mut bytes = writer.seal(&frame()).unwrap();
    bytes.extend_from_slice(&[200, 3, 1, 2, 3]).unwrap();
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    bytes[8..10].copy_from_slice(&length);
    assert_eq!(open(&guard(Role::Primary, Authentication::Permissive, &[]), &bytes), Ok(frame()));
}

#[test]
fn each_mode_signs_and_accepts_what_it_says() {
    use Authentication::{Enforce, Permissive, ReceiveOnly};
    let keys = [(1, "secret")];
    for (from, to, passes) in [
        (Enforce, Enforce, true),
        (Enforce, Permissive, true),
        (Enforce, ReceiveOnly, true),
        (Permissive, Enforce, true),
        (ReceiveOnly, Enforce, false),
        (ReceiveOnly, Permissive, true),
        (ReceiveOnly, ReceiveOnly, true),
    ] {
        let sealed = guard(Role::Backup, from, &keys).seal(&frame()).unwrap();
        let opened = open(&guard(Role::Primary, to, &keys), &sealed);
        assert_eq!(opened.is_ok(), passes, "{from:?} to {to:?}: {opened:?}");
    }
    assert_eq!(guard(Role::Backup, Enforce, &[]).seal(&frame()), None);
}

#[test]
fn a_key_is_replaced_without_a_gap() {
    type Keys = &'static [(u8, &'static str)];
    let node = |own, keys: Keys| guard(own, Authentication::Enforce, keys);
    let steps: [(Keys, Keys); 4] = [
        (&[(1, "old")], &[(1, "old"), (2, "new")]),
        (&[(1, "old"), (2, "new")], &[(1, "old"), (2, "new")]),
        (&[(2, "new"), (1, "old")], &[(1, "old"), (2, "new")]),
        (&[(2, "new")], &[(2, "new"), (1, "old")]),
    ];
    for (a, b) in steps {
        let from_b = node(Role::Backup, b).seal(&frame()).unwrap();
        assert_eq!(open(&node(Role::Primary, a), &from_b), Ok(frame()));
    }
}

#[test]
fn while_keys_change_a_frame_says_which_are_accepted_and_the_guard_says_which_signed_it() {
    let mark = |id, secret| KeyMark::of(id, &Key::of(secret));
    let pair = |own, keys| guard(own, Authentication::Enforce, keys);
    let both = pair(Role::Backup, &[(1, "new"), (1, "old")]).seal(&frame()).unwrap();
    let read = pair(Role::Primary, &[(1, "old"), (1, "new")]).open(&both, &mut Counters::default()).unwrap();
    assert_eq!((read.key, &*read.keys), (Some(mark(1, "new")), &[mark(1, "new"), mark(1, "old")][..]));
    let one = pair(Role::Backup, &[(1, "new")]).seal(&frame()).unwrap();
    assert!(one.len() < both.len());
    assert_eq!(pair(Role::Primary, &[(1, "old")]).open(&one, &mut Counters::default()), Err(Refusal::BadTag));
}

#[test]
fn what_is_not_the_peers_word_is_refused_with_the_reason() {
    let reader = guard(Role::Primary, Authentication::Enforce, &[(1, "secret")]);
    let writer = guard(Role::Backup, Authentication::Enforce, &[(1, "secret")]);
    let good = writer.seal(&frame()).unwrap();
    let changed = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes.to_vec()
    };
    let other_key = guard(Role::Backup, Authentication::Enforce, &[(9, "secret")]).seal(&frame()).unwrap();
    let wrong_key = guard(Role::Backup, Authentication::Enforce, &[(1, "guess")]).seal(&frame()).unwrap();
    let twin = writer.seal(&Frame { sender: Role::Primary, ..frame() }).unwrap();
    let cases: Vec<(Vec<u8>, Refusal)> = alloc::vec![
        (Vec::new(), Refusal::Foreign),
        (b"hello".to_vec(), Refusal::Foreign),
        (0xbdad_dbda_u32.to_le_bytes().to_vec(), Refusal::Piranha),
        (0xdead_beef_u32.to_be_bytes().to_vec(), Refusal::Piranha),
        (b">>>\nt=status\nst=active\n".to_vec(), Refusal::LinuxHa),
        (b"###\n10:(0)t=status,".to_vec(), Refusal::LinuxHa),
        (changed(4, 2), Refusal::Version(2)),
        (changed(6, 8), Refusal::Group(8)),
        (changed(5, 0), Refusal::Unsigned),
        (changed(20, 0xff), Refusal::BadTag),
        (other_key.to_vec(), Refusal::UnknownKey(9)),
        (wrong_key.to_vec(), Refusal::BadTag),
        (twin.to_vec(), Refusal::SameIdentity),
        (good[..good.len() - 1].to_vec(), Refusal::Malformed),
    ];
    let mut counters = Counters::default();
    for (bytes, refusal) in &cases {
        assert_eq!(reader.open(bytes, &mut counters), Err(*refusal), "{bytes:02x?}");
    }
    let expected = Counters { passed: 0, foreign: 7, group: 1, identity: 1, forged: 4, malformed: 1 };
    assert_eq!(counters, expected);
}

#[test]
fn a_key_is_never_printed() {
    let text = format!("{:?}", guard(Role::Primary, Authentication::Enforce, &[(1, "secret")]));
    assert!(text.contains("Key(hidden)"), "{text}");
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), ours in any::<bool>()) {
        let mut bytes = bytes;
        if ours && bytes.len() >= 10 {
            bytes[..6].copy_from_slice(b"DRHB\x01\x00");
            bytes[6] = 7;
            let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
            bytes[8..10].copy_from_slice(&length);
        }
        let reader = guard(Role::Primary, Authentication::Permissive, &[(1, "secret")]);
        if let Ok(frame) = open(&reader, &bytes) {
            let again = guard(Role::Backup, Authentication::ReceiveOnly, &[]).seal(&frame).unwrap();
            prop_assert_eq!(open(&reader, &again), Ok(frame));
        }
    }

    #[test]
    fn no_single_changed_bit_passes(bit in 0_usize..8 * 160) {
        let mut bytes = guard(Role::Backup, Authentication::Enforce, &[(1, "s")]).seal(&frame()).unwrap();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(open(&guard(Role::Primary, Authentication::Enforce, &[(1, "s")]), &bytes).is_err());
    }
}
