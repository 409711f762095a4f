//! What a plan must never do, as properties over small random states (small domains, so that keys collide).

use director_core::model::Cidr;
use director_core::model::config::{Forward, Protocol, Scheduler};
use director_core::plan::desired::{DesiredLink, DesiredService, Ruleset};
use director_core::plan::observed::{Observed, ObservedService};
use director_core::plan::*;
use director_sim::kernel::ModelKernel;
use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const DEVICES: [&str; 2] = ["eth0", "eth1"];
/// There only when it is desired.
const VLAN: &str = "dmz";

fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

fn address_key() -> impl Strategy<Value = AddressKey> {
    // eth9 does not exist.
    (
        prop_oneof![Just("eth0"), Just("eth1"), Just("eth9"), Just(VLAN)],
        1..4_u8,
        prop_oneof![Just(24_u8), Just(32)],
    )
        .prop_map(|(device, last, prefix)| AddressKey {
            device: device.parse().unwrap(),
            cidr: Cidr::new(ip(last), prefix).unwrap(),
        })
}

fn address_spec() -> impl Strategy<Value = AddressSpec> {
    prop_oneof![Just(None), Just(Some("eth0:1".parse().unwrap()))].prop_map(|label| AddressSpec { label })
}

fn service_key() -> impl Strategy<Value = ServiceKey> {
    prop_oneof![
        3 => (1..3_u8, any::<bool>()).prop_map(|(last, udp)| ServiceKey::Address {
            protocol: if udp { Protocol::Udp } else { Protocol::Tcp },
            address: ip(last),
            port: 80,
        }),
        1 => any::<bool>().prop_map(|v4| {
            ServiceKey::Mark { family: if v4 { Family::V4 } else { Family::V6 }, mark: 1 }
        }),
    ]
}

fn service() -> impl Strategy<Value = DesiredService> {
    let spec = (any::<bool>(), any::<bool>()).prop_map(|(rr, persistent)| {
        let spec =
            ServiceSpec::new(if rr { Scheduler::Rr } else { Scheduler::Wlc }, persistent.then_some(300));
        ServiceSpec { mask: persistent.then_some(0xffff_ff00), flags: if rr { 0 } else { 8 }, ..spec }
    });
    let dest = (11..14_u8).prop_map(|last| DestKey { address: ip(last), port: 80 });
    let method = prop_oneof![Just(Forward::Nat), Just(Forward::Direct), Just(Forward::Tunnel)];
    let dest_spec = (0..3_u32, method, 0..2_u32).prop_map(|(weight, forward, upper)| DestSpec {
        weight,
        forward,
        upper,
        ..DestSpec::default()
    });
    // Only a tunnel reaches a server of the other family.
    let far = (1..3_u16).prop_map(|last| DestKey {
        address: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into(),
        port: 80,
    });
    let far_spec = (0..3_u32, 0..3_u8).prop_map(|(weight, kind)| {
        let tunnel = TunnelSpec { kind, port: if kind == 1 { 6080 } else { 0 }, flags: 0 };
        DestSpec { weight, forward: Forward::Tunnel, tunnel, ..DestSpec::default() }
    });
    let far = prop_oneof![3 => Just(BTreeMap::new()), 1 => btree_map(far, far_spec, 0..3)];
    (spec, btree_map(dest, dest_spec, 0..4), far).prop_map(|(spec, mut dests, far)| {
        dests.extend(far);
        DesiredService { spec, dests }
    })
}

/// Makes of random services what the kernel takes: a server of the other family is tunnelled, and no sync daemon runs.
fn possible_services(want: &mut Desired) {
    let mut mixed = false;
    for (key, service) in &mut want.services {
        for (dest, spec) in
            service.dests.iter_mut().filter(|(dest, _)| Family::of(dest.address) != key.family())
        {
            assert!(!dest.address.is_unspecified());
            spec.forward = Forward::Tunnel;
            mixed = true;
        }
        if key.family() == Family::V6 {
            service.spec.mask = service.spec.mask.map(|_| 64);
        }
    }
    if mixed {
        want.daemons.clear();
    }
}

fn daemon(id: usize) -> DaemonSpec {
    let id = u8::try_from(id).unwrap();
    let (device, group) = ("eth1".parse().unwrap(), ip(1));
    DaemonSpec { device, id, group, port: 8848, ttl: 1, max_length: 1472 }
}

fn desired_state() -> impl Strategy<Value = Desired> {
    let floating = btree_map(address_key(), address_spec(), 0..4);
    let node = btree_map(address_key(), Just(AddressSpec::default()), 0..2);
    let services = btree_map(service_key(), service(), 0..5);
    let routes = btree_map(
        prop_oneof![Just("0.0.0.0/0"), Just("10.9.0.0/16")]
            .prop_map(|to| RouteKey { to: to.parse().unwrap(), metric: 0 }),
        (1..4_u8).prop_map(|last| RouteSpec { via: ip(last) }),
        0..3,
    );
    let sysctl = prop_oneof![Just("0".to_string()), Just("1".to_string())];
    let ruleset = any::<bool>().prop_map(|defragment| Ruleset { defragment, ..Ruleset::default() });
    let links = btree_set(0..DEVICES.len(), 0..=2);
    let vlan = proptest::option::of((0..DEVICES.len(), 5..7_u16));
    let timeouts = (1..3_u32).prop_map(|tcp_s| TimeoutSpec { tcp_s, tcp_fin_s: 120, udp_s: 300 });
    (floating, node, services, routes, (sysctl, ruleset, links, vlan, timeouts), any::<bool>()).prop_map(
        |(floating, node, services, routes, (forward, ruleset, links, vlan, timeouts), active)| {
            let mut want = Desired { services, routes, ruleset: Some(ruleset), ..Desired::default() };
            want.timeouts = Some(timeouts);
            let role = if active { DaemonRole::Master } else { DaemonRole::Backup };
            if timeouts.tcp_s == 1 {
                want.daemons.insert(role, daemon(links.len()));
            }
            possible_services(&mut want);
            want.sysctls.insert("net.ipv4.ip_forward".to_string(), forward);
            want.node_addresses = node;
            if active {
                want.floating_addresses = floating;
                want.floating_addresses.retain(|key, _| !want.node_addresses.contains_key(key));
            } else {
                want.released = floating.into_keys().collect();
                want.released.retain(|key| !want.node_addresses.contains_key(key));
            }
            for index in links {
                want.links.insert(DEVICES[index].parse().unwrap(), DesiredLink::default());
            }
            if let Some((parent, id)) = vlan {
                let vlan = VlanSpec { parent: DEVICES[parent].parse().unwrap(), id };
                want.links.insert(vlan.parent.clone(), DesiredLink::default());
                want.links.insert(VLAN.parse().unwrap(), DesiredLink { mtu: None, vlan: Some(vlan) });
            }
            want
        },
    )
}

fn kernel_at(state: &Desired) -> ModelKernel {
    let mut kernel = ModelKernel::with_devices(&DEVICES);
    kernel.state.sysctls = BTreeMap::from([("net.ipv4.ip_forward".to_string(), "0".to_string())]);
    for op in &plan(state, &kernel.state).ops {
        kernel.apply(op).unwrap();
    }
    kernel
}

/// Addresses of devices that do not exist cannot be there.
fn possible(desired: &Desired, observed: &Observed) -> BTreeMap<AddressKey, AddressSpec> {
    let all = desired.node_addresses.iter().chain(&desired.floating_addresses);
    all.filter(|(key, _)| observed.links.contains_key(&key.device))
        .map(|(k, s)| (k.clone(), s.clone()))
        .collect()
}

fn check_reached(want: &Desired, kernel: &ModelKernel) {
    assert_eq!(kernel.state.addresses, possible(want, &kernel.state));
    let vlans = |links: Vec<_>| -> Vec<_> {
        links.into_iter().filter(|(_, v): &(_, Option<_>)| v.is_some()).collect()
    };
    let have = vlans(kernel.state.links.iter().map(|(d, l)| (d.clone(), l.vlan.clone())).collect());
    assert_eq!(have, vlans(want.links.iter().map(|(d, l)| (d.clone(), l.vlan.clone())).collect()));
    assert_eq!(kernel.state.routes, want.routes);
    assert_eq!(kernel.state.timeouts, want.timeouts);
    assert_eq!(kernel.state.daemons, want.daemons);
    assert_eq!(kernel.state.sysctls, want.sysctls);
    assert_eq!(kernel.state.ruleset, want.ruleset.as_ref().map(Ruleset::digest));
    let specs = |key| {
        let service: &ObservedService = &kernel.state.services[key];
        service.dests.iter().map(|(k, d)| (*k, d.spec)).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(kernel.state.services.keys().collect::<Vec<_>>(), want.services.keys().collect::<Vec<_>>());
    for (key, service) in &want.services {
        assert_eq!(kernel.state.services[key].spec, service.spec);
        assert_eq!(specs(key), service.dests);
    }
}

proptest! {
    // The whole module takes below a second; states are small on purpose.
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_plan_applied_gives_what_was_desired_and_the_next_is_empty(a in desired_state(), b in desired_state()) {
        let mut kernel = kernel_at(&a);
        for op in &plan(&b, &kernel.state).ops {
            prop_assert_eq!(kernel.apply(op), Ok(()));
        }
        check_reached(&b, &kernel);
        prop_assert_eq!(plan(&b, &kernel.state).ops, Vec::new());
    }

    #[test]
    fn no_key_is_both_deleted_and_added(a in desired_state(), b in desired_state()) {
        let ops = plan(&b, &kernel_at(&a).state).ops;
        for op in &ops {
            let reverse = match op {
                Op::AddressDelete { key } => ops.iter().any(|o| matches!(o, Op::AddressAdd { key: k, .. } if k == key)),
                Op::ServiceDelete { key } => ops.iter().any(|o| matches!(o, Op::ServiceAdd { key: k, .. } if k == key)),
                Op::DestDelete { service, key } => ops.iter().any(
                    |o| matches!(o, Op::DestAdd { service: s, key: k, .. } if s == service && k == key)),
                _ => false,
            };
            prop_assert!(!reverse, "{:?}", op);
        }
    }

    #[test]
    fn a_connection_whose_server_stays_lives_after_every_prefix(a in desired_state(), b in desired_state()) {
        let mut kernel = kernel_at(&a);
        kernel.connect_everywhere();
        let stay: Vec<_> = kernel.connections.iter().copied()
            .filter(|(service, dest)| b.services.get(service).is_some_and(|s| s.dests.contains_key(dest))).collect();
        for op in &plan(&b, &kernel.state).ops {
            kernel.apply(op).unwrap();
            for connection in &stay {
                prop_assert!(kernel.connections.contains(connection), "lost by {:?}", op);
            }
        }
    }

    #[test]
    fn a_restart_after_any_prefix_converges(a in desired_state(), b in desired_state(), cut in 0..64_usize) {
        let mut kernel = kernel_at(&a);
        for op in plan(&b, &kernel.state).ops.iter().take(cut) {
            kernel.apply(op).unwrap();
        }
        for op in &plan(&b, &kernel.state).ops {
            prop_assert_eq!(kernel.apply(op), Ok(()));
        }
        check_reached(&b, &kernel);
    }

    #[test]
    fn a_service_that_did_not_change_is_never_touched(a in desired_state(), b in desired_state()) {
        let same: Vec<ServiceKey> =
            a.services.iter().filter(|(k, s)| b.services.get(k) == Some(s)).map(|(k, _)| *k).collect();
        for op in plan(&b, &kernel_at(&a).state).ops {
            if let Op::ServiceAdd { key: service, .. } | Op::ServiceEdit { key: service, .. } | Op::ServiceDelete { key: service }
                | Op::DestAdd { service, .. } | Op::DestEdit { service, .. } | Op::DestDelete { service, .. } = op {
                prop_assert!(!same.contains(&service));
            }
        }
    }

    #[test]
    fn a_pool_is_never_emptier_than_before_and_after(a in desired_state(), b in desired_state()) {
        let usable = |k: &ModelKernel, s: &ServiceKey| k.state.services.get(s)
            .map_or(0, |s| s.dests.values().filter(|d| d.spec.weight > 0).count());
        let mut kernel = kernel_at(&a);
        let before = kernel.clone();
        let after = kernel_at(&b);
        for op in &plan(&b, &kernel.state).ops {
            kernel.apply(op).unwrap();
            for key in a.services.keys().filter(|k| b.services.contains_key(k)) {
                let least = usable(&before, key).min(usable(&after, key));
                prop_assert!(usable(&kernel, key) >= least, "{:?}", op);
            }
        }
    }

    #[test]
    fn a_released_address_leaves_before_anything_else_happens(a in desired_state(), b in desired_state()) {
        let kernel = kernel_at(&a);
        let held = b.released.iter().filter(|key| kernel.state.addresses.contains_key(key)).count();
        let ops = plan(&b, &kernel.state).ops;
        let first_other = ops.iter().position(|op| !matches!(op, Op::AddressDelete { .. })).unwrap_or(ops.len());
        let released_first = ops.iter().take(first_other)
            .filter(|op| matches!(op, Op::AddressDelete { key } if b.released.contains(key))).count();
        prop_assert_eq!(released_first, held);
    }

    #[test]
    fn forwarding_is_switched_on_after_its_rules_are_there(a in desired_state(), b in desired_state()) {
        let ops = plan(&b, &kernel_at(&a).state).ops;
        let rules = ops.iter().position(|op| matches!(op, Op::RulesetSet { .. }));
        let forward = ops.iter().position(|op| matches!(op, Op::SysctlSet { .. }));
        if let (Some(rules), Some(forward)) = (rules, forward) {
            prop_assert!(rules < forward);
        }
    }

    #[test]
    fn the_assumed_picture_equals_the_kernel(a in desired_state(), b in desired_state()) {
        let mut kernel = kernel_at(&a);
        let mut picture = kernel.state.clone();
        for op in &plan(&b, &kernel.state).ops {
            kernel.apply(op).unwrap();
            picture.assume(op);
        }
        prop_assert_eq!(picture, kernel.state);
    }
}

#[test]
fn an_address_that_changes_its_prefix_is_there_all_the_time() {
    let key =
        |prefix| AddressKey { device: "eth0".parse().unwrap(), cidr: Cidr::new(ip(1), prefix).unwrap() };
    let at = |prefix| {
        let mut want = Desired::default();
        want.floating_addresses.insert(key(prefix), AddressSpec::default());
        let service = DesiredService { spec: ServiceSpec::new(Scheduler::Rr, None), dests: BTreeMap::new() };
        want.services
            .insert(ServiceKey::Address { protocol: Protocol::Tcp, address: ip(1), port: 80 }, service);
        want.sysctls = BTreeMap::from([("net.ipv4.ip_forward".to_string(), "0".to_string())]);
        want
    };
    let mut kernel = kernel_at(&at(24));
    for op in &plan(&at(32), &kernel.state).ops {
        kernel.apply(op).unwrap();
        assert!(kernel.state.addresses.keys().any(|k| k.cidr.address() == ip(1)), "gone after {op:?}");
    }
}

#[test]
fn a_sync_daemon_and_servers_of_another_family_take_turns_in_one_plan() {
    let service = ServiceKey::Address { protocol: Protocol::Tcp, address: ip(1), port: 80 };
    let far = DestKey { address: "2001:db8::1".parse().unwrap(), port: 80 };
    let spec = DestSpec { forward: Forward::Tunnel, weight: 1, ..DestSpec::default() };
    let mut mixed = Desired::default();
    let dests = BTreeMap::from([(far, spec)]);
    mixed.services.insert(service, DesiredService { spec: ServiceSpec::new(Scheduler::Rr, None), dests });
    let mut synced = Desired::default();
    synced.daemons.insert(DaemonRole::Master, daemon(1));
    for (from, to) in [(&mixed, &synced), (&synced, &mixed)] {
        let mut kernel = kernel_at(from);
        for op in &plan(to, &kernel.state).ops {
            assert_eq!(kernel.apply(op), Ok(()));
        }
        assert_eq!(plan(to, &kernel.state).ops, []);
    }
}

#[test]
fn a_change_of_role_gives_clients_the_address_before_it_touches_a_daemon() {
    let service = ServiceKey::Address { protocol: Protocol::Tcp, address: ip(1), port: 80 };
    let key = AddressKey { device: "eth0".parse().unwrap(), cidr: Cidr::new(ip(1), 24).unwrap() };
    let spec = ServiceSpec::new(Scheduler::Rr, None);
    let of = |role| {
        let mut want = Desired::default();
        want.services.insert(service, DesiredService { spec: spec.clone(), dests: BTreeMap::new() });
        want.daemons.insert(role, daemon(1));
        want
    };
    let (standby, mut active) = (of(DaemonRole::Backup), of(DaemonRole::Master));
    active.floating_addresses.insert(key, AddressSpec::default());
    let ops = plan(&active, &kernel_at(&standby).state).ops;
    let kinds = [
        matches!(ops[0], Op::AddressAdd { .. }),
        matches!(ops[1], Op::Announce { .. }),
        matches!(ops[2], Op::DaemonStop { .. }),
        matches!(ops[3], Op::DaemonStart { .. }),
    ];
    assert_eq!((kinds, ops.len()), ([true; 4], 4), "{ops:?}");
}

#[test]
fn a_weight_change_is_one_edit() {
    let service = ServiceKey::Address { protocol: Protocol::Tcp, address: ip(1), port: 80 };
    let dest = DestKey { address: ip(11), port: 80 };
    let at = |weight| {
        let spec = DestSpec { weight, ..DestSpec::default() };
        let service_state = DesiredService {
            spec: ServiceSpec::new(Scheduler::Wlc, None),
            dests: BTreeMap::from([(dest, spec)]),
        };
        Desired { services: BTreeMap::from([(service, service_state)]), ..Desired::default() }
    };
    let edit = Op::DestEdit { service, key: dest, spec: DestSpec { weight: 7, ..DestSpec::default() } };
    assert_eq!(plan(&at(7), &kernel_at(&at(2)).state).ops, [edit]);
}

#[test]
fn a_sysctl_without_file_is_left_alone() {
    let want = Desired {
        sysctls: BTreeMap::from([("net.ipv6.conf.all.forwarding".to_string(), String::from("1"))]),
        ..Desired::default()
    };
    assert_eq!(plan(&want, &Observed::default()).ops, []);
}

#[test]
fn an_address_waits_for_its_first_service_but_not_for_one_that_joins_others() {
    let key = AddressKey { device: "eth0".parse().unwrap(), cidr: Cidr::new(ip(1), 24).unwrap() };
    let service = |port| ServiceKey::Address { protocol: Protocol::Tcp, address: ip(1), port };
    let fresh = || DesiredService { spec: ServiceSpec::new(Scheduler::Rr, None), dests: BTreeMap::new() };
    let mut want = Desired::default();
    want.services.insert(service(80), fresh());
    let mut kernel = kernel_at(&want);
    want.services.insert(service(443), fresh());
    want.floating_addresses.insert(key.clone(), AddressSpec::default());
    // What is tried when the kernel refuses to add the service on port 443.
    let tried = |kernel: &ModelKernel| {
        let ops = plan(&want, &kernel.state).ops;
        let refused = |op: &Op| matches!(op, Op::ServiceAdd { key, .. } if key.port() == 443);
        let at = ops.iter().position(refused).unwrap();
        let address = ops.iter().position(|op| matches!(op, Op::AddressAdd { .. })).unwrap();
        address < at || !ops[address].needs(&ops[at])
    };
    assert!(tried(&kernel), "port 80 serves already");
    kernel.state.services.clear();
    assert!(!tried(&kernel), "nothing is there that would answer");
}
