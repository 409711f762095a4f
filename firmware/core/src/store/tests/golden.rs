//! Bytes that must stay readable for ever. When one of these tests fails, the encoding has changed: that needs a
//! new schema (or header) version and a frozen decoder for the old one, never a new golden file.

extern crate std;

use super::commit;
use crate::model::config::{CheckKind, Forward, HttpCheck, OnFailure, Protocol, Route, Scheduler, Service};
use crate::model::validate::fixture::name;
use crate::model::{Millis, config::Pool};
use crate::store::record::{Header, SlotState};
use crate::store::{Comment, Commit, Generation, blob};
use alloc::format;
use alloc::vec::Vec;
use proptest::prelude::*;

const FIVE_NODE: &[u8] = include_bytes!("../../../../../tests/golden/flash/v1-five-node.bin");
const EVERYTHING: &[u8] = include_bytes!("../../../../../tests/golden/flash/v1-everything.bin");
const FIVE_NODE_2: &[u8] = include_bytes!("../../../../../tests/golden/flash/v2-five-node.bin");
const EVERYTHING_2: &[u8] = include_bytes!("../../../../../tests/golden/flash/v2-everything.bin");
const HEADER: &[u8; 512] = include_bytes!("../../../../../tests/golden/flash/v1-header.bin");

/// Every field set, every variant of every enum used.
fn everything() -> Commit {
    let mut c = commit(0).config;
    c.interfaces.get_mut(&name("public")).unwrap().mtu = Some(1492);
    c.routes.insert(
        "2001:db8:1::/48".parse().unwrap(),
        Route { via: Some("2001:db8::9".parse().unwrap()), metric: 77 },
    );
    c.routes.insert("0.0.0.0/0".parse().unwrap(), Route { via: None, metric: 0 });
    c.forwarding.ipv6 = true;
    let kinds = [
        (Forward::Nat, CheckKind::Tcp, OnFailure::Quiesce),
        (Forward::Direct, CheckKind::Http, OnFailure::Remove),
        (Forward::Tunnel, CheckKind::None, OnFailure::Quiesce),
    ];
    for (i, (forward, check, on_failure)) in kinds.into_iter().enumerate() {
        let pool = Pool {
            forward,
            check,
            check_port: Some(8080),
            http: Some(HttpCheck {
                path: "/health?x=1".parse().unwrap(),
                host: Some("www.example.com".parse().unwrap()),
                status: "200-399".parse().unwrap(),
            }),
            interval: Millis::new(1500),
            timeout: Millis::new(750),
            rise: 2,
            fall: 4,
            dead_time: Some(Millis::from_secs(9)),
            reentry: Millis::from_secs(60),
            on_failure,
            servers: [(
                name("rs1"),
                crate::model::config::Member { weight: 65_535, port: Some(8080), ..Default::default() },
            )]
            .into_iter()
            .collect(),
            ..Pool::default()
        };
        c.pools.insert(name(&format!("pool{i}")), pool);
    }
    for (i, (scheduler, kernel_name)) in Scheduler::ALL.into_iter().enumerate() {
        let service = Service {
            addresses: [name("vs1"), name("nat-router")].into_iter().collect(),
            protocol: if i % 2 == 0 { Protocol::Tcp } else { Protocol::Udp },
            ports: [443, 8443].into_iter().collect(),
            scheduler,
            persistence: Some(Millis::from_secs(300)),
            pool: Some(name("pool0")),
            special: Default::default(),
        };
        c.services.insert(name(&format!("s-{kernel_name}")), service);
    }
    Commit { at_unix_s: 1_790_000_000, comment: "moved to the new rack".parse().unwrap(), config: c }
}

fn header() -> Header {
    Header {
        schema: 1,
        length: 0x0001_0203,
        generation: Generation(0x0102_0304_0506_0708),
        state: SlotState::Good,
        sha256: core::array::from_fn(|i| i as u8),
    }
}

#[test]
fn the_encoding_of_schema_2_has_not_changed() {
    assert_eq!(blob::SCHEMA, 2, "freeze schema 2 and add golden files for the new one");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/flash");
        std::fs::write(format!("{folder}/v2-five-node.bin"), blob::encode(&commit(1_790_000_000))).unwrap();
        return std::fs::write(format!("{folder}/v2-everything.bin"), blob::encode(&everything())).unwrap();
    }
    assert!(blob::encode(&commit(1_790_000_000)) == FIVE_NODE_2, "see the top of this file");
    assert!(blob::encode(&everything()) == EVERYTHING_2, "see the top of this file");
}

#[test]
fn every_schema_is_decoded() {
    assert_eq!(blob::decode(1, FIVE_NODE), Ok(commit(1_790_000_000)));
    // Schema 1 had no comment.
    assert_eq!(blob::decode(1, EVERYTHING), Ok(Commit { comment: Comment::default(), ..everything() }));
    assert_eq!(blob::decode(2, FIVE_NODE_2), Ok(commit(1_790_000_000)));
    assert_eq!(blob::decode(2, EVERYTHING_2), Ok(everything()));
}

#[test]
fn the_slot_header_has_not_changed() {
    assert_eq!(&header().emit(), HEADER);
    assert_eq!(Header::parse(HEADER), Ok(header()));
}

#[test]
fn a_blob_with_a_remainder_cut_short_or_of_another_schema_is_refused() {
    let mut longer = FIVE_NODE.to_vec();
    longer.push(0);
    assert_eq!(blob::decode(1, &longer), Err(blob::DecodeError::Remainder(1)));
    assert_eq!(blob::decode(3, FIVE_NODE_2), Err(blob::DecodeError::Schema(3)));
    assert_eq!(blob::decode(0, FIVE_NODE), Err(blob::DecodeError::Schema(0)));
    for cut in 0..FIVE_NODE.len() {
        assert_eq!(blob::decode(1, &FIVE_NODE[..cut]), Err(blob::DecodeError::Malformed));
    }
    let huge = alloc::vec![0; crate::store::layout::PAYLOAD_MAX as usize + 1];
    assert_eq!(blob::decode(1, &huge), Err(blob::DecodeError::TooLarge));
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        // What decodes is a configuration: it can be encoded, and means the same.
        for schema in 1..=blob::SCHEMA {
            if let Ok(commit) = blob::decode(schema, &bytes) {
                prop_assert_eq!(blob::decode(blob::SCHEMA, &blob::encode(&commit)), Ok(commit));
            }
        }
    }

    #[test]
    fn no_change_of_a_real_blob_makes_the_decoder_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        schema in 1_u16..=2,
    ) {
        let mut bytes: Vec<u8> = if schema == 1 { EVERYTHING } else { EVERYTHING_2 }.to_vec();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(commit) = blob::decode(schema, &bytes) {
            prop_assert_eq!(blob::decode(blob::SCHEMA, &blob::encode(&commit)), Ok(commit));
        }
    }

    #[test]
    fn no_sector_makes_the_header_parser_panic(sector in prop::collection::vec(any::<u8>(), 512)) {
        let sector: [u8; 512] = sector.try_into().unwrap();
        prop_assert!(Header::parse(&sector).is_err());
    }
}
