//! Taking an upgrade: what is under way, what was refused, and when the box starts the other system.
//!
//! ```text
//! Idle --from URL, or a program on the serial line--> Receiving --all came--> Checking --whole--> Ready
//!   ^                                                     |                       |                 |
//!   +---------- refused, cancelled, silent for IDLE ------+-----------------------+     upgrade boot: trial, reboot
//! ```
//! The bytes go to the slot that does not run, and nothing points to it before `upgrade boot`. A system that has not proven
//! itself takes none: the other slot is what the box falls back on.

use super::Director;
use super::event::{Effect, Level};
use super::protocol::{Power, Reply, SessionId};
use super::requests::answer;
use super::rollout::BUNDLE;
use crate::model::{Millis, Mono};
use crate::store::StoreError;
use crate::upgrade::environment::Slot;
use crate::upgrade::fetch::Url;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A program on the serial line may be silent for so long. Chosen: to plug a cable into another box and back.
const IDLE: Millis = Millis::from_secs(600);
/// Bytes of a block from the serial line or the other box, at most.
pub const BLOCK_MAX: usize = 32 * 1024;
/// Consoles are told of the progress in such parts of the whole.
const QUARTERS: u64 = 4;

/// What a console asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum UpgradeAsk {
    /// Fetch it from there.
    From(Url),
    /// A program on the serial line has one of so many bytes with this digest: begin, or say how much is here.
    Offer {
        /// Bytes of the bundle.
        length: u64,
        /// SHA-256 of the bundle.
        sha256: [u8; 32],
    },
    /// The next bytes of the one that was offered.
    Block {
        /// Where they belong.
        offset: u64,
        /// At most [`BLOCK_MAX`].
        bytes: Vec<u8>,
    },
    /// All of the one that was offered came.
    End {
        /// Which.
        sha256: [u8; 32],
    },
    /// Stop taking it, or take a planned trial back.
    Cancel,
    /// Give the system in the other slot a trial, and reboot.
    Boot,
    /// Keep the system that is on trial.
    Confirm,
    /// Start what is in the other slot on both boxes of the pair, one after the other.
    Cluster,
}

/// What the platform does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Task {
    /// Download a bundle into this slot.
    Fetch {
        /// From there.
        url: Url,
        /// The slot that does not run.
        slot: Slot,
    },
    /// Get ready for blocks.
    Receive {
        /// The slot that does not run.
        slot: Slot,
    },
    /// The next bytes; answered by [`News::Came`].
    Block(Vec<u8>),
    /// All bytes were given; answered by [`News::Ended`].
    End,
    /// Read the bundle that is in this slot from here on; answered by [`News::Piece`].
    Read {
        /// The slot that does not run.
        slot: Slot,
        /// Bytes before it.
        at: u64,
    },
    /// Stop; answered by [`News::Ended`] unless it has ended already.
    Cancel,
}

/// What the platform says of a [`Task`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum News {
    /// So much was written.
    Came {
        /// Bytes of the bundle.
        have: u64,
        /// Of so many, and its version, once its head was read and found good.
        of: Option<(u64, String)>,
    },
    /// It is over: the slot holds this version, whole, or why not.
    Ended(Result<String, String>),
    /// Where, at most [`BLOCK_MAX`] bytes of a bundle, and how long the whole is; or why not.
    Piece(Result<(u64, Vec<u8>, u64), String>),
}

/// What the boot loader is to be told beside [`Effect::Prove`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Give the system in this slot a trial, when it is whole.
    Try(Slot),
    /// Plan no trial.
    Settle,
}

/// How far an upgrade is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Progress {
    /// None was taken since the director started.
    #[default]
    Idle,
    /// Bytes come.
    Receiving {
        /// From where, in words.
        from: String,
        /// Bytes that came.
        have: u64,
        /// Of so many, and its version, once that is known.
        of: Option<(u64, String)>,
    },
    /// It is in the other slot, whole.
    Ready {
        /// Its version.
        version: String,
    },
    /// It was refused or broke off.
    Failed {
        /// Why.
        why: String,
    },
}

/// An upgrade from the serial line.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Offered {
    length: u64,
    sha256: [u8; 32],
    /// Bytes handed to the platform.
    given: u64,
    /// Until when the next block must come.
    until: Mono,
}

/// Why the boot loader is told something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ordered {
    /// `upgrade boot` of this console.
    Boot(SessionId),
    /// `upgrade cancel` of this console.
    Cancel(SessionId),
    /// A trial that was not won.
    GiveUp,
    /// This box's turn in the upgrade of both.
    Rollout,
    /// It was this box's turn, and is not any more.
    Back,
}

#[derive(Debug, Default)]
pub(super) struct Upgrading {
    progress: Progress,
    offered: Option<Offered>,
    /// Who waits for a block or the end.
    waiter: Option<SessionId>,
    order: Option<Ordered>,
    /// Quarters that consoles were told of.
    told: u64,
    /// A digest whose bundle was taken: the answer may have been lost.
    taken: Option<[u8; 32]>,
}

impl Upgrading {
    pub(super) fn busy(&self) -> bool {
        matches!(self.progress, Progress::Receiving { .. })
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.offered.as_ref().map(|offered| offered.until)
    }

    fn begin(&mut self, from: String) {
        self.progress = Progress::Receiving { from, have: 0, of: None };
        (self.told, self.taken) = (0, None);
    }
}

fn refuse(session: SessionId, reason: impl Into<String>, out: &mut Vec<Effect>) {
    answer(session, Reply::Refused { reason: reason.into(), findings: Vec::new() }, out);
}

fn done(session: SessionId, text: impl Into<String>, out: &mut Vec<Effect>) {
    answer(session, Reply::Done { text: text.into() }, out);
}

impl Director {
    pub(super) fn upgrade_asked(
        &mut self,
        session: SessionId,
        ask: UpgradeAsk,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        let takes = matches!(ask, UpgradeAsk::From(_) | UpgradeAsk::Offer { .. } | UpgradeAsk::Boot);
        if takes && session != BUNDLE && self.rolling.busy() {
            let why = "both boxes are being upgraded: see show upgrade, or upgrade cancel";
            return refuse(session, why, out);
        }
        match ask {
            UpgradeAsk::Cluster => self.roll_out(session, now, out),
            UpgradeAsk::From(url) => match self.idle_slot() {
                Ok(slot) => {
                    self.log(Level::Notice, format!("upgrade from {url} into slot {}", slot.letter()), out);
                    self.upgrading.begin(url.to_string());
                    done(
                        session,
                        format!(
                            "fetching {url} into slot {}; show upgrade says how far it is",
                            slot.letter()
                        ),
                        out,
                    );
                    out.push(Effect::Upgrade(Task::Fetch { url, slot }));
                }
                Err(why) => refuse(session, why, out),
            },
            UpgradeAsk::Offer { length, sha256 } => self.offered(session, length, sha256, now, out),
            UpgradeAsk::Block { offset, bytes } => self.block(session, offset, bytes, now, out),
            UpgradeAsk::End { sha256 } => self.all_came(session, sha256, out),
            UpgradeAsk::Cancel => self.cancel_upgrade(session, now, out),
            UpgradeAsk::Boot => match self.idle_slot() {
                Ok(_) if self.transaction.is_some() || self.trial.is_some() => {
                    refuse(session, "a commit waits for its end: confirm it first", out);
                }
                Ok(slot) => self.order(Ordered::Boot(session), Order::Try(slot), out),
                Err(why) => refuse(session, why, out),
            },
            UpgradeAsk::Confirm => match self.confirm_system(out) {
                Ok(()) => done(session, "the boot loader is being told that this system stays", out),
                Err(why) => refuse(session, why, out),
            },
        }
    }

    /// The slot that does not run, when it may be written.
    pub(super) fn idle_slot(&self) -> Result<Slot, String> {
        let running = self.system.settled()?;
        if self.upgrading.busy() {
            return Err("an upgrade is under way: see show upgrade, or upgrade cancel".to_string());
        }
        if self.upgrading.order.is_some() {
            return Err("the boot loader is being told something; try again in a moment".to_string());
        }
        if self.stopping || self.resetting {
            return Err("the director is stopping".to_string());
        }
        if !self.start.flash {
            return Err(StoreError::NoDevice.to_string());
        }
        Ok(running.slot.other())
    }

    fn offered(
        &mut self,
        session: SessionId,
        length: u64,
        sha256: [u8; 32],
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        let until = now.after(IDLE);
        if let Some(offered) =
            self.upgrading.offered.as_mut().filter(|o| (o.length, o.sha256) == (length, sha256))
        {
            offered.until = until;
            return answer(session, Reply::Have(offered.given), out);
        }
        if self.upgrading.taken == Some(sha256) {
            return answer(session, Reply::Have(length), out);
        }
        match self.idle_slot() {
            Ok(slot) => {
                let text = format!("upgrade over the serial line into slot {}", slot.letter());
                self.log(Level::Notice, text, out);
                self.upgrading.begin("the serial line".to_string());
                self.upgrading.offered = Some(Offered { length, sha256, given: 0, until });
                out.push(Effect::Upgrade(Task::Receive { slot }));
                answer(session, Reply::Have(0), out);
            }
            Err(why) => refuse(session, why, out),
        }
    }

    fn block(&mut self, session: SessionId, offset: u64, bytes: Vec<u8>, now: Mono, out: &mut Vec<Effect>) {
        let Some(offered) = &mut self.upgrading.offered else {
            return refuse(session, self.upgrading.failure(), out);
        };
        offered.until = now.after(IDLE);
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let fits = bytes.len() <= BLOCK_MAX && size <= offered.length.saturating_sub(offered.given);
        // One at a time: the next is taken when this one was written.
        if offset != offered.given || !fits || bytes.is_empty() || self.upgrading.waiter.is_some() {
            return answer(session, Reply::Have(offered.given), out);
        }
        offered.given = offered.given.saturating_add(size);
        self.upgrading.waiter = Some(session);
        out.push(Effect::Upgrade(Task::Block(bytes)));
    }

    fn all_came(&mut self, session: SessionId, sha256: [u8; 32], out: &mut Vec<Effect>) {
        if self.upgrading.taken == Some(sha256) {
            return done(session, "it is in the other slot", out);
        }
        match &self.upgrading.offered {
            None => refuse(session, self.upgrading.failure(), out),
            Some(offered) if offered.sha256 != sha256 => {
                refuse(session, "another upgrade is being sent", out);
            }
            Some(offered) if offered.given < offered.length || self.upgrading.waiter.is_some() => {
                answer(session, Reply::Have(offered.given), out);
            }
            Some(_) => {
                self.upgrading.waiter = Some(session);
                out.push(Effect::Upgrade(Task::End));
            }
        }
    }

    fn cancel_upgrade(&mut self, session: SessionId, now: Mono, out: &mut Vec<Effect>) {
        if self.rolling.busy() {
            self.end_rollout("it was cancelled on a console", now, out);
            return done(session, "no further step is taken: show upgrade", out);
        }
        if self.upgrading.busy() {
            self.log(Level::Notice, "upgrade cancelled on the console", out);
            out.push(Effect::Upgrade(Task::Cancel));
            return done(session, "the upgrade is being stopped; the system that runs stays", out);
        }
        match self.idle_slot() {
            Ok(_) => self.order(Ordered::Cancel(session), Order::Settle, out),
            Err(why) => refuse(session, why, out),
        }
    }

    pub(super) fn order(&mut self, why: Ordered, order: Order, out: &mut Vec<Effect>) {
        self.upgrading.order = Some(why);
        out.push(Effect::Order(order));
    }

    /// The platform says how an upgrade goes.
    pub(super) fn on_upgrade(&mut self, news: News, now: Mono, out: &mut Vec<Effect>) {
        match news {
            News::Came { have: came, of: whole } => {
                let Progress::Receiving { have, of, .. } = &mut self.upgrading.progress else { return };
                (*have, *of) = (came, whole);
                let quarter = of.as_ref().and_then(|(of, _)| came.saturating_mul(QUARTERS).checked_div(*of));
                let quarter = quarter.unwrap_or(0).min(QUARTERS.saturating_sub(1));
                if quarter > self.upgrading.told {
                    self.upgrading.told = quarter;
                    let percent = quarter.saturating_mul(100).checked_div(QUARTERS).unwrap_or(0);
                    // Who sends it over the line sees it there.
                    if self.upgrading.offered.is_none() {
                        out.push(Effect::Notify { but: None, text: format!("Upgrade: {percent} % came.") });
                    }
                }
                if let Some(session) = self.upgrading.waiter.take() {
                    answer(session, Reply::Have(came), out);
                }
            }
            News::Ended(result) => self.upgrade_ended(result, out),
            News::Piece(result) => self.piece_read(result, now, out),
        }
    }

    fn upgrade_ended(&mut self, result: Result<String, String>, out: &mut Vec<Effect>) {
        let waiter = self.upgrading.waiter.take();
        let offered = self.upgrading.offered.take();
        let (level, text) = match result {
            Ok(version) => {
                let text = format!("version {version} is in the other slot, whole: upgrade boot starts it");
                if let Some(session) = waiter {
                    done(session, text.clone(), out);
                }
                self.upgrading.taken = offered.map(|o| o.sha256);
                self.upgrading.progress = Progress::Ready { version };
                (Level::Notice, format!("Upgrade: {text}."))
            }
            Err(why) => {
                if let Some(session) = waiter {
                    refuse(session, why.clone(), out);
                }
                let text = format!("Upgrade refused: {why}. The system that runs is unchanged.");
                self.upgrading.progress = Progress::Failed { why };
                (Level::Error, text)
            }
        };
        self.log(level, text.clone(), out);
        out.push(Effect::Notify { but: None, text });
    }

    /// The boot loader was told, or could not be.
    pub(super) fn on_ordered(&mut self, result: Result<(), StoreError>, now: Mono, out: &mut Vec<Effect>) {
        match (self.upgrading.order.take(), result) {
            (Some(Ordered::Boot(session)), Ok(())) => {
                self.log(Level::Notice, "the other system slot is tried next; rebooting", out);
                done(session, "the other system gets a trial; rebooting", out);
                out.push(Effect::Power(Power::Reboot));
            }
            (Some(Ordered::Cancel(session)), Ok(())) => done(session, "no trial is planned", out),
            (Some(Ordered::GiveUp), Ok(())) => {
                self.log(Level::Error, "the trial is over: the other system slot runs again; rebooting", out);
                out.push(Effect::Power(Power::Reboot));
            }
            (Some(Ordered::Boot(session) | Ordered::Cancel(session)), Err(error)) => {
                refuse(session, error.to_string(), out);
            }
            (Some(Ordered::GiveUp), Err(error)) => {
                // The boot loader counts this boot all the same.
                self.log(Level::Error, format!("the boot loader cannot be told: {error}; rebooting"), out);
                out.push(Effect::Power(Power::Reboot));
            }
            (Some(Ordered::Rollout), Ok(())) => self.rollout_ordered(now, out),
            (Some(Ordered::Rollout | Ordered::Back), Err(error)) => {
                self.log(Level::Error, format!("the boot loader cannot be told: {error}"), out);
                self.end_rollout(&error.to_string(), now, out);
            }
            (Some(Ordered::Back), Ok(())) | (None, _) => {}
        }
    }

    /// Ends a trial that was not won in time.
    pub(super) fn give_system_up(&mut self, out: &mut Vec<Effect>) {
        if self.upgrading.order.is_none() {
            self.order(Ordered::GiveUp, Order::Settle, out);
        }
    }

    /// Nobody sent a block for long.
    pub(super) fn upgrade_due(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if self.upgrading.offered.as_ref().is_some_and(|offered| offered.until <= now) {
            self.upgrading.offered = None;
            out.push(Effect::Upgrade(Task::Cancel));
        }
    }
}

impl Upgrading {
    fn failure(&self) -> String {
        match &self.progress {
            Progress::Failed { why } => why.clone(),
            Progress::Idle | Progress::Receiving { .. } | Progress::Ready { .. } => {
                "no upgrade is being sent: begin again".to_string()
            }
        }
    }
}
