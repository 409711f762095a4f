use super::super::super::netlink::messages;
use super::super::rules;
use super::*;
use director_core::model::config::Protocol;
use director_core::plan::desired::Ruleset;

fn ruleset() -> Ruleset {
    Ruleset {
        defragment: true,
        notrack: [(Protocol::Tcp, "1.2.3.1".parse().unwrap(), 80)].into(),
        masquerade: vec![("192.168.1.0/24".parse().unwrap(), "eth0".parse().unwrap(), None)],
        inside: [("eth1".parse().unwrap(), "192.168.1.0/24".parse().unwrap())].into(),
        ..Ruleset::default()
    }
}

fn batch(ruleset: &Ruleset, digest: &[u8; 32]) -> (Vec<u8>, u32) {
    let mut encoder = Encoder::default();
    let last = replace(&mut encoder, 1, &rules::table(ruleset), digest);
    (encoder.finish().unwrap().to_vec(), last)
}

#[test]
fn an_empty_rule_set_has_its_golden_bytes() {
    let (bytes, _) = batch(&Ruleset::default(), &[0xd1; 32]);
    let hex: Vec<String> = messages(&bytes)
        .map(Result::unwrap)
        .map(|m| format!("{:04x} {:04x} {} {:02x?}", m.kind, m.flags, m.seq, m.payload).replace(", ", ""))
        .collect();
    let golden: [&str; 7] = [
        "0010 0001 1 [0000000a]",
        "0a00 0401 2 [010000000d0001006469726563746f7200000000]",
        "0a02 0001 3 [010000000d0001006469726563746f7200000000]",
        "0a00 0601 4 [010000000d0001006469726563746f7200000000460006008040d1d1d1d1d1d1d1d1d1d1d1d1d\
        1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1cb5e7b9b0dde42a9ca50c8de5a1aeb3cd3c04883ba4e748eed6\
        897fd982fa30e0000]",
        "0a03 0401 5 [010000000d0001006469726563746f72000000000c000300666f72776172640014000480080001000000\
        0002080002000000000008000500000000000b00070066696c7465720000]",
        "0a00 0405 6 [010000000d0001006469726563746f7200000000]",
        "0011 0001 7 [0000000a]",
    ];
    assert_eq!(hex, golden);
}

#[test]
fn a_masquerade_rule_has_its_golden_bytes() {
    let (bytes, _) = batch(&ruleset(), &[0xd1; 32]);
    let rule = messages(&bytes).map(Result::unwrap).filter(|m| m.kind == NEW_RULE).last().unwrap();
    let hex: String = rule.payload.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        "010000000d0001006469726563746f720000000010000200706f7374726f7574696e6700680104802400018009\
        0001006d65746100000000140002800800010000000001080002000000000f2c00018008000100636d70002000\
        0280080001000000000108000200000000000c0003800500010002000000340001800c0001007061796c6f6164\
        002400028008000100000000010800020000000001080003000000000c0800040000000004440001800c000100\
        6269747769736500340002800800010000000001080002000000000108000300000000040c00048008000100ff\
        ffff000c00058008000100000000002c00018008000100636d7000200002800800010000000001080002000000\
        00000c00038008000100c0a8010024000180090001006d65746100000000140002800800010000000001080002\
        00000000073800018008000100636d70002c000280080001000000000108000200000000001800038014000100\
        6574683000000000000000000000000014000180090001006d617371000000000400028010000700800ad1d1d1\
        d1d1d1d1d10006"
    );
}

#[test]
fn only_one_message_asks_for_an_acknowledgement_and_neither_begin_nor_end_do() {
    let (bytes, last) = batch(&ruleset(), &[1; 32]);
    let all: Vec<_> = messages(&bytes).map(Result::unwrap).collect();
    let asking: Vec<_> = all.iter().filter(|m| m.flags & uapi::ACK != 0).map(|m| m.seq).collect();
    assert_eq!(asking, [last]);
    assert_eq!((all[0].kind, all[all.len() - 1].kind), (BATCH_BEGIN, BATCH_END));
    assert_eq!(all[all.len() - 2].seq, last);
}

#[test]
fn a_table_is_known_by_its_label_and_fits_what_was_made() {
    let (bytes, _) = batch(&ruleset(), &[1; 32]);
    let all: Vec<_> = messages(&bytes).map(Result::unwrap).collect();
    let label = all.iter().filter(|m| m.kind == NEW_TABLE).find_map(|m| parse_table(m).unwrap()).unwrap();
    assert_eq!(label.digest, [1; 32]);
    let mut shape = Shape::default();
    all.iter().filter(|m| m.kind == NEW_CHAIN).for_each(|m| shape.add_chain(m).unwrap());
    all.iter().filter(|m| m.kind == NEW_RULE).for_each(|m| shape.add_rule(m).unwrap());
    assert!(label.fits(shape));
    assert!(!label.fits(Shape::default()));
}

#[test]
fn cut_answers_are_refused_or_are_not_recognised() {
    let (bytes, _) = batch(&ruleset(), &[1; 32]);
    for message in messages(&bytes).map(Result::unwrap) {
        for end in 0..message.payload.len() {
            let cut = Message { payload: &message.payload[..end], ..message };
            // Up to three bytes of padding may be missing.
            let whole = end + 3 >= message.payload.len();
            assert!(whole || message.kind != NEW_TABLE || !matches!(parse_table(&cut), Ok(Some(_))));
            let mut shape = Shape::default();
            // Either outcome is fine: what is checked is that neither panics.
            std::hint::black_box((shape.add_chain(&cut).is_ok(), shape.add_rule(&cut).is_ok()));
        }
    }
}
