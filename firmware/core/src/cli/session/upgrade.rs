//! `upgrade ...`, `show upgrade`, and an upgrade that a program on the line sends.

use super::super::grammar::{Pipe, Upgrade};
use super::super::show::upgrade;
use super::super::transfer::{Digest, Message};
use super::{Job, Output, Question, Session, print};
use crate::director::protocol::{Recalled, Reply, Request};
use crate::director::upgrading::UpgradeAsk;
use crate::store::StoreError;
use crate::upgrade::fetch::Url;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

impl Session {
    pub(super) fn upgrade(&mut self, what: Upgrade, args: &[String], out: &mut Vec<Output>) {
        let ask = match what {
            Upgrade::From => match args.first().map_or("", String::as_str).parse::<Url>() {
                Ok(url) => UpgradeAsk::From(url),
                Err(why) => return self.say(out, &format!("This is no place to fetch from: {why}.")),
            },
            Upgrade::Cancel => UpgradeAsk::Cancel,
            Upgrade::Cluster => UpgradeAsk::Cluster,
            Upgrade::Confirm => UpgradeAsk::Confirm,
            Upgrade::Boot => {
                if self.changed() {
                    print::line(out, "The candidate has changes that are not committed; they will be lost.");
                }
                self.question = Some(Question::UpgradeBoot);
                return;
            }
        };
        self.ask(Job::Upgrade, Request::Upgrade(ask), out);
    }

    pub(super) fn systems(
        &mut self,
        result: Result<Recalled, StoreError>,
        pipes: &[Pipe],
        out: &mut Vec<Output>,
    ) {
        match result {
            Ok(Recalled::Systems(systems, now)) => {
                let lines = if pipes.first() == Some(&Pipe::Json) {
                    upgrade::json(&systems, &now).lines().map(ToString::to_string).collect()
                } else {
                    upgrade::lines(&systems, &now, self.width)
                };
                self.filtered(&lines, pipes, "nothing is known", out);
            }
            // Excluded by what was asked.
            Ok(
                Recalled::List(..)
                | Recalled::Lineage(_)
                | Recalled::Usage(_)
                | Recalled::Commit { .. }
                | Recalled::Rescue(_),
            ) => {}
            Err(error) => self.say(out, &format!("{error}.")),
        }
    }

    /// A program on the line asks about an upgrade. The director answers: it has the bytes.
    pub(super) fn upload(&mut self, message: Message, out: &mut Vec<Output>) {
        let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let (digest, ask) = match message {
            Message::Offer { length, sha256 } => (None, UpgradeAsk::Offer { length: wide(length), sha256 }),
            Message::Data { offset, bytes } => (None, UpgradeAsk::Block { offset: wide(offset), bytes }),
            Message::End(sha256) => (Some(sha256), UpgradeAsk::End { sha256 }),
            // Nothing else is handed on.
            Message::Hello
            | Message::Version(_)
            | Message::Push { .. }
            | Message::Have(_)
            | Message::Taken(_)
            | Message::Refused(_)
            | Message::Get(_)
            | Message::Block { .. }
            | Message::Run { .. }
            | Message::Quit => return,
        };
        self.ask(Job::Upload(digest), Request::Upgrade(ask), out);
    }

    pub(super) fn uploaded(&mut self, digest: Option<Digest>, reply: Reply, out: &mut Vec<Output>) {
        let answer = match (reply, digest) {
            (Reply::Have(have), _) => Message::Have(usize::try_from(have).unwrap_or(usize::MAX)),
            (Reply::Done { .. }, Some(digest)) => Message::Taken(digest),
            (Reply::Refused { reason, .. }, _) => Message::Refused(reason),
            (_, _) => return,
        };
        print::raw(out, &answer.emit());
    }
}
