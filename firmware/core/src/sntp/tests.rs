use super::*;
use alloc::vec;
use proptest::prelude::*;

const A: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1));
const B: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 2));
const C: IpAddr = IpAddr::V6(core::net::Ipv6Addr::LOCALHOST);
/// 2026-06-01 12:00 UTC, at boot.
const EPOCH_US: u64 = 1_780_315_200_000_000;

fn at(ms: u64) -> Mono {
    Mono::from_millis(ms)
}

fn stamp(unix_us: u64) -> u64 {
    let seconds = (unix_us / 1_000_000 + TO_1970_S) & 0xffff_ffff;
    (seconds << 32) | (((unix_us % 1_000_000) << 32) / 1_000_000)
}

/// The answer of a server that thinks it is `unix_us`.
fn answer(packet: &[u8; PACKET], unix_us: u64) -> [u8; PACKET] {
    let mut answer = [0; PACKET];
    (answer[0], answer[1]) = (0x24, 2);
    answer[24..32].copy_from_slice(&packet[40..]);
    answer[32..40].copy_from_slice(&stamp(unix_us).to_be_bytes());
    answer[40..].copy_from_slice(&stamp(unix_us).to_be_bytes());
    answer
}

/// What a server does with a question.
#[derive(Clone, Copy)]
enum Does {
    /// Is wrong by so many microseconds.
    Tells(i64),
    Nothing,
    Sends(fn(&[u8; PACKET]) -> Vec<u8>),
}

struct Bench {
    client: Client,
    out: Vec<Output>,
}

impl Bench {
    fn new(servers: &[IpAddr]) -> Self {
        let mut client = Client::new(7);
        client.configure(servers, at(1000));
        Self { client, out: Vec::new() }
    }

    /// One round that begins when it is due; the answer to the n-th question takes n + 1 times 10 ms there and back.
    fn round(&mut self, servers: &[Does]) -> Vec<Output> {
        let now = self.client.next_deadline().expect("nothing is due");
        self.client.on_deadline(now, &mut self.out);
        let asked: Vec<(IpAddr, [u8; PACKET])> = core::mem::take(&mut self.out)
            .into_iter()
            .map(|o| match o {
                Output::Ask { server, packet } => (server, packet),
                other @ (Output::Set { .. } | Output::Log(_)) => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(asked.len(), servers.len());
        for (n, ((address, packet), does)) in asked.iter().zip(servers).enumerate() {
            let took = (u64::try_from(n).unwrap() + 1) * 10_000;
            let back = Mono::from_micros(now.micros() + took);
            let datagram = match does {
                Does::Tells(wrong) => {
                    let there = EPOCH_US + now.micros() + took / 2;
                    Some(answer(packet, there.checked_add_signed(*wrong).unwrap()).to_vec())
                }
                Does::Nothing => None,
                Does::Sends(make) => Some(make(packet)),
            };
            self.client.answered(*address, (now, back), datagram.as_deref(), back, &mut self.out);
        }
        core::mem::take(&mut self.out)
    }

    fn trouble(&self) -> Vec<Option<String>> {
        self.client.status().servers.into_iter().map(|s| s.trouble).collect()
    }
}

fn set(out: &[Output]) -> Option<u64> {
    out.iter().find_map(|o| match o {
        Output::Set { unix_us } => Some(*unix_us),
        Output::Ask { .. } | Output::Log(_) => None,
    })
}

#[test]
fn the_clock_is_what_a_server_says_plus_half_the_way_back() {
    let mut bench = Bench::new(&[A]);
    let out = bench.round(&[Does::Tells(0)]);
    let unix_us = set(&out).unwrap();
    assert!(unix_us.abs_diff(EPOCH_US + 1_010_000) <= 2, "{unix_us}");
    assert_eq!(out.last(), Some(&Output::Log("the clock is set by 192.0.2.1".into())));
    // A small difference is left alone, a larger one is not.
    assert_eq!(bench.round(&[Does::Tells(5000)]), []);
    assert_eq!(bench.client.status().set.map(|(who, _)| who), Some(A));
    let out = bench.round(&[Does::Tells(3_000_000)]);
    assert_eq!(out.last(), Some(&Output::Log("the clock was wrong by 3 s, says 192.0.2.1".into())));
    assert!(set(&out).is_some());
}

#[test]
fn a_false_server_is_outvoted_and_two_that_disagree_set_nothing() {
    let day = 86_400_000_000;
    let mut bench = Bench::new(&[A, B, C]);
    let out = bench.round(&[Does::Tells(day), Does::Tells(0), Does::Tells(1000)]);
    assert!(set(&out).unwrap().abs_diff(EPOCH_US + 1_030_000) <= 2000, "{out:?}");
    assert_eq!(bench.client.status().set.map(|(who, _)| who), Some(B));
    let mut bench = Bench::new(&[A, B]);
    let out = bench.round(&[Does::Tells(day), Does::Tells(0)]);
    assert_eq!(out, [Output::Log(DISAGREE.into())]);
    assert_eq!(bench.client.alarm(at(100_000)), None);
    assert_eq!(bench.client.alarm(at(700_000)), Some(format!("system time-server: {DISAGREE}")));
    // One that falls silent is no vote.
    assert!(set(&bench.round(&[Does::Nothing, Does::Tells(0)])).is_some());
}

#[test]
fn silence_is_asked_again_later_and_later_and_then_is_an_alarm() {
    let mut bench = Bench::new(&[A]);
    let mut waits = Vec::new();
    for _ in 0..12 {
        let began = bench.client.next_deadline().unwrap();
        assert_eq!(bench.round(&[Does::Nothing]), []);
        waits.push(bench.client.next_deadline().unwrap().micros_since(began) / 1_000_000);
    }
    assert_eq!(waits, [4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024, 1024]);
    assert_eq!(
        bench.client.alarm(at(2_000_000)).as_deref(),
        Some("system time-server: no time server tells the time: show time")
    );
    assert!(set(&bench.round(&[Does::Tells(0)])).is_some());
    assert_eq!(bench.client.alarm(bench.client.next_deadline().unwrap()), None);
}

#[test]
fn a_kiss_of_death_is_heeded_and_nonsense_is_no_time() {
    let kiss = |packet: &[u8; PACKET], code: &[u8; 4]| {
        let mut datagram = answer(packet, EPOCH_US);
        datagram[1] = 0;
        datagram[12..16].copy_from_slice(code);
        datagram.to_vec()
    };
    type Reply = fn(&[u8; PACKET]) -> Vec<u8>;
    let cases: [(Reply, &str); 6] = [
        (|_| vec![0x24; 20], "what came is no answer"),
        // Another's question: forged, or late.
        (|_| answer(&[9; PACKET], EPOCH_US).to_vec(), "what came is no answer"),
        (|p| p.to_vec(), "what came is no answer"),
        (
            |p| {
                let mut datagram = answer(p, EPOCH_US);
                datagram[0] |= 0xc0;
                datagram.to_vec()
            },
            "its own clock is not set",
        ),
        (
            |p| {
                let mut datagram = answer(p, EPOCH_US);
                datagram[1] = 16;
                datagram.to_vec()
            },
            "its own clock is not set",
        ),
        (
            |p| {
                let mut datagram = answer(p, EPOCH_US);
                datagram[40..].fill(0);
                datagram.to_vec()
            },
            "its own clock is not set",
        ),
    ];
    for (sends, words) in cases {
        let mut bench = Bench::new(&[A]);
        assert_eq!(bench.round(&[Does::Sends(sends)]), []);
        assert_eq!(bench.trouble(), [Some(words.to_string())]);
    }
    let mut bench = Bench::new(&[A, B]);
    let rate: fn(&[u8; PACKET]) -> Vec<u8> = |p| {
        let mut datagram = answer(p, EPOCH_US);
        datagram[1] = 0;
        datagram[12..16].copy_from_slice(b"RATE");
        datagram.to_vec()
    };
    bench.round(&[Does::Sends(rate), Does::Tells(0)]);
    for _ in 0..RATE_ROUNDS {
        bench.round(&[Does::Tells(0)]);
    }
    bench.round(&[Does::Tells(0), Does::Tells(0)]);
    // Nobody is left to ask.
    let mut bench = Bench::new(&[A]);
    bench.client.on_deadline(at(1000), &mut bench.out);
    let Some(Output::Ask { packet, .. }) = bench.out.pop() else { panic!() };
    let datagram = kiss(&packet, b"DENY");
    bench.client.answered(A, (at(1000), at(1010)), Some(&datagram), at(1010), &mut bench.out);
    assert_eq!((bench.client.next_deadline(), bench.out.as_slice()), (None, &[][..]));
    bench.client.configure(&[A, B], at(5000));
    assert_eq!(bench.client.next_deadline(), Some(at(5000)));
}

#[test]
fn the_second_era_of_ntp_is_told_from_the_first() {
    // Exactly zero means that the clock is not set.
    for unix_s in [OLDEST_UNIX_S, 2_085_978_495, 2_085_978_497, 4_000_000_000] {
        assert_eq!(unix_us(stamp(unix_s * 1_000_000)), Ok(unix_s * 1_000_000));
    }
}

proptest! {
    #[test]
    fn no_datagram_makes_the_client_panic_or_leaves_it_waiting(
        datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 1..8),
        echo in any::<bool>(),
    ) {
        let mut bench = Bench::new(&[A]);
        for mut datagram in datagrams {
            let Some(now) = bench.client.next_deadline() else { break };
            bench.client.on_deadline(now, &mut bench.out);
            if let (true, Some(Output::Ask { packet, .. })) = (echo, bench.out.pop())
                && datagram.len() >= PACKET
            {
                datagram[24..32].copy_from_slice(&packet[40..]);
            }
            bench.client.answered(A, (now, now), Some(&datagram), now, &mut bench.out);
            prop_assert!(bench.client.next_deadline().is_none_or(|due| due > now));
        }
    }
}
