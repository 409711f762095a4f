//! Our nf_tables table `inet director`: replaced as a whole, in one transaction. Tables of others stay.

mod codec;
mod rules;

use super::netlink::{Channel, Malformed, Message, unless};
use codec::Shape;
use director_core::plan::OpError;
use director_core::plan::desired::Ruleset;
use neli::consts::socket::NlFamily;
use nix::errno::Errno;
use std::io;

/// What is observed for a table of ours that somebody changed, or that is not ours: the digest of no rule set.
const FOREIGN: [u8; 32] = [0; 32];

/// An nfnetlink socket.
#[derive(Debug)]
pub(crate) struct Nft {
    channel: Channel,
}

impl Nft {
    /// Opens the socket.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { channel: Channel::open(NlFamily::Netfilter)? })
    }

    /// The digest of the rule set that the table was made of; all zero when its chains or rules are no longer those that
    /// were made; `None` without a table.
    pub(crate) async fn observe(&mut self) -> Result<Option<[u8; 32]>, OpError> {
        let mut found = None;
        let take = |message: &Message<'_>| codec::parse_table(message).map(|label| found = Some(label));
        let asked = self.channel.get(codec::GET_TABLE, codec::ask_table, take).await;
        unless(asked, &[Errno::ENOENT])?;
        let label = match found {
            None => return Ok(None),
            Some(None) => return Ok(Some(FOREIGN)),
            Some(Some(label)) => label,
        };
        let mut shape = Shape::default();
        let chain =
            |shape: &mut Shape, message: &Message<'_>| -> Result<(), Malformed> { shape.add_chain(message) };
        self.channel.dump(codec::GET_CHAIN, &mut shape, codec::dump_chains, chain, Shape::clear).await?;
        let mut rules = Shape::default();
        let rule =
            |shape: &mut Shape, message: &Message<'_>| -> Result<(), Malformed> { shape.add_rule(message) };
        let dumped =
            self.channel.dump(codec::GET_RULE, &mut rules, codec::dump_rules, rule, Shape::clear).await;
        unless(dumped, &[Errno::ENOENT])?;
        shape.take_rules(rules);
        Ok(Some(if label.fits(shape) { label.digest } else { FOREIGN }))
    }

    /// Replaces the table: all of the new rules at once, or the old ones stay.
    pub(crate) async fn replace(&mut self, ruleset: &Ruleset) -> Result<(), OpError> {
        let (table, digest) = (rules::table(ruleset), ruleset.digest());
        self.channel.transaction(|encoder, first| codec::replace(encoder, first, &table, &digest)).await
    }
}
