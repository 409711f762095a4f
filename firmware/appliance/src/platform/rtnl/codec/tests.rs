use super::super::super::netlink::{Encoder, messages};
use super::*;

fn bytes(kind: u16, write: impl FnOnce(&mut Body<'_>)) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.message(kind, CREATE_NEW, 1, write);
    encoder.finish().unwrap().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key(cidr: &str) -> AddressKey {
    AddressKey { device: "eth0".parse().unwrap(), cidr: cidr.parse().unwrap() }
}

#[test]
fn an_address_has_its_golden_bytes() {
    let spec = AddressSpec { label: Some("eth0:1".parse().unwrap()) };
    let golden = "440000001400010601000000000000000218000002000000080002000102030108000100010203010800040001\
        0203ff0b000300657468303a31000005000b0004000000";
    assert_eq!(hex(&bytes(NEW_ADDRESS, |body| add_address(body, 2, &key("1.2.3.1/24"), &spec))), golden);
}

#[test]
fn the_removal_of_addresses_has_its_golden_bytes() {
    let all = ["1.2.3.1/24", "2001:db8::1/64"].map(|cidr| (2, cidr.parse().unwrap()));
    let v4 = "28000000150001000000000000000000021800000200000008000200010203010800010001020301";
    let v6 = "40000000150001000000000000000000\
        0a400000020000001400020020010db80000000000000000000000011400010020010db8000000000000000000000001";
    assert_eq!(hex(&super::super::removal(all.into_iter())), format!("{v4}{v6}"));
}

#[test]
fn only_permanent_addresses_of_global_scope_are_ours() {
    let write = |scope: u8, flags: u32| {
        bytes(NEW_ADDRESS, |body| {
            body.header(&[INET6, 64, 0, scope]);
            body.header(&2_u32.to_ne_bytes());
            put_ip(body, ADDR_ADDRESS, "2001:db8::1".parse().unwrap());
            body.u32(ADDR_FLAGS, flags);
        })
    };
    for (scope, flags, ours) in [(UNIVERSE, PERMANENT, true), (253, PERMANENT, false), (UNIVERSE, 0, false)] {
        let bytes = write(scope, flags);
        let message = messages(&bytes).next().unwrap().unwrap();
        assert_eq!(parse_address(&message).unwrap().is_some(), ours, "scope {scope} flags {flags}");
    }
}

#[test]
fn routes_of_both_families_and_across_them_read_back() {
    for (to, metric, via) in [
        ("0.0.0.0/0", 0, "1.2.3.254"),
        ("10.0.0.0/8", 7, "fe80::1"),
        ("::/0", 0, "2001:db8::fe"),
        ("2001::/16", 5, "::1"),
    ] {
        let key = RouteKey { to: to.parse().unwrap(), metric };
        let spec = RouteSpec { via: via.parse().unwrap() };
        let bytes = bytes(NEW_ROUTE, |body| set_route(body, &key, &spec));
        let message = messages(&bytes).next().unwrap().unwrap();
        assert_eq!(parse_route(&message), Ok(Some((key, spec))));
    }
}

#[test]
fn a_vlan_reads_back_with_the_device_below_and_its_id() {
    let bytes = bytes(NEW_LINK, |body| add_vlan(body, &"dmz".parse().unwrap(), 3, 77));
    let message = messages(&bytes).next().unwrap().unwrap();
    let info = parse_link(&message).unwrap().unwrap();
    assert_eq!((info.device.as_str(), info.vlan), ("dmz", Some((3, 77))));
}

#[test]
fn cut_messages_are_refused_or_are_not_ours() {
    let address =
        bytes(NEW_ADDRESS, |body| add_address(body, 2, &key("1.2.3.1/24"), &AddressSpec::default()));
    let route = RouteKey { to: "10.0.0.0/8".parse().unwrap(), metric: 7 };
    let spec = RouteSpec { via: "1.2.3.254".parse().unwrap() };
    let route = bytes(NEW_ROUTE, |body| set_route(body, &route, &spec));
    for (kind, bytes) in [(NEW_ADDRESS, &address), (NEW_ROUTE, &route), (NEW_LINK, &route)] {
        for end in 16..bytes.len() {
            let message = Message { kind, flags: 0, seq: 1, payload: &bytes[16..end] };
            assert!(parse_address(&message).is_ok_and(|found| found.is_none()) || kind == NEW_ADDRESS);
            // Any outcome is fine: what is checked is that none panics.
            std::hint::black_box((parse_route(&message).is_ok(), parse_link(&message).is_ok()));
        }
    }
}
