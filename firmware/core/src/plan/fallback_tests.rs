use super::*;
use crate::model::config::OnFailure;
use crate::model::validate::fixture::{five_node, name};
use crate::overrides::Forced;
use crate::plan::desired::desired;
use alloc::vec::Vec;
use proptest::prelude::*;

/// Health of rs1 to rs3, and whether the box stands in the table already.
struct World {
    health: [Usable; 3],
    forced: [Forced; 3],
    shown: bool,
}

impl World {
    fn of<T: Copy>(list: [T; 3], server: &Name) -> T {
        ["rs1", "rs2", "rs3"].iter().zip(list).find(|(n, _)| **n == server.as_str()).unwrap().1
    }
}

impl Circumstances for World {
    fn usable(&self, _: &Name, server: &Name, _: u16) -> Usable {
        Self::of(self.health, server)
    }
    fn present(&self, service: &ServiceKey, dest: &DestKey) -> Option<DestSpec> {
        (self.shown && *dest == own(service)).then_some(spec(Forward::Direct, TunnelSpec::default()))
    }
    fn forced(&self, _: &Name, server: &Name) -> Forced {
        Self::of(self.forced, server)
    }
}

fn config() -> Config {
    let mut config = five_node();
    config.pools.get_mut(&name("web")).unwrap().shortage.sorry_page = Some("Back\\ssoon".parse().unwrap());
    config
}

/// Whether the box stands in, and whether its page is shown.
fn stands_in(config: &Config, world: &World, active: bool) -> (bool, bool) {
    let want = desired(config, &config.primary, active, world);
    let (key, service) = want.services.iter().next().unwrap();
    let dest = service.dests.get(&own(key));
    assert!(dest.is_none_or(|d| *d == spec(Forward::Direct, TunnelSpec::default())));
    (dest.is_some(), place(key).is_some_and(|place| want.pages.contains_key(&place)))
}

fn usable() -> impl Strategy<Value = Usable> {
    prop_oneof![Just(Usable::Yes), Just(Usable::No), Just(Usable::Unknown)]
}

fn forced() -> impl Strategy<Value = Forced> {
    prop_oneof![Just(Forced::Normal), Just(Forced::Drain), Just(Forced::Disable)]
}

proptest! {
    #[test]
    fn the_page_is_there_when_nothing_else_takes_connections(
        health in proptest::array::uniform3(usable()),
        forced in proptest::array::uniform3(forced()),
        shown in any::<bool>(),
        active in any::<bool>(),
    ) {
        let world = World { health, forced, shown };
        let takes = health.iter().zip(forced).any(|(h, f)| *h == Usable::Yes && f == Forced::Normal);
        let undecided = health.iter().zip(forced).any(|(h, f)| *h == Usable::Unknown && f == Forced::Normal);
        let (stands, page) = stands_in(&config(), &world, active);
        prop_assert_eq!(stands, !takes && (!undecided || shown));
        // The listener is there exactly with the destination, in both roles.
        prop_assert_eq!(stands, page);
    }
}

#[test]
fn udp_has_no_page() {
    let mut config = config();
    config.services.get_mut(&name("web")).unwrap().protocol = Protocol::Udp;
    let world = World { health: [Usable::No; 3], forced: [Forced::Normal; 3], shown: false };
    assert_eq!(stands_in(&config, &world, true), (false, false));
}

#[test]
fn a_sorry_server_is_reached_as_the_pool_reaches_its_servers() {
    let mut config = five_node();
    let address = "192.168.1.9".parse().unwrap();
    let sorry = crate::model::config::RealServer { address: Some(address), load_monitor: None };
    config.real_servers.insert(name("sorry"), sorry);
    let pool = config.pools.get_mut(&name("web")).unwrap();
    pool.shortage.sorry_server = Some(name("sorry"));
    pool.shortage.sorry_port = Some(8080);
    let world = World { health: [Usable::No; 3], forced: [Forced::Normal; 3], shown: false };
    let want = desired(&config, &config.primary, true, &world);
    let dests = &want.services.values().next().unwrap().dests;
    let spec = spec(Forward::Nat, TunnelSpec::default());
    assert_eq!(dests.get(&DestKey { address, port: 8080 }), Some(&spec));
    assert!(want.pages.is_empty());
}

#[test]
fn a_failed_server_keeps_as_much_of_its_weight_as_it_is_left() {
    let mut config = five_node();
    config.pools.get_mut(&name("web")).unwrap().on_failure = OnFailure::Weight;
    let weights = |config: &Config| -> Vec<u32> {
        let world = World {
            health: [Usable::No, Usable::Yes, Usable::No],
            forced: [Forced::Normal; 3],
            shown: false,
        };
        let want = desired(config, &config.primary, true, &world);
        want.services.values().next().unwrap().dests.values().map(|d| d.weight).collect()
    };
    let full: Vec<u32> = config.pools[&name("web")].servers.values().map(|member| member.weight).collect();
    assert_eq!(weights(&config), [1, full[1], 1]);
    config.pools.get_mut(&name("web")).unwrap().watch.failure_weight = Some(50);
    assert_eq!(weights(&config), [50.min(full[0]), full[1], 50.min(full[2])]);
}
