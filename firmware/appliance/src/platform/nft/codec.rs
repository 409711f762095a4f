//! Bytes of nf_tables messages (`include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h`). Numbers are in network byte order.

use super::super::netlink::decode::after;
use super::super::netlink::{Attribute, Body, Encoder, Malformed, Message, attributes, uapi};
use super::rules::{Base, Chain, Expression, Rule, Set, Table};
use sha2::{Digest, Sha256};

/// Name of our table in family `inet`.
pub(super) const TABLE: &str = "director";

/// `NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END`.
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
/// `NFNL_SUBSYS_NFTABLES`, in the upper byte of a type.
const SUBSYSTEM: u16 = 10;
/// `NFPROTO_UNSPEC`, `NFPROTO_INET`.
const UNSPECIFIED: u8 = 0;
const INET: u8 = 1;
/// `struct nfgenmsg`: bytes.
const NFGEN_BYTES: usize = 4;

/// `NFT_MSG_*` with the subsystem.
const NEW_TABLE: u16 = SUBSYSTEM << 8;
pub(super) const GET_TABLE: u16 = NEW_TABLE | 1;
const DELETE_TABLE: u16 = NEW_TABLE | 2;
const NEW_CHAIN: u16 = NEW_TABLE | 3;
pub(super) const GET_CHAIN: u16 = NEW_TABLE | 4;
const NEW_RULE: u16 = NEW_TABLE | 6;
pub(super) const GET_RULE: u16 = NEW_TABLE | 7;
const NEW_SET: u16 = NEW_TABLE | 9;
const NEW_ELEMENTS: u16 = NEW_TABLE | 12;

/// `NFTA_TABLE_*`.
const TABLE_NAME: u16 = 1;
const TABLE_USERDATA: u16 = 6;
/// `NFTA_CHAIN_*`, `NFTA_HOOK_*`.
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
/// `NFTA_SET_*`, `NFTA_SET_DESC_SIZE`, `NFT_SET_CONSTANT`.
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_BYTES: u16 = 5;
const SET_DESCRIPTION: u16 = 9;
const SET_ID: u16 = 10;
const DESCRIPTION_SIZE: u16 = 1;
const CONSTANT: u32 = 2;
/// `NFTA_SET_ELEM_LIST_*`, `NFTA_SET_ELEM_KEY`.
const ELEMENTS_TABLE: u16 = 1;
const ELEMENTS_SET: u16 = 2;
const ELEMENTS_LIST: u16 = 3;
const ELEMENT_KEY: u16 = 1;
/// `NFTA_RULE_*`.
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;
/// `NFTA_LIST_ELEM`, `NFTA_EXPR_*`, `NFTA_DATA_*`, `NFTA_VERDICT_CODE`.
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
/// `NF_ACCEPT`, `NFT_REG_VERDICT`, `NFT_CT_STATE`, `NFT_CMP_EQ`, `NFT_CMP_NEQ`.
const ACCEPT: u32 = 1;
const REG_VERDICT: u32 = 0;
const CT_STATE: u32 = 0;
const CMP_EQUAL: u32 = 0;
const CMP_NOT_EQUAL: u32 = 1;
/// `NFT_CMP_LTE`, `NFT_CMP_GTE`.
const CMP_AT_MOST: u32 = 3;
const CMP_AT_LEAST: u32 = 5;
/// `NF_DROP`, `IP_CT_DIR_ORIGINAL`, `NFT_NAT_SNAT`.
const DROP: u32 = 0;
const DIRECTION_ORIGINAL: u8 = 0;
const NAT_SOURCE: u32 = 0;

/// Elements in one message: an attribute holds 64 KiB, an element takes at most 36 bytes.
const ELEMENTS_PER_MESSAGE: usize = 1024;
/// Type of our item in user data, which libnftnl reads as a list of type, length, value and skips where it does not know
/// the type.
const USERDATA_TYPE: u8 = 0x80;
/// Bytes of a digest.
const DIGEST_BYTES: usize = 32;

/// What makes a dumped table recognisable as the one that was made: SHA-256 over its chains and the tags of its rules.
/// Elements of sets are left out, because the kernel lets no one change those of a constant set in use.
#[derive(Debug, Default)]
pub(super) struct Shape {
    chains: Vec<Chain>,
    rules: Vec<(String, Vec<u8>)>,
}

impl Shape {
    fn of(table: &Table, digest: &[u8; DIGEST_BYTES]) -> Self {
        let tagged = table.rules.iter().zip(0_u16..);
        let rules = tagged.map(|(rule, index)| (rule.chain.to_owned(), tag(digest, index))).collect();
        Self { chains: table.chains.clone(), rules }
    }

    pub(super) fn clear(&mut self) {
        self.chains.clear();
        self.rules.clear();
    }

    /// Takes the rules of another dump.
    pub(super) fn take_rules(&mut self, other: Self) {
        self.rules = other.rules;
    }

    fn digest(mut self) -> [u8; DIGEST_BYTES] {
        self.chains.sort();
        self.rules.sort();
        let mut hasher = Sha256::new();
        for chain in &self.chains {
            let Chain { name, kind, hook, priority, policy } = chain;
            hasher.update(format!("chain {name} {kind} {hook} {priority} {policy}\n"));
        }
        for (chain, tag) in &self.rules {
            hasher.update(format!("rule {chain} {tag:x?}\n"));
        }
        hasher.finalize().into()
    }

    /// Takes one message of a chain dump.
    pub(super) fn add_chain(&mut self, message: &Message<'_>) -> Result<(), Malformed> {
        let (mut table, mut chain) = ("", Chain::unknown());
        for attribute in attributes(after(message.payload, NFGEN_BYTES)?) {
            let attribute = attribute?;
            match attribute.kind {
                CHAIN_TABLE => table = attribute.text()?,
                CHAIN_NAME => attribute.text()?.clone_into(&mut chain.name),
                CHAIN_TYPE => attribute.text()?.clone_into(&mut chain.kind),
                CHAIN_POLICY => chain.policy = be32(&attribute)?,
                CHAIN_HOOK => chain.add_hook(&attribute)?,
                _ => {}
            }
        }
        if table == TABLE {
            self.chains.push(chain);
        }
        Ok(())
    }

    /// Takes one message of a rule dump.
    pub(super) fn add_rule(&mut self, message: &Message<'_>) -> Result<(), Malformed> {
        let (mut table, mut chain, mut tag) = ("", "", &[][..]);
        for attribute in attributes(after(message.payload, NFGEN_BYTES)?) {
            let attribute = attribute?;
            match attribute.kind {
                RULE_TABLE => table = attribute.text()?,
                RULE_CHAIN => chain = attribute.text()?,
                RULE_USERDATA => tag = attribute.value,
                _ => {}
            }
        }
        if table == TABLE {
            self.rules.push((chain.to_owned(), tag.to_vec()));
        }
        Ok(())
    }
}

impl Chain {
    /// What a chain is before its attributes are read; regular chains have no hook, and we make none.
    fn unknown() -> Self {
        Self { name: String::new(), kind: String::new(), hook: u32::MAX, priority: 0, policy: u32::MAX }
    }

    fn add_hook(&mut self, nest: &Attribute<'_>) -> Result<(), Malformed> {
        for attribute in nest.nested() {
            let attribute = attribute?;
            match attribute.kind {
                HOOK_NUMBER => self.hook = be32(&attribute)?,
                HOOK_PRIORITY => self.priority = be32(&attribute)?.cast_signed(),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What the user data of our table says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Label {
    /// Which rule set it was made of.
    pub(super) digest: [u8; DIGEST_BYTES],
    shape: [u8; DIGEST_BYTES],
}

impl Label {
    /// Whether the dumped chains and rules are those that were made.
    pub(super) fn fits(&self, shape: Shape) -> bool {
        self.shape == shape.digest()
    }
}

/// User data that marks a rule as number `index` of the table with this digest.
fn tag(digest: &[u8; DIGEST_BYTES], index: u16) -> Vec<u8> {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    let [high, low] = index.to_be_bytes();
    vec![USERDATA_TYPE, 10, a, b, c, d, e, f, g, h, high, low]
}

pub(super) fn ask_table(body: &mut Body<'_>) {
    nfgen(body, INET, 0);
    body.text(TABLE_NAME, TABLE);
}

pub(super) fn dump_chains(body: &mut Body<'_>) {
    nfgen(body, INET, 0);
}

pub(super) fn dump_rules(body: &mut Body<'_>) {
    nfgen(body, INET, 0);
    body.text(RULE_TABLE, TABLE);
}

/// `None` for a table without our user data.
pub(super) fn parse_table(message: &Message<'_>) -> Result<Option<Label>, Malformed> {
    for attribute in attributes(after(message.payload, NFGEN_BYTES)?) {
        let attribute = attribute?;
        if attribute.kind != TABLE_USERDATA {
            continue;
        }
        let Some((header, item)) = attribute.value.split_first_chunk::<2>() else { continue };
        let Some((digest, shape)) = item.split_first_chunk::<DIGEST_BYTES>() else { continue };
        let shape = shape.try_into();
        if let (&[USERDATA_TYPE, 64], Ok(shape)) = (header, shape) {
            return Ok(Some(Label { digest: *digest, shape }));
        }
    }
    Ok(None)
}

/// Writes the transaction that replaces our table; returns the number of the last message that is acknowledged.
pub(super) fn replace(encoder: &mut Encoder, first: u32, table: &Table, digest: &[u8; DIGEST_BYTES]) -> u32 {
    let mut writer = Writer { encoder, next: first };
    writer.batch(BATCH_BEGIN);
    // Deleting fails when there is none, so it is made first, without touching an existing one.
    writer.message(NEW_TABLE, uapi::CREATE, |body| body.text(TABLE_NAME, TABLE));
    writer.message(DELETE_TABLE, 0, |body| body.text(TABLE_NAME, TABLE));
    let shape = Shape::of(table, digest).digest();
    writer.message(NEW_TABLE, uapi::CREATE | uapi::EXCL, |body| {
        body.text(TABLE_NAME, TABLE);
        let mut userdata = vec![USERDATA_TYPE, 64];
        userdata.extend_from_slice(digest);
        userdata.extend_from_slice(&shape);
        body.attr(TABLE_USERDATA, &userdata);
    });
    for chain in &table.chains {
        writer.message(NEW_CHAIN, uapi::CREATE, |body| write_chain(body, chain));
    }
    for (set, id) in table.sets.iter().zip(1..) {
        writer.message(NEW_SET, uapi::CREATE, |body| write_set(body, set, id));
        for elements in set.elements.chunks(ELEMENTS_PER_MESSAGE) {
            writer.message(NEW_ELEMENTS, uapi::CREATE, |body| write_elements(body, set.name, elements));
        }
    }
    for (rule, index) in table.rules.iter().zip(0..) {
        let tag = tag(digest, index);
        writer.message(NEW_RULE, uapi::CREATE | uapi::APPEND, |body| write_rule(body, rule, &tag));
    }
    // One more message that changes nothing carries the acknowledgement: whether a table has rules or not, it is the last.
    let last = writer.next;
    writer.message(NEW_TABLE, uapi::CREATE | uapi::ACK, |body| body.text(TABLE_NAME, TABLE));
    writer.batch(BATCH_END);
    last
}

struct Writer<'a> {
    encoder: &'a mut Encoder,
    next: u32,
}

impl Writer<'_> {
    /// Begin and end carry the subsystem; they must not ask for an acknowledgement, which kernels before 6.10 never give.
    fn batch(&mut self, kind: u16) {
        self.encoder.message(kind, 0, self.next, |body| nfgen(body, UNSPECIFIED, SUBSYSTEM));
        self.next = self.next.wrapping_add(1);
    }

    fn message(&mut self, kind: u16, flags: u16, write: impl FnOnce(&mut Body<'_>)) {
        self.encoder.message(kind, flags, self.next, |body| {
            nfgen(body, INET, 0);
            write(body);
        });
        self.next = self.next.wrapping_add(1);
    }
}

fn nfgen(body: &mut Body<'_>, family: u8, resource: u16) {
    let [high, low] = resource.to_be_bytes();
    body.header(&[family, 0, high, low]);
}

fn write_chain(body: &mut Body<'_>, chain: &Chain) {
    body.text(CHAIN_TABLE, TABLE);
    body.text(CHAIN_NAME, &chain.name);
    body.nest(CHAIN_HOOK, |nest| {
        nest.be32(HOOK_NUMBER, chain.hook);
        nest.be32(HOOK_PRIORITY, chain.priority.cast_unsigned());
    });
    body.be32(CHAIN_POLICY, chain.policy);
    body.text(CHAIN_TYPE, &chain.kind);
}

fn write_set(body: &mut Body<'_>, set: &Set, id: u32) {
    body.text(SET_TABLE, TABLE);
    body.text(SET_NAME, set.name);
    body.be32(SET_FLAGS, CONSTANT);
    body.be32(SET_KEY_TYPE, set.key_type);
    body.be32(SET_KEY_BYTES, set.key_bytes);
    body.be32(SET_ID, id);
    let size = u32::try_from(set.elements.len()).unwrap_or(u32::MAX);
    body.nest(SET_DESCRIPTION, |nest| nest.be32(DESCRIPTION_SIZE, size));
}

fn write_elements(body: &mut Body<'_>, set: &str, elements: &[Vec<u8>]) {
    body.text(ELEMENTS_TABLE, TABLE);
    body.text(ELEMENTS_SET, set);
    body.nest(ELEMENTS_LIST, |list| {
        for element in elements {
            list.nest(LIST_ELEMENT, |item| value(item, ELEMENT_KEY, element));
        }
    });
}

fn write_rule(body: &mut Body<'_>, rule: &Rule, tag: &[u8]) {
    body.text(RULE_TABLE, TABLE);
    body.text(RULE_CHAIN, rule.chain);
    body.nest(RULE_EXPRESSIONS, |list| {
        for expression in &rule.expressions {
            list.nest(LIST_ELEMENT, |item| write_expression(item, expression));
        }
    });
    body.attr(RULE_USERDATA, tag);
}

fn write_expression(item: &mut Body<'_>, expression: &Expression) {
    let name = match expression {
        Expression::Meta { .. } | Expression::MetaSet { .. } => "meta",
        Expression::Payload { .. } => "payload",
        Expression::CtState { .. } | Expression::CtOriginal { .. } => "ct",
        Expression::Mask { .. } => "bitwise",
        Expression::Equal { .. }
        | Expression::NotEqual { .. }
        | Expression::AtMost { .. }
        | Expression::AtLeast { .. } => "cmp",
        Expression::Lookup { .. } => "lookup",
        Expression::Accept | Expression::Drop | Expression::Load { .. } => "immediate",
        Expression::SourceNat { .. } => "nat",
        Expression::Notrack => "notrack",
        Expression::Masquerade => "masq",
    };
    item.text(EXPRESSION_NAME, name);
    item.nest(EXPRESSION_DATA, |data| write_expression_data(data, expression));
}

/// The attribute numbers are those of the expression: `NFTA_META_*`, `NFTA_PAYLOAD_*`, `NFTA_CT_*`, `NFTA_BITWISE_*`,
/// `NFTA_CMP_*`, `NFTA_LOOKUP_*`, `NFTA_IMMEDIATE_*`.
fn write_expression_data(data: &mut Body<'_>, expression: &Expression) {
    match expression {
        Expression::Meta { key, register } => {
            data.be32(1, *register);
            data.be32(2, *key);
        }
        Expression::Payload { base, offset, bytes, register } => {
            data.be32(1, *register);
            data.be32(2, if *base == Base::Network { 1 } else { 2 });
            data.be32(3, *offset);
            data.be32(4, *bytes);
        }
        Expression::CtState { register } => {
            data.be32(1, *register);
            data.be32(2, CT_STATE);
        }
        Expression::CtOriginal { key, register } => {
            data.be32(1, *register);
            data.be32(2, *key);
            data.u8(3, DIRECTION_ORIGINAL);
        }
        Expression::Mask { register, mask } => {
            data.be32(1, *register);
            data.be32(2, *register);
            data.be32(3, u32::try_from(mask.len()).unwrap_or(0));
            value(data, 4, mask);
            value(data, 5, &vec![0; mask.len()]);
        }
        Expression::Equal { register, value } => compare(data, *register, CMP_EQUAL, value),
        Expression::NotEqual { register, value } => compare(data, *register, CMP_NOT_EQUAL, value),
        Expression::AtMost { register, value } => compare(data, *register, CMP_AT_MOST, value),
        Expression::AtLeast { register, value } => compare(data, *register, CMP_AT_LEAST, value),
        Expression::Load { register, value: bytes } => {
            data.be32(1, *register);
            value(data, 2, bytes);
        }
        Expression::MetaSet { key, register } => {
            data.be32(2, *key);
            data.be32(3, *register);
        }
        Expression::SourceNat { nfproto, register } => {
            data.be32(1, NAT_SOURCE);
            data.be32(2, u32::from(*nfproto));
            data.be32(3, *register);
        }
        Expression::Lookup { set, register } => {
            data.text(1, set);
            data.be32(2, *register);
        }
        Expression::Accept => write_verdict(data, ACCEPT),
        Expression::Drop => write_verdict(data, DROP),
        Expression::Notrack | Expression::Masquerade => {}
    }
}

fn write_verdict(data: &mut Body<'_>, code: u32) {
    data.be32(1, REG_VERDICT);
    data.nest(2, |nest| nest.nest(DATA_VERDICT, |verdict| verdict.be32(VERDICT_CODE, code)));
}

fn compare(data: &mut Body<'_>, register: u32, operation: u32, expected: &[u8]) {
    data.be32(1, register);
    data.be32(2, operation);
    value(data, 3, expected);
}

fn value(body: &mut Body<'_>, kind: u16, bytes: &[u8]) {
    body.nest(kind, |nest| nest.attr(DATA_VALUE, bytes));
}

fn be32(attribute: &Attribute<'_>) -> Result<u32, Malformed> {
    attribute.u32().map(u32::from_be)
}

#[cfg(test)]
mod tests;
