use super::*;
use crate::wire::dhcp::emit_answer;
use alloc::collections::BTreeMap;
use proptest::prelude::*;

const MAC: Mac = [0x52, 0x54, 0, 0, 0, 1];
const SERVER: Ipv4Addr = Ipv4Addr::new(202, 39, 145, 129);
const SECOND: u64 = 1_000_000;

fn at(seconds: u64) -> Mono {
    Mono::from_micros(seconds * SECOND)
}

/// A server with one network, and the wire to it.
#[derive(Debug)]
struct Model {
    now: Mono,
    client: Client,
    /// Messages to the client, by arrival.
    wire: BTreeMap<(Mono, u32), Vec<u8>>,
    sent: u32,
    lease_s: u32,
    next: u8,
    /// What the server believes: address and end.
    lent: Option<(Ipv4Addr, Mono)>,
    alive: bool,
    loss: u8,
    random: u64,
    /// Messages of the client.
    asked: u32,
}

impl Model {
    fn new(seed: u64, lease_s: u32) -> Self {
        let client = Client::new(MAC, None, seed, None, at(1));
        let wire = BTreeMap::new();
        let (lent, now) = (None, at(1));
        Self {
            now,
            client,
            wire,
            sent: 0,
            lease_s,
            next: 156,
            lent,
            alive: true,
            loss: 0,
            random: seed | 1,
            asked: 0,
        }
    }

    fn chance(&mut self, percent: u8) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 100 < u64::from(percent)
    }

    fn act(&mut self, act: impl FnOnce(&mut Client, Mono, &mut Vec<Output>)) {
        let mut out = Vec::new();
        act(&mut self.client, self.now, &mut out);
        for output in out {
            if let Output::Send { message, from, to } = output {
                self.asked += 1;
                assert!(to.is_none_or(|server| server == SERVER && from.is_some()));
                if self.alive && !self.chance(self.loss) {
                    self.serve(&message);
                }
            }
        }
    }

    /// A server as strict as RFC 2131 section 4.3.2.
    fn serve(&mut self, message: &[u8]) {
        let kind = message[242];
        let option = |code: u8| {
            let mut rest = &message[240..];
            while let [c, length, tail @ ..] = rest {
                if *c == 255 || *c == 0 {
                    break;
                }
                let (value, more) = tail.split_at(usize::from(*length));
                if *c == code {
                    return Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).unwrap()));
                }
                rest = more;
            }
            None
        };
        let xid = u32::from_be_bytes(message[4..8].try_into().unwrap());
        let ciaddr = Ipv4Addr::from(<[u8; 4]>::try_from(&message[12..16]).unwrap());
        let held = self.lent.filter(|(_, end)| *end > self.now).map(|(address, _)| address);
        let own = held.unwrap_or(Ipv4Addr::new(202, 39, 145, self.next));
        let (kind, grants) = match (kind, option(54), option(50)) {
            (1, _, _) => (Kind::Offer, false),
            (3, Some(server), Some(_)) if server != SERVER => return,
            (3, Some(_), Some(wants)) if wants == own => (Kind::Ack, true),
            (3, None, Some(wants)) if held == Some(wants) => (Kind::Ack, true),
            (3, None, None) if held == Some(ciaddr) => (Kind::Ack, true),
            _ => (Kind::Nak, false),
        };
        if grants {
            let seconds = if self.lease_s == FOR_EVER { 1 << 30 } else { self.lease_s };
            self.lent = Some((own, Mono::from_micros(self.now.micros() + u64::from(seconds) * SECOND)));
        }
        let refused = kind == Kind::Nak;
        let answer = Answer {
            kind,
            xid,
            mac: MAC,
            address: if refused { Ipv4Addr::UNSPECIFIED } else { own },
            server: Some(SERVER),
            prefix: (!refused).then_some(26),
            router: (!refused).then_some(SERVER),
            lease_s: (!refused).then_some(self.lease_s),
            t1_s: None,
            t2_s: None,
        };
        let bytes = emit_answer(&answer);
        let copies = if self.chance(self.loss) { 2 } else { 1 };
        for copy in 0..copies {
            if !self.chance(self.loss) {
                self.sent += 1;
                let arrival = Mono::from_micros(self.now.micros() + 1000 + copy * 700_000);
                self.wire.insert((arrival, self.sent), bytes.clone());
            }
        }
    }

    /// Until `end`; what must hold is checked at each step.
    fn run(&mut self, end: Mono) {
        for _ in 0..100_000 {
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let deadline = self.client.next_deadline();
            let next = arrival.into_iter().chain(deadline).min().filter(|at| *at <= end);
            let Some(next) = next else {
                self.now = end;
                return self.check();
            };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let (_, bytes) = self.wire.pop_first().unwrap();
                self.act(|client, now, out| client.heard(&bytes, now, out));
            } else {
                self.act(|client, now, out| client.on_deadline(now, out));
            }
            self.check();
        }
        panic!("it does not come to rest: {:?}", self.client);
    }

    fn run_s(&mut self, seconds: u64) {
        self.run(Mono::from_micros(self.now.micros() + seconds * SECOND));
    }

    /// The client never holds what the server may lend to others.
    fn check(&self) {
        if let Some(lease) = self.client.lease() {
            assert!(!lease.over(self.now) || self.client.next_deadline().is_some_and(|d| d <= self.now));
            let (address, end) = self.lent.expect("a lease that no server gave");
            assert!(lease.address == address || lease.over(self.now) || lease.expires.is_some());
            if lease.address == address && self.lease_s != FOR_EVER {
                assert!(lease.expires.is_some_and(|mine| mine <= end), "kept longer than lent");
            }
        }
        let state = self.client.state();
        let holds = matches!(state, State::Bound | State::Renewing | State::Rebinding | State::Verifying);
        assert!(!holds || self.client.lease().is_some(), "{state:?} without a lease");
    }

    fn link(&mut self, up: bool) {
        self.act(|client, now, out| client.link(up, now, out));
    }
}

fn bound(lease_s: u32) -> Model {
    let mut model = Model::new(7, lease_s);
    model.link(true);
    model.run_s(1);
    assert_eq!(model.client.state(), State::Bound);
    model
}

#[test]
fn a_good_server_lends_an_address_at_once_and_keeps_it_lent() {
    let mut model = bound(600);
    let lease = *model.client.lease().unwrap();
    assert_eq!(lease.cidr(), "202.39.145.156/26".parse().unwrap());
    assert_eq!((lease.router, lease.server), (Some(SERVER), SERVER));
    assert_eq!(model.asked, 2);
    model.run_s(86_400);
    assert_eq!(model.client.lease().unwrap().address, lease.address);
    // One renewal in each half of the lease.
    assert!((286..=290).contains(&(model.asked - 2)), "{}", model.asked);
}

#[test]
fn a_lost_server_is_asked_then_all_then_the_lease_expires() {
    let mut model = bound(600);
    model.alive = false;
    model.run_s(310);
    assert_eq!(model.client.state(), State::Renewing);
    model.run_s(230);
    assert_eq!(model.client.state(), State::Rebinding);
    assert!(model.client.lease().is_some());
    model.run_s(61);
    assert_eq!(model.client.state(), State::Searching);
    assert!(model.client.lease().is_none());
    model.alive = true;
    model.run_s(70);
    assert_eq!(model.client.state(), State::Bound);
}

#[test]
fn a_server_that_takes_its_address_back_gives_another() {
    let mut model = bound(600);
    let other = Ipv4Addr::new(202, 39, 145, 157);
    model.lent = Some((other, at(100_000)));
    model.run_s(305);
    assert_eq!(model.client.state(), State::Bound);
    assert_eq!(model.client.lease().unwrap().address.octets()[3], 157);
}

#[test]
fn a_link_that_comes_back_asks_for_the_lease_that_it_has() {
    let mut model = bound(600);
    let before = *model.client.lease().unwrap();
    model.link(false);
    assert_eq!(model.client.lease(), Some(&before), "a pulled cable does not end a lease");
    model.run_s(10);
    model.link(true);
    model.run_s(1);
    assert_eq!(model.client.state(), State::Bound);
    assert_eq!(model.client.lease().unwrap().address, before.address);
    assert!(model.client.lease().unwrap().expires > before.expires);
    // Nobody answers: it is used on.
    model.link(false);
    model.alive = false;
    model.link(true);
    model.run_s(100);
    assert_eq!(model.client.state(), State::Bound);
}

#[test]
fn without_link_nothing_is_said_and_the_lease_ends_in_time() {
    let mut model = bound(600);
    model.link(false);
    let asked = model.asked;
    model.run_s(601);
    assert_eq!((model.client.lease(), model.client.state(), model.asked), (None, State::Down, asked));
    assert_eq!(model.client.next_deadline(), None);
}

#[test]
fn a_restarted_client_goes_on_without_a_word() {
    let mut model = bound(600);
    let lease = model.client.lease().copied();
    model.client = Client::new(MAC, None, 9, lease, model.now);
    model.asked = 0;
    model.act(Client::resume);
    assert_eq!((model.client.state(), model.client.lease().copied(), model.asked), (State::Bound, lease, 0));
    model.run_s(310);
    assert!(model.client.lease().unwrap().expires > lease.unwrap().expires);
    // One that comes too late starts over.
    let late = at(10_000);
    assert_eq!(Client::new(MAC, None, 9, lease, late).lease(), None);
}

#[test]
fn a_lease_for_ever_has_no_end() {
    let mut model = bound(FOR_EVER);
    assert_eq!(model.client.lease().unwrap().expires, None);
    model.run_s(30 * 86_400);
    assert_eq!(model.client.state(), State::Bound);
    assert_eq!(model.asked, 2);
}

#[test]
fn a_silent_network_is_asked_ever_more_rarely() {
    let mut model = Model::new(3, 600);
    model.alive = false;
    model.link(true);
    model.run_s(3600);
    assert!((45..=90).contains(&model.asked), "{} questions in an hour", model.asked);
}

#[test]
fn answers_to_others_and_to_earlier_questions_are_not_heard() {
    let mut model = Model::new(3, 600);
    model.alive = false;
    model.link(true);
    let offer = Answer {
        kind: Kind::Offer,
        xid: model.client.xid,
        mac: MAC,
        address: Ipv4Addr::new(202, 39, 145, 156),
        server: Some(SERVER),
        prefix: Some(26),
        router: None,
        lease_s: Some(600),
        t1_s: None,
        t2_s: None,
    };
    let wrong = [
        Answer { xid: offer.xid ^ 1, ..offer.clone() },
        Answer { mac: [0x52, 0x54, 0, 0, 0, 2], ..offer.clone() },
        Answer { kind: Kind::Ack, ..offer.clone() },
        Answer { server: None, ..offer.clone() },
        Answer { address: Ipv4Addr::new(224, 0, 0, 1), ..offer.clone() },
    ];
    for answer in wrong {
        model.act(|client, now, out| client.heard(&emit_answer(&answer), now, out));
        assert_eq!(model.client.state(), State::Searching, "{answer:?}");
    }
    model.act(|client, now, out| client.heard(&emit_answer(&offer), now, out));
    assert_eq!(model.client.state(), State::Asking);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_is_lost_or_doubled_no_lease_is_kept_too_long_and_a_good_network_heals_it(
        seed in any::<u64>(),
        lease_s in prop_oneof![Just(30_u32), Just(60), Just(600), Just(86_400), Just(FOR_EVER)],
        steps in proptest::collection::vec((0..6_u8, 0..90_u8, 1..2000_u64), 1..12),
    ) {
        let mut model = Model::new(seed, lease_s);
        model.link(true);
        for (what, loss, seconds) in steps {
            model.loss = loss;
            match what {
                0 => model.alive = !model.alive,
                1 => { let up = model.client.state() == State::Down; model.link(up); }
                2 if lease_s != FOR_EVER => model.next = model.next.checked_add(1).unwrap_or(2),
                3 => {
                    let lease = model.client.lease().copied();
                    model.client = Client::new(MAC, None, seed ^ seconds, lease, model.now);
                    model.act(Client::resume);
                }
                _ => {}
            }
            model.run_s(seconds);
        }
        (model.loss, model.alive) = (0, true);
        model.link(false);
        model.link(true);
        // The longest wait, and one round.
        model.run_s(100);
        prop_assert!(model.client.lease().is_some(), "{:?}", model.client);
    }
}
