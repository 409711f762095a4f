//! What happens in a run.

use super::HEAL_MS;
use super::draw;
use super::rng::Rng;
use super::sim::{CONTROL_PORT, Seen, Sim};
use crate::world::Server;
use director_core::director::protocol::{CommitOptions, Request, ServerAction};
use director_core::model::{Millis, Name};
use director_core::overrides::Forced;
use director_core::plan::desired::{Circumstances, Usable};
use director_core::plan::observed::ObservedDest;
use director_core::plan::{
    AddressKey, AddressSpec, DestKey, DestSpec, RouteKey, RouteSpec, ServiceKey, desired,
};
use director_core::store::Generation;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a run has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// What consoles were answered, and how trials ended.
    pub seen: Seen,
    /// Virtual milliseconds.
    pub ms: u64,
}

/// Runs one seed. The error is a timeline; the reason was printed as every panic is.
///
/// # Errors
/// When something did not hold.
pub fn run(seed: u64) -> Result<Done, String> {
    let sim = RefCell::new(Sim::new(seed));
    let result = catch_unwind(AssertUnwindSafe(|| {
        let sim = &mut *sim.borrow_mut();
        safety(sim);
        liveness(sim);
        Done { seen: sim.seen, ms: sim.now.millis() }
    }));
    result.map_err(|_| {
        let sim = sim.borrow();
        format!("{:?}\n{}", sim.classes, sim.timeline())
    })
}

fn safety(sim: &mut Sim) {
    sim.start();
    if sim.rng.chance(80) {
        sim.advance(3_000_000);
    }
    for _ in 0..sim.rng.between(5, 40) {
        act(sim);
        let us = match sim.rng.below(10) {
            0..=3 => sim.rng.between(0, 10_000),
            4..=7 => sim.rng.between(0, 500_000),
            _ => sim.rng.between(0, 10_000_000),
        };
        sim.advance(us);
        if sim.stopped() {
            // The machine is off; somebody switches it on again.
            sim.power_cut();
            sim.start();
        }
    }
}

fn act(sim: &mut Sim) {
    let classes = sim.classes;
    match sim.rng.below(20) {
        0..=2 => commit(sim),
        3 => {
            commit(sim);
            commit(sim);
        }
        4 => sim.ask(Request::Status),
        5 => sim.ask(Request::Config),
        6 => {
            let mut config = sim.committed.1.clone();
            draw::change(&mut config, &mut sim.rng);
            sim.ask(Request::Check(config));
        }
        7 | 8 if classes.servers => flap(sim),
        9 if classes.refuse => sim.refusing = if sim.refusing == 0 { sim.rng.between(5, 60) } else { 0 },
        10 | 11 if classes.drift => {
            drift(sim);
            if sim.rng.chance(60) {
                sim.notify(50_000);
            }
        }
        12 if classes.storm => {
            for _ in 0..20 {
                sim.notify(0);
                sim.advance(1000);
            }
        }
        13 if classes.kill => restart(sim),
        14 if classes.power => {
            sim.power_cut();
            sim.start();
        }
        16 => server_action(sim),
        17 => trial(sim),
        18 => {
            // Of what is on trial, of nothing, or while it is being stored.
            if sim.rng.chance(30) {
                trial(sim);
            }
            sim.ask(Request::Confirm);
        }
        15 if classes.stop && sim.rng.chance(30) => sim.stop(),
        _ => {}
    }
}

fn restart(sim: &mut Sim) {
    let forget = sim.classes.forget && sim.rng.chance(30);
    let asked = sim.rng.chance(50);
    sim.kill(forget);
    let pause = sim.rng.between(0, 2_000_000);
    sim.advance(pause);
    sim.start_again(asked);
}

fn commit(sim: &mut Sim) {
    commit_with(sim, None);
}

/// A commit that must be confirmed before the faults have been over for long.
fn trial(sim: &mut Sim) {
    let window = u32::try_from(sim.rng.between(1, 12_000)).unwrap();
    commit_with(sim, Some(Millis::new(window)));
}

fn commit_with(sim: &mut Sim, confirm: Option<Millis>) {
    let (running, config) = sim.running();
    let mut config = config.clone();
    // What runs already confirms a trial, or prolongs it.
    if sim.rng.chance(90) {
        draw::change(&mut config, &mut sim.rng);
    }
    if sim.rng.chance(15) {
        draw::spoil(&mut config, &mut sim.rng);
    }
    let base = if sim.rng.chance(10) { Generation(sim.rng.below(5)) } else { running };
    let options = CommitOptions { agreed: sim.rng.chance(70), confirm, ..CommitOptions::default() };
    sim.ask(Request::Commit { base, config, options });
}

/// Drains or weighs a server for less time than the box has to get well.
fn server_action(sim: &mut Sim) {
    let Some(server) = sim.rng.pick(["rs1", "rs2", "rs3"]) else { return };
    let (server, pool): (Name, Name) = (server.parse().unwrap(), "web".parse().unwrap());
    if !sim.running().1.pools[&pool].servers.contains_key(&server) {
        return;
    }
    let weight = u32::try_from(sim.rng.between(0, 9)).unwrap();
    let forced =
        sim.rng.pick([Forced::Drain, Forced::Disable, Forced::Weight(weight), Forced::Normal]).unwrap();
    let lasts = Millis::new(u32::try_from(sim.rng.between(1, 8_000)).unwrap());
    let lasts = (forced != Forced::Normal).then_some(lasts);
    let persistent = sim.rng.chance(50);
    let pool = Some(pool);
    sim.ask(Request::Server(ServerAction { server, pool, forced, lasts, persistent, agreed: true }));
}

fn flap(sim: &mut Sim) {
    let now = sim.now;
    let others = sim.servers.keys().filter(|a| a.port() != CONTROL_PORT).copied();
    let Some(address) = sim.rng.pick(others) else { return };
    let state = [Server::Good, Server::Refuses, Server::Hangs][usize::try_from(sim.rng.below(3)).unwrap()];
    sim.note(format!("server {address} is {state:?}"));
    sim.servers.insert(address, (state, now));
}

/// Somebody changes the kernel.
fn drift(sim: &mut Sim) {
    let kind = sim.rng.below(10);
    sim.note(format!("drift {kind}"));
    let rng = &mut sim.rng;
    let state = &mut sim.kernel.state;
    let service = rng.pick(state.services.keys().filter(|k| k.port() != CONTROL_PORT).copied());
    match kind {
        0 => {
            if let Some(key) = rng.pick(state.addresses.keys().cloned().collect::<Vec<_>>()) {
                state.addresses.remove(&key);
            }
        }
        1 => {
            let key = AddressKey { device: "eth0".parse().unwrap(), cidr: "9.9.9.9/24".parse().unwrap() };
            state.addresses.insert(key, AddressSpec::default());
        }
        2 => {
            if let Some(key) = service {
                state.services.remove(&key);
            }
        }
        3 => foreign_service(sim),
        4 | 5 => {
            let Some(service) = service.and_then(|key| state.services.get_mut(&key)) else { return };
            match rng.pick(service.dests.keys().copied()) {
                Some(dest) if kind == 4 => drop(service.dests.remove(&dest)),
                Some(dest) => service.dests.get_mut(&dest).unwrap().spec.weight ^= 1,
                None => {}
            }
        }
        6 => state.ruleset = if rng.chance(50) { None } else { Some([0; 32]) },
        7 => {
            if let Some(name) = rng.pick(state.sysctls.keys().cloned().collect::<Vec<_>>()) {
                state.sysctls.insert(name, "drifted".to_string());
            }
        }
        8 => {
            let key = RouteKey { to: "7.7.7.0/24".parse().unwrap(), metric: 5 };
            state.routes.insert(key, RouteSpec { via: "1.2.3.99".parse().unwrap() });
        }
        _ => {
            let link = state.links.get_mut(&"eth1".parse().unwrap()).unwrap();
            link.up = false;
            state.routes.clear();
        }
    }
}

fn foreign_service(sim: &mut Sim) {
    let state = &mut sim.kernel.state;
    let Some(mut service) = state.services.values().next().cloned() else { return };
    let key = ServiceKey::Address {
        protocol: director_core::model::config::Protocol::Tcp,
        address: "1.2.3.1".parse().unwrap(),
        port: 4444,
    };
    let dest = DestKey { address: "192.168.1.200".parse().unwrap(), port: 4444 };
    let spec = DestSpec { weight: 3, ..DestSpec::default() };
    service.dests.insert(dest, ObservedDest::fresh(spec));
    state.services.insert(key, service);
}

/// Every server is good.
struct AllGood;

impl Circumstances for AllGood {
    fn usable(&self, _: &Name, _: &Name, _: u16) -> Usable {
        Usable::Yes
    }

    fn present(&self, _: &ServiceKey, _: &DestKey) -> Option<DestSpec> {
        None
    }
}

fn liveness(sim: &mut Sim) {
    sim.heal();
    sim.advance(2000);
    if sim.stopped() || sim.director.is_none() {
        sim.power_cut();
        sim.start();
    }
    sim.advance(HEAL_MS * 1000);
    if sim.stopped() {
        sim.power_cut();
        sim.start();
        sim.advance(HEAL_MS * 1000);
    }
    if let Some(trial) = &sim.trial {
        // It began when the kernel could be read again, which may have been late.
        let left_us = trial.deadline.micros_since(sim.now);
        sim.advance(left_us + HEAL_MS * 1000);
    }
    assert!(sim.trial.is_none(), "a trial outlives its time: {:?}", sim.trial);
    assert!(sim.open.is_empty(), "never answered: {:?}", sim.open.keys().collect::<Vec<_>>());
    let config = &sim.committed.1;
    let want = desired(config, &config.primary, true, &AllGood);
    let have = &sim.kernel.state;
    assert_eq!(have.addresses.keys().collect::<Vec<_>>(), addresses(&want), "addresses");
    assert_eq!(have.routes, want.routes, "routes");
    assert_eq!(have.ruleset, want.ruleset.as_ref().map(desired::Ruleset::digest), "rules");
    for (name, value) in &want.sysctls {
        assert_eq!(have.sysctls.get(name), Some(value), "{name}");
    }
    for (device, link) in &want.links {
        assert!(have.links[device].up, "{device} is down");
        assert!(link.mtu.is_none_or(|mtu| have.links[device].mtu == mtu), "{device} has the wrong MTU");
    }
    assert_eq!(
        have.services.keys().collect::<Vec<_>>(),
        want.services.keys().collect::<Vec<_>>(),
        "services"
    );
    for (key, service) in &want.services {
        assert_eq!(have.services[key].spec, service.spec, "{key:?}");
        let dests: Vec<_> = have.services[key].dests.iter().map(|(k, d)| (*k, d.spec)).collect();
        assert_eq!(dests, service.dests.iter().map(|(k, d)| (*k, *d)).collect::<Vec<_>>(), "{key:?}");
    }
    sim.ask(Request::Config);
    sim.ask(Request::Status);
    sim.advance(100_000);
    assert!(sim.open.is_empty(), "not answered when all is well");
    let mut alarms = sim.alarms.take().expect("a status");
    // Two stay for a while: a trial that nobody confirmed until the next commit, a list that the flash refused until it
    // is written again.
    alarms.retain(|alarm| !(sim.fell_back && alarm.contains("runs again")));
    alarms.retain(|alarm| !(sim.keep_failed && alarm.contains("persistent server actions")));
    assert!(alarms.is_empty(), "alarms when all is well: {alarms:?}");
}

fn addresses(want: &desired::Desired) -> Vec<&AddressKey> {
    let mut all: Vec<_> = want.node_addresses.keys().chain(want.floating_addresses.keys()).collect();
    all.sort();
    all
}

/// The seeds of a run: `count` from `first` on, spread.
pub fn seeds(first: u64, count: u64) -> impl Iterator<Item = u64> {
    let mut rng = Rng::new(first);
    (0..count).map(move |_| rng.bits())
}
