use super::super::super::netlink::{Encoder, messages};
use super::*;
use director_core::model::config::Scheduler;
use director_core::plan::TunnelSpec;

fn service(address: &str) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, address: address.parse().unwrap(), port: 80 }
}

fn add_service(address: &str, persistence_s: Option<u32>) -> Op {
    let spec = ServiceSpec::new(Scheduler::Wlc, persistence_s);
    Op::ServiceAdd { key: service(address), spec }
}

fn add_dest(service_address: &str, address: &str, forward: Forward) -> Op {
    let key = DestKey { address: address.parse().unwrap(), port: 8080 };
    Op::DestAdd {
        service: service(service_address),
        key,
        spec: DestSpec { forward, weight: 2000, ..DestSpec::default() },
    }
}

fn bytes(op: &Op) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.message(0x1c, 0, 1, |body| write(body, op));
    encoder.finish().unwrap().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_virtual_server_has_its_golden_bytes() {
    let golden = "680000001c00010001000000000000000101000054000180060001000200000006000200060000001400030001\
        020301000000000000000000000000060004000050000008000600776c63000c00070001000000ffffffff0800\
        08002c01000008000900ffffffff";
    assert_eq!(hex(&bytes(&add_service("1.2.3.1", Some(300)))), golden);
}

#[test]
fn a_real_server_has_its_golden_bytes() {
    let golden = "8c0000001c00010001000000000000000501000030000180060001000200000006000200060000001400030001\
        02030100000000000000000000000006000400005000004800028014000100c0a8010300000000000000000000\
        0000060002001f90000006000b0002000000080003000000000008000400d00700000800050000000000080006\
        0000000000";
    assert_eq!(hex(&bytes(&add_dest("1.2.3.1", "192.168.1.3", Forward::Nat))), golden);
}

#[test]
fn virtual_servers_of_both_families_read_back() {
    for (address, persistence_s) in [("1.2.3.1", None), ("2001:db8::1", Some(60))] {
        let bytes = bytes(&add_service(address, persistence_s));
        let message = messages(&bytes).next().unwrap().unwrap();
        let (key, seen) = parse_service(&message).unwrap().unwrap();
        assert_eq!(key, service(address));
        assert_eq!((seen.spec.scheduler.as_str(), seen.spec.persistence_s), ("wlc", persistence_s));
    }
}

#[test]
fn real_servers_of_every_method_and_both_families_read_back() {
    for forward in [Forward::Nat, Forward::Direct, Forward::Tunnel] {
        for (virtual_address, address) in [("1.2.3.1", "192.168.1.3"), ("2001:db8::1", "2001:db8:1::3")] {
            let bytes = bytes(&add_dest(virtual_address, address, forward));
            let message = messages(&bytes).next().unwrap().unwrap();
            let family = Family::of(virtual_address.parse().unwrap());
            let (key, seen) = parse_dest(&message, family).unwrap().unwrap();
            assert_eq!(key, DestKey { address: address.parse().unwrap(), port: 8080 });
            assert_eq!(seen.spec, DestSpec { forward, weight: 2000, ..DestSpec::default() });
        }
    }
}

#[test]
fn counters_are_read_from_the_64_bit_attributes_without_the_flag_for_nesting() {
    let mut encoder = Encoder::default();
    encoder.message(0x1c, 0, 1, |body| {
        body.header(&[GET_DEST, VERSION, 0, 0]);
        body.attr(DEST, &{
            let mut inner = Encoder::default();
            inner.message(0, 0, 0, |nest| {
                dest_key(nest, &DestKey { address: "192.168.1.3".parse().unwrap(), port: 80 });
                nest.u32(DEST_ACTIVE, 3);
                nest.nest(DEST_STATS64, |stats| {
                    stats.attr(STATS_CONNECTIONS, &7_u64.to_ne_bytes());
                    stats.attr(STATS_OUT_BYTES, &(1_u64 << 40).to_ne_bytes());
                });
            });
            inner.finish().unwrap()[16..].to_vec()
        });
    });
    let bytes = encoder.finish().unwrap();
    let message = messages(bytes).next().unwrap().unwrap();
    let (_, seen) = parse_dest(&message, Family::V4).unwrap().unwrap();
    assert_eq!((seen.active, seen.stats.connections, seen.stats.out_bytes), (3, 7, 1 << 40));
}

#[test]
fn every_setting_of_a_virtual_server_reads_back() {
    let special = |mask| ServiceSpec {
        mask,
        engine: Some("sip".try_into().unwrap()),
        flags: 0x18,
        one_packet: true,
        ..ServiceSpec::new(Scheduler::Sh, Some(300))
    };
    let udp = |address: &str| ServiceKey::Address {
        protocol: Protocol::Udp,
        address: address.parse().unwrap(),
        port: 5060,
    };
    for (key, spec) in [
        (udp("1.2.3.1"), special(Some(0xffff_ff00))),
        (udp("2001:db8::1"), special(Some(64))),
        (ServiceKey::Mark { family: Family::V4, mark: 0x0100_0007 }, special(None)),
        (ServiceKey::Mark { family: Family::V6, mark: 1 }, ServiceSpec::new(Scheduler::Mh, None)),
    ] {
        let bytes = bytes(&Op::ServiceEdit { key, spec: spec.clone() });
        let message = messages(&bytes).next().unwrap().unwrap();
        let (seen_key, seen) = parse_service(&message).unwrap().unwrap();
        assert_eq!((seen_key, seen.spec), (key, spec));
    }
}

#[test]
fn thresholds_and_tunnels_read_back_and_a_tunnel_that_is_none_is_not_seen() {
    let service = ServiceKey::Mark { family: Family::V6, mark: 1 };
    let key = DestKey { address: "192.168.1.3".parse().unwrap(), port: 0 };
    let tunnel = TunnelSpec { kind: 1, port: 6080, flags: 2 };
    let spec = DestSpec { forward: Forward::Tunnel, weight: 1, upper: 100, lower: 80, tunnel };
    for (spec, seen_as) in [
        (spec, spec),
        (
            DestSpec { forward: Forward::Nat, ..spec },
            DestSpec { forward: Forward::Nat, tunnel: TunnelSpec::default(), ..spec },
        ),
    ] {
        let bytes = bytes(&Op::DestAdd { service, key, spec });
        let message = messages(&bytes).next().unwrap().unwrap();
        let (seen_key, seen) = parse_dest(&message, Family::V6).unwrap().unwrap();
        assert_eq!((seen_key, seen.spec), (key, seen_as));
    }
}

#[test]
fn idle_times_read_back() {
    let timeouts = TimeoutSpec { tcp_s: 30, tcp_fin_s: 5, udp_s: 60 };
    let bytes = bytes(&Op::TimeoutsSet { timeouts });
    let message = messages(&bytes).next().unwrap().unwrap();
    assert_eq!(parse_timeouts(&message), Ok(Some(timeouts)));
}

#[test]
fn a_cut_answer_is_refused_or_has_no_object() {
    let cut = |op: &Op, check: fn(&Message<'_>) -> bool| {
        let bytes = bytes(op);
        for end in 16..bytes.len() {
            let message = Message { kind: 0x1c, flags: 0, seq: 1, payload: &bytes[16..end] };
            assert!(!check(&message), "{end} bytes of {op:?}");
        }
    };
    cut(&add_service("1.2.3.1", None), |message| matches!(parse_service(message), Ok(Some(_))));
    let dest = add_dest("1.2.3.1", "192.168.1.3", Forward::Nat);
    cut(&dest, |message| matches!(parse_dest(message, Family::V4), Ok(Some(_))));
}
