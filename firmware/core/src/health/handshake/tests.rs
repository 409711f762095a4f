use super::*;
use proptest::prelude::*;

const OWN: &str = "192.168.1.254";
const SERVER: &str = "192.168.1.3:80";

fn ms(ms: u64) -> Mono {
    Mono::from_millis(ms)
}

/// A run with tag 7 at 0 ms that may take `given` ms, and its SYN.
fn begun(given: u64) -> (Handshakes<u32>, Segment) {
    let mut all = Handshakes::new(5);
    let ends = (OWN.parse().unwrap(), SERVER.parse().unwrap());
    let (port, packet) = all.start(7, ends, ms(0), ms(given)).unwrap();
    let syn = Segment::parse(&packet).unwrap();
    assert_eq!((syn.source, syn.flags), (SocketAddr::new(ends.0, port), flag::SYN));
    assert_eq!(syn.destination, ends.1);
    (all, syn)
}

fn answer(all: &mut Handshakes<u32>, syn: &Segment, flags: u8, acknowledgement: u32) -> Option<How> {
    let at = (syn.destination, syn.source.port());
    all.segment(at, (flags, acknowledgement), ms(3)).map(|ended| {
        assert_eq!((ended.tag, ended.took_us), (7, 3000));
        ended.how
    })
}

const SYN_ACK: u8 = flag::SYN | flag::ACK;
const RST_ACK: u8 = flag::RST | flag::ACK;

#[test]
fn a_server_that_listens_is_seen_by_its_answer() {
    let (mut all, syn) = begun(1000);
    assert_eq!(answer(&mut all, &syn, SYN_ACK, syn.sequence.wrapping_add(1)), Some(How::Listens));
    assert!(all.is_empty() && all.next_deadline().is_none());
    assert_eq!(answer(&mut all, &syn, SYN_ACK, syn.sequence.wrapping_add(1)), None, "answered twice");
}

#[test]
fn a_reset_is_a_refusal() {
    let (mut all, syn) = begun(1000);
    assert_eq!(answer(&mut all, &syn, RST_ACK, syn.sequence.wrapping_add(1)), Some(How::Refused));
}

#[test]
fn what_does_not_name_the_run_changes_nothing() {
    let (mut all, syn) = begun(1000);
    let right = syn.sequence.wrapping_add(1);
    for (flags, number) in [
        (SYN_ACK, syn.sequence),
        (SYN_ACK, right.wrapping_add(1)),
        (RST_ACK, 0),
        (flag::RST, right),
        (flag::SYN, right),
        (flag::ACK, right),
    ] {
        assert_eq!(answer(&mut all, &syn, flags, number), None, "{flags:#x} {number}");
    }
    let port = syn.source.port();
    for other in ["192.168.1.4:80", "192.168.1.3:81"] {
        let from = other.parse().unwrap();
        assert_eq!(all.segment((from, port), (SYN_ACK, right), ms(1)), None, "{other}");
        assert_eq!(all.reported((port, from), syn.sequence, 113, ms(1)), None, "{other}");
    }
    assert_eq!(all.segment((syn.destination, port ^ 1), (SYN_ACK, right), ms(1)), None);
    assert_eq!(all.reported((port, syn.destination), right, 113, ms(1)), None, "another sequence number");
    assert_eq!(all.len(), 1);
}

#[test]
fn an_error_that_a_router_reports_ends_the_run() {
    let (mut all, syn) = begun(1000);
    let ended = all.reported((syn.source.port(), syn.destination), syn.sequence, 113, ms(2)).unwrap();
    assert_eq!(ended.how, How::Reported(113));
}

#[test]
fn an_unanswered_syn_is_sent_again_after_one_and_three_seconds_until_the_deadline() {
    let (mut all, syn) = begun(5000);
    let mut sent = Vec::new();
    let mut seen = Vec::new();
    while let Some(at) = all.next_deadline() {
        let ended = all.due(at, 8, &mut sent);
        seen.push((at.millis(), sent.len(), ended.len()));
    }
    assert_eq!(seen, [(1000, 1, 0), (3000, 2, 0), (5000, 2, 1)]);
    for (to, packet) in &sent {
        assert_eq!((*to, Segment::parse(packet).unwrap()), (syn.destination, syn.clone()), "the same packet");
    }
}

#[test]
fn every_run_has_a_port_of_its_own_and_one_too_many_is_given_back() {
    let mut all = Handshakes::new(u64::MAX);
    let ends = (OWN.parse().unwrap(), SERVER.parse().unwrap());
    let mut ports = BTreeSet::new();
    for tag in 0..=u32::from(u16::MAX - FIRST_PORT) {
        let (port, _) = all.start(tag, ends, ms(0), ms(9)).unwrap();
        assert!(port >= FIRST_PORT && ports.insert(port), "{port}");
    }
    assert_eq!(all.start(77, ends, ms(0), ms(9)), Err(77));
    let freed = *ports.first().unwrap();
    assert!(all.give_up(freed).is_some());
    assert_eq!(all.start(78, ends, ms(0), ms(9)).unwrap().0, freed);
}

proptest! {
    /// Whatever comes in whatever order: each run ends once, none later than the first look after its deadline.
    #[test]
    fn every_run_ends_exactly_once(
        seed: u64,
        steps in prop::collection::vec((0_u8..6, any::<u16>(), 0_u64..900), 1..200),
    ) {
        let mut all = Handshakes::new(seed);
        let mut open: BTreeMap<u32, (Segment, Mono)> = BTreeMap::new();
        let mut now = Mono::ZERO;
        for (tag, (what, pick, pass)) in (0_u32..).zip(steps) {
            now = now.after(Millis::new(u32::try_from(pass).unwrap()));
            let target = SocketAddr::new(SERVER.parse::<SocketAddr>().unwrap().ip(), pick % 3 + 80);
            let chosen = open.values().nth(usize::from(pick) % open.len().max(1)).cloned();
            let ended = match (what, chosen) {
                (0, _) | (_, None) => {
                    let deadline = now.after(Millis::new(u32::from(pick)));
                    let ends = (OWN.parse().unwrap(), target);
                    let (_, packet) = all.start(tag, ends, now, deadline).unwrap();
                    open.insert(tag, (Segment::parse(&packet).unwrap(), deadline));
                    Vec::new()
                }
                (1, Some((syn, _))) => {
                    let at = (syn.destination, syn.source.port());
                    all.segment(at, (SYN_ACK, syn.sequence.wrapping_add(1)), now).into_iter().collect()
                }
                (2, Some((syn, _))) => {
                    let at = (syn.destination, syn.source.port());
                    all.segment(at, (RST_ACK, syn.sequence.wrapping_add(1)), now).into_iter().collect()
                }
                (3, Some((syn, _))) => {
                    all.reported((syn.source.port(), syn.destination), syn.sequence, 111, now).into_iter().collect()
                }
                (4, Some((syn, _))) => {
                    let at = (syn.destination, syn.source.port());
                    all.segment(at, (SYN_ACK, u32::from(pick)), now).into_iter().collect()
                }
                _ => all.due(now, usize::MAX, &mut Vec::new()),
            };
            for ended in ended {
                let (syn, deadline) = open.remove(&ended.tag).expect("ended twice");
                prop_assert_eq!(ended.target, syn.destination);
                prop_assert!(ended.how != How::Silent || deadline <= now);
            }
            prop_assert_eq!(all.len(), open.len());
        }
        let end = all.due(Mono::from_micros(u64::MAX), usize::MAX, &mut Vec::new());
        prop_assert_eq!(end.len(), open.len());
        prop_assert!(all.is_empty() && all.next_deadline().is_none());
    }
}
