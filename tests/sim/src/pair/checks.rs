//! What must hold after every event.
//!
//! ```text
//! S1  who is not active holds the address no longer than a release takes
//! S2  two that hear each other do not both hold it for longer than they need to agree; without faults and loss never
//! S3  forged, foreign and recorded frames change no role (asserted where they arrive)
//! S4  a change of role deletes no service, so it breaks no connection (asserted where operations are done)
//! S6  a bounded number of heartbeats at once, and in all (here and where they are sent)
//! S5  a director that stands still, or was killed, has no address any more when its peer takes it
//! S7  while a healthy node runs, the address is with somebody, except for the time that a start or takeover needs
//! S8  a box that cannot serve does not keep the address from one that can, as long as they hear each other
//! L1  after all faults exactly one holds it, the LAN believes so, and it is the better one where failback is automatic
//! L2  then nothing changes any more: no role, and no operation but announcements
//! ```

use super::draw::Draw;
use super::lan::Lan;
use super::node::{Node, Power};
use director_core::plan::Op;
use std::net::IpAddr;

/// Time that a kernel and its director may take to give the address up, beside what the kernel takes for its answers.
const RELEASE_US: u64 = 500_000;
/// Time until servers that come or go are noticed: three checks, a dead time, and reentry.
const SERVERS_US: u64 = 8_000_000;
/// Answers of the kernel that a release waits for: a plan under way, a dump, the plan that releases.
const ANSWERS: u64 = 6;

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Checks {
    /// Until then a fault was at work.
    disturbed: u64,
    /// Times that an address changed hands.
    pub takeovers: u32,
    /// Of these with a peer that was well and could be heard.
    pub false_takeovers: u32,
    /// Longest time without anybody holding the address while both were up.
    pub last_change: u64,
    last_operation: u64,
    /// Until then something was wrong beside a director that does not run.
    network: u64,
    /// Since when one box could serve, the other could not, and all else was well.
    unequal: Option<(usize, u64)>,
    both: Option<u64>,
    nobody: Option<u64>,
    last_duel: u64,
    loose: [Option<u64>; 2],
}

fn well(node: &Node, lan: &Lan, n: usize) -> bool {
    node.power == Power::Up && node.servers && lan.pulled[n] == [false; 2] && !lan.no_gateway
}

impl Checks {
    /// After an event.
    pub fn look(&mut self, now: u64, draw: &Draw, nodes: &[Node; 2], lan: &Lan) {
        let awake = nodes.iter().all(|n| n.power == Power::Up);
        let holders = nodes.iter().filter(|n| n.holds()).count();
        let faulty =
            !awake || lan.loss > 0 || !(0..2).all(|n| well(&nodes[n], lan, n)) || lan.cut != [[false; 2]; 2];
        if faulty {
            self.disturbed = now;
        }
        self.let_go(now, draw, nodes, lan);
        self.fit(now, draw, nodes, lan);
        // S1
        for (node, loose) in nodes.iter().zip(&mut self.loose) {
            let idle = node.power == Power::Up && matches!(node.role, 's' | 'b' | 'l') && node.holds();
            let since = *loose.get_or_insert(now);
            if !idle {
                *loose = None;
            } else {
                let limit = RELEASE_US + ANSWERS * draw.kernel_us;
                assert!(
                    now - since <= limit,
                    "S1: not active, and holds the address for {} ms",
                    (now - since) / 1000
                );
            }
        }
        // S2
        if holders == 2 && awake && lan.connected() && lan.loss == 0 {
            let quiet = draw.loss == 0 && now > self.disturbed + draw.agree_us();
            let since = *self.both.get_or_insert(now);
            assert!(!(quiet && since == now), "S2: both hold the address although nothing is wrong");
            assert!(
                now - since <= draw.agree_us(),
                "S2: both hold the address for {} ms",
                (now - since) / 1000
            );
        } else {
            self.both = None;
        }
        // S7
        let someone = (0..2).any(|n| well(&nodes[n], lan, n));
        if holders == 0 && someone && lan.loss == 0 {
            let since = *self.nobody.get_or_insert(now);
            assert!(
                now - since <= draw.serve_us(),
                "S7: nobody holds the address for {} ms",
                (now - since) / 1000
            );
        } else {
            self.nobody = None;
        }
    }

    /// A fault that may be over before anything else happens.
    pub fn disturb(&mut self, now: u64) {
        self.disturbed = now;
    }

    /// S5
    fn let_go(&mut self, now: u64, draw: &Draw, nodes: &[Node; 2], lan: &Lan) {
        let runs = |n: &Node| matches!(n.power, Power::Up | Power::Wedged | Power::Headless);
        let whole = nodes.iter().all(|n| runs(n) && n.role != 's') && lan.pulled == [[false; 2]; 2];
        if !whole || lan.loss > 0 || draw.loss > 0 || lan.cut != [[false; 2]; 2] {
            self.network = now;
        }
        let stands = nodes.iter().any(|n| matches!(n.power, Power::Wedged | Power::Headless));
        let both = nodes.iter().all(Node::holds);
        let quiet = now > self.network + draw.agree_us() && now > self.last_duel + draw.agree_us();
        assert!(!(stands && both && quiet), "S5: taken over, and the box that stands still has the address");
        if both && !stands {
            self.last_duel = now;
        }
    }

    /// S8
    fn fit(&mut self, now: u64, draw: &Draw, nodes: &[Node; 2], lan: &Lan) {
        let able = [0, 1].map(|n| well(&nodes[n], lan, n));
        let awake = nodes.iter().all(|n| n.power == Power::Up);
        let better = [0, 1].into_iter().find(|n| able[*n] && !able[1 - *n]);
        self.unequal = match (better, self.unequal) {
            (Some(n), _) if !awake || !lan.connected() || lan.loss > 0 || nodes[n].role == 's' => None,
            (Some(n), Some((same, since))) if n == same => Some((n, since)),
            (Some(n), _) => Some((n, now)),
            (None, _) => None,
        };
        let Some((n, since)) = self.unequal else { return };
        // Both have just started, servers are found dead and come back, a plan waits for the kernel.
        let limit = draw.serve_us() + SERVERS_US;
        assert!(
            now <= since + limit || nodes[n].holds(),
            "S8: lvs{} could serve, and the other keeps it",
            n + 1
        );
    }

    /// A node takes a role.
    pub fn changed(&mut self, n: usize, active: bool, now: u64, draw: &Draw, nodes: &[Node; 2], lan: &Lan) {
        self.last_change = now;
        if active {
            self.takeovers += 1;
            let quiet = now > self.disturbed + draw.agree_us();
            if quiet && nodes[1 - n].role == 'a' && lan.connected() {
                self.false_takeovers += 1;
            }
        }
    }

    /// An operation on a kernel.
    pub fn operated(&mut self, _node: usize, op: &Op, now: u64) {
        if !matches!(op, Op::Announce { .. }) {
            self.last_operation = now;
        }
    }

    /// After the faults: one holds the address, and everybody knows.
    ///
    /// # Errors
    /// With what is not so yet.
    pub fn settled(&self, draw: &Draw, nodes: &[Node; 2], lan: &Lan) -> Result<(), String> {
        let holders: Vec<usize> = (0..2).filter(|n| nodes[*n].holds()).collect();
        let [holder] = holders[..] else { return Err(format!("L1: the address is held by {holders:?}")) };
        let roles = (nodes[holder].role, nodes[1 - holder].role);
        if roles != ('a', 'b') {
            return Err(format!("L1: roles {roles:?}"));
        }
        for address in [[1, 2, 3, 1], [192, 168, 1, 254]] {
            if lan.belief.get(&IpAddr::from(address)) != Some(&holder) {
                return Err(format!("L1: the LAN asks another for {address:?}"));
            }
        }
        let automatic = draw.failback != director_core::model::cluster::Failback::Manual;
        if holder == 0 || !automatic || nodes[0].aside {
            Ok(())
        } else {
            Err("L1: the primary is well and waits".to_string())
        }
    }

    /// Nothing happened since.
    pub fn still(&self, since: u64) {
        assert!(self.last_change < since, "L2: roles change although nothing happens");
        assert!(self.last_operation < since, "L2: the kernel is changed although nothing happens");
    }
}
