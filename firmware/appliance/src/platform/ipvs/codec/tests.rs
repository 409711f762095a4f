use super::super::super::netlink::{Encoder, messages};
use super::*;

fn service(address: &str) -> ServiceKey {
    ServiceKey { protocol: Protocol::Tcp, address: address.parse().unwrap(), port: 80 }
}

fn add_service(address: &str, persistence_s: Option<u32>) -> Op {
    let spec = ServiceSpec { scheduler: "wlc".try_into().unwrap(), persistence_s };
    Op::ServiceAdd { key: service(address), spec }
}

fn add_dest(service_address: &str, address: &str, forward: Forward) -> Op {
    let key = DestKey { address: address.parse().unwrap(), port: 8080 };
    Op::DestAdd { service: service(service_address), key, spec: DestSpec { forward, weight: 2000 } }
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
            let (key, seen) = parse_dest(&message, virtual_address.parse().unwrap()).unwrap().unwrap();
            assert_eq!(key, DestKey { address: address.parse().unwrap(), port: 8080 });
            assert_eq!(seen.spec, DestSpec { forward, weight: 2000 });
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
    let (_, seen) = parse_dest(&message, "1.2.3.1".parse().unwrap()).unwrap().unwrap();
    assert_eq!((seen.active, seen.stats.connections, seen.stats.out_bytes), (3, 7, 1 << 40));
}

#[test]
fn virtual_servers_by_firewall_mark_are_not_ours() {
    let mut encoder = Encoder::default();
    encoder.message(0x1c, 0, 1, |body| {
        body.header(&[GET_SERVICE, VERSION, 0, 0]);
        body.nest(SERVICE, |nest| {
            nest.u16(SVC_FAMILY, INET);
            nest.u32(SVC_FWMARK, 1);
        });
    });
    let message = messages(encoder.finish().unwrap()).next().unwrap().unwrap();
    assert_eq!(parse_service(&message), Ok(None));
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
    cut(&dest, |message| matches!(parse_dest(message, IpAddr::from([1, 2, 3, 1])), Ok(Some(_))));
}
