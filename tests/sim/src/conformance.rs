//! What the model of the kernel and Linux must agree on: random operations, good and bad, have the same result in both and
//! leave the same state. The model is what the simulations and the properties of plans stand on, so it must not drift.
//!
//! `make vm CASE=conformance` runs it against Linux: the platform's own code, in a helper machine of the product's kernel.

use crate::chaos::rng::Rng;
use crate::kernel::ModelKernel;
use director_core::model::config::{Forward, Protocol, Scheduler};
use director_core::plan::desired::Ruleset;
use director_core::plan::observed::Observed;
use director_core::plan::*;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The device that addresses and daemons are on; it is up, with [`ADDRESS`].
pub const DEVICE: &str = "eth0";
/// Stays all the time: a sync daemon needs an address.
const ADDRESS: &str = "10.9.9.9/24";
/// Names whose values are 0 or 1.
const SYSCTLS: [&str; 3] =
    ["net.ipv4.vs.conntrack", "net.ipv4.vs.expire_nodest_conn", "net.ipv4.conf.all.promote_secondaries"];
/// Operations of one batch: more than go to the kernel in one message (`channel.rs`, `BATCH_MAX`).
const BATCH: u64 = 100;

/// One run.
#[derive(Debug)]
pub struct Conformance {
    rng: Rng,
    model: ModelKernel,
}

impl Conformance {
    /// A run on a kernel that holds nothing.
    pub fn new(seed: u64) -> Self {
        let mut model = ModelKernel::with_devices(&[DEVICE]);
        model.state.sysctls = SYSCTLS.map(|name| (name.to_owned(), "0".to_owned())).into();
        Self { rng: Rng::new(seed), model }
    }

    /// What to read of the kernel's parameters.
    pub fn sysctls(&self) -> Vec<String> {
        SYSCTLS.map(str::to_owned).to_vec()
    }

    /// What makes of a kernel with `seen` one that holds nothing but what every run begins with.
    pub fn begin(&mut self, seen: &Observed) -> Vec<Op> {
        let mut ops: Vec<Op> = seen.services.keys().map(|key| Op::ServiceDelete { key: *key }).collect();
        ops.extend(seen.daemons.keys().map(|role| Op::DaemonStop { role: *role }));
        ops.extend(seen.addresses.keys().map(|key| Op::AddressDelete { key: key.clone() }));
        ops.extend(SYSCTLS.map(|name| Op::SysctlSet { name: name.into(), value: "0".into() }));
        let always = [
            // Without it the kernel removes the other addresses of a subnet with its first one.
            Op::SysctlSet { name: SYSCTLS[2].into(), value: "1".into() },
            Op::LinkUp { device: DEVICE.parse().unwrap() },
            Op::AddressAdd { key: address(ADDRESS), spec: AddressSpec::default() },
            Op::TimeoutsSet { timeouts: TimeoutSpec { tcp_s: 900, tcp_fin_s: 120, udp_s: 300 } },
            Op::RulesetSet { ruleset: Ruleset::default() },
        ];
        for op in &always {
            self.model.apply(op).unwrap();
        }
        ops.extend(always);
        ops
    }

    /// Operations to try next.
    pub fn batch(&mut self) -> Vec<Op> {
        (0..BATCH).map(|_| self.op()).collect()
    }

    /// Tries them in the model, and compares what became of them and of the kernel.
    ///
    /// # Errors
    /// With the first difference.
    pub fn check(
        &mut self,
        ops: &[Op],
        results: &[Result<(), OpError>],
        seen: &Observed,
    ) -> Result<(), String> {
        if ops.len() != results.len() {
            return Err(format!("{} results of {} operations", results.len(), ops.len()));
        }
        for (op, result) in ops.iter().zip(results) {
            let expected = self.expected(op);
            let got = result.as_ref().map_err(|error| error.errno).map(|_| ()).err();
            if expected != got {
                return Err(format!("{op:?}: the model says {expected:?}, Linux {result:?}"));
            }
        }
        let (mine, theirs) = (comparable(&self.model.state), comparable(seen));
        let other: Vec<_> = mine.iter().filter(|(key, value)| theirs.get(*key) != Some(value)).collect();
        let more: Vec<_> = theirs.iter().filter(|(key, _)| !mine.contains_key(*key)).collect();
        if other.is_empty() && more.is_empty() {
            Ok(())
        } else {
            Err(format!("model: {other:?}, Linux: {more:?}"))
        }
    }

    /// The errno of an operation as the platform reports it, which takes what is there or gone already for done.
    fn expected(&mut self, op: &Op) -> Option<i32> {
        let error = self.model.apply(op).err()?;
        let word = error.split_whitespace().next().unwrap_or_default();
        let adds = matches!(
            op,
            Op::ServiceAdd { .. } | Op::DestAdd { .. } | Op::DaemonStart { .. } | Op::AddressAdd { .. }
        );
        let deletes = matches!(
            op,
            Op::ServiceDelete { .. }
                | Op::DestDelete { .. }
                | Op::DaemonStop { .. }
                | Op::AddressDelete { .. }
        );
        match word {
            "EEXIST" if adds => None,
            "ESRCH" | "ENOENT" if deletes => None,
            "ENOENT" => Some(2),
            "ESRCH" => Some(3),
            "EEXIST" => Some(17),
            "ENODEV" => Some(19),
            "EINVAL" => Some(22),
            "ERANGE" => Some(34),
            _ => panic!("the model has no errno: {error}"),
        }
    }

    fn op(&mut self) -> Op {
        match self.rng.below(20) {
            0..=3 => Op::ServiceAdd { key: self.service(), spec: ServiceSpec::new(Scheduler::Rr, None) },
            4 | 5 => {
                let key = self.service();
                Op::ServiceAdd { key, spec: self.service_spec(&key) }
            }
            6 => {
                let key = self.service();
                Op::ServiceEdit { key, spec: self.service_spec(&key) }
            }
            7 => Op::ServiceDelete { key: self.service() },
            8..=12 => Op::DestAdd { service: self.service(), key: self.dest(), spec: self.dest_spec() },
            13 | 14 => Op::DestEdit { service: self.service(), key: self.dest(), spec: self.dest_spec() },
            15 => Op::DestDelete { service: self.service(), key: self.dest() },
            16 => self.daemon(),
            17 => Op::TimeoutsSet {
                timeouts: TimeoutSpec {
                    tcp_s: self.small(1, 1000),
                    tcp_fin_s: self.small(1, 1000),
                    udp_s: self.small(1, 1000),
                },
            },
            18 => {
                let key = address(&format!("10.8.0.{}/24", self.small(1, 3)));
                if self.rng.chance(60) {
                    Op::AddressAdd { key, spec: AddressSpec::default() }
                } else {
                    Op::AddressDelete { key }
                }
            }
            _ if self.rng.chance(50) => {
                let name = SYSCTLS[usize::from(self.rng.chance(50))].to_owned();
                Op::SysctlSet { name, value: self.small(0, 1).to_string() }
            }
            _ => {
                Op::RulesetSet { ruleset: Ruleset { defragment: self.rng.chance(50), ..Ruleset::default() } }
            }
        }
    }

    fn small(&mut self, low: u32, high: u32) -> u32 {
        u32::try_from(self.rng.between(low.into(), high.into())).unwrap_or(low)
    }

    fn one_of(&mut self, words: &[&str]) -> IpAddr {
        self.rng.pick(words.iter().copied()).unwrap().parse().unwrap()
    }

    fn service(&mut self) -> ServiceKey {
        if self.rng.chance(20) {
            let family = if self.rng.chance(50) { Family::V4 } else { Family::V6 };
            return ServiceKey::Mark { family, mark: self.small(1, 2) };
        }
        let protocol = self.rng.pick([Protocol::Tcp, Protocol::Udp, Protocol::Sctp]).unwrap();
        let address = self.one_of(&["10.1.0.1", "10.1.0.2", "fd00:1::1"]);
        ServiceKey::Address { protocol, address, port: 80 }
    }

    fn service_spec(&mut self, key: &ServiceKey) -> ServiceSpec {
        let scheduler = self.rng.pick(Scheduler::ALL).map_or(Scheduler::Rr, |(scheduler, _)| scheduler);
        let persistent = self.rng.chance(50);
        let mut spec = ServiceSpec::new(scheduler, persistent.then(|| self.small(1, 1000)));
        if persistent && self.rng.chance(60) {
            spec.mask = Some(match key.family() {
                Family::V4 => u32::MAX << self.small(1, 31),
                // 0 is refused.
                Family::V6 => self.small(0, 127),
            });
        }
        spec.flags = u32::try_from(self.rng.below(8)).unwrap_or(0) << 3;
        spec.one_packet = self.rng.chance(20);
        if self.rng.chance(20) {
            spec.engine = Some("sip".try_into().unwrap());
        }
        if self.rng.chance(10) {
            spec.scheduler = "nope".try_into().unwrap();
        }
        spec
    }

    fn dest(&mut self) -> DestKey {
        const HOSTS: [&str; 6] = ["10.2.0.1", "10.2.0.2", "127.0.0.1", "fd00:2::1", "fd00:2::2", "10.2.0.3"];
        const OTHERS: [&str; 6] =
            ["0.0.0.0", "224.0.0.1", "255.255.255.255", "10.9.9.255", "::ffff:10.2.0.1", "ff02::1"];
        let address = if self.rng.chance(85) { self.one_of(&HOSTS) } else { self.one_of(&OTHERS) };
        DestKey { address, port: 80 }
    }

    fn dest_spec(&mut self) -> DestSpec {
        let forward = self.rng.pick([Forward::Nat, Forward::Direct, Forward::Tunnel]).unwrap();
        let mut tunnel = TunnelSpec::default();
        if forward == Forward::Tunnel {
            tunnel.kind = u8::try_from(self.rng.below(3)).unwrap_or(0);
            tunnel.flags = u16::try_from(self.rng.below(2)).unwrap_or(0);
            // 0 is refused.
            tunnel.port = if tunnel.kind == 1 { u16::try_from(self.small(0, 4)).unwrap_or(0) } else { 0 };
        }
        let (upper, lower) = (self.small(0, 5), if self.rng.chance(30) { self.small(0, 5) } else { 0 });
        DestSpec { forward, weight: self.small(0, 65_535), upper, lower, tunnel }
    }

    fn daemon(&mut self) -> Op {
        let role = self.rng.pick([DaemonRole::Master, DaemonRole::Backup]).unwrap();
        if self.rng.chance(60) {
            return Op::DaemonStop { role };
        }
        let group = self.one_of(&["224.0.0.81", "224.0.0.82"]);
        let spec = DaemonSpec {
            device: DEVICE.parse().unwrap(),
            id: u8::try_from(self.small(0, 255)).unwrap_or(0),
            group,
            port: 8848,
            ttl: 1,
            max_length: 1472,
        };
        Op::DaemonStart { role, spec }
    }
}

fn address(cidr: &str) -> AddressKey {
    AddressKey { device: DEVICE.parse().unwrap(), cidr: cidr.parse().unwrap() }
}

/// What is compared, by a name for people.
fn comparable(state: &Observed) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (key, service) in &state.services {
        all.insert(format!("{key:?}"), format!("{:?}", service.spec));
        for (dest, seen) in &service.dests {
            all.insert(format!("{key:?} {dest:?}"), format!("{:?}", seen.spec));
        }
    }
    all.extend(state.daemons.iter().map(|(role, spec)| (format!("{role:?}"), format!("{spec:?}"))));
    all.extend(state.sysctls.iter().map(|(name, value)| (name.clone(), value.clone())));
    all.extend(state.addresses.iter().map(|(key, spec)| (format!("{key:?}"), format!("{spec:?}"))));
    all.insert("timeouts".into(), format!("{:?}", state.timeouts));
    all.insert("ruleset".into(), format!("{:?}", state.ruleset));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_operations_meet_every_refusal_and_succeed_often_enough() {
        let (mut errors, mut good) = (BTreeSet::new(), 0);
        for seed in 1..=50 {
            let mut run = Conformance::new(seed);
            run.begin(&Observed::default());
            for op in run.batch() {
                match run.expected(&op) {
                    Some(errno) => drop(errors.insert(errno)),
                    None => good += 1,
                }
            }
        }
        assert_eq!(errors, [2, 3, 22, 34].into(), "ENOENT, ESRCH, EINVAL, ERANGE");
        assert!(good > 1500, "{good} of 5000");
    }

    #[test]
    fn a_model_agrees_with_itself_and_not_with_a_kernel_that_forgets() {
        let mut run = Conformance::new(7);
        let mut other = Conformance::new(7);
        run.begin(&Observed::default());
        other.begin(&Observed::default());
        let ops = run.batch();
        let results: Vec<_> = ops
            .iter()
            .map(|op| {
                other.expected(op).map_or(Ok(()), |errno| Err(OpError { errno, message: String::new() }))
            })
            .collect();
        let mut seen = other.model.state.clone();
        assert_eq!(
            Conformance { rng: Rng::new(0), model: run.model.clone() }.check(&ops, &results, &seen),
            Ok(())
        );
        seen.services.pop_first();
        assert!(run.check(&ops, &results, &seen).is_err());
    }
}
