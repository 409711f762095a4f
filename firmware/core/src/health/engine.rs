//! The two levels joined: probes on their schedule, verdicts fed by them.

use super::checkpoint::{Checkpoint, Saved, SavedMembers};
use super::load::{Gauges, LoadStatus};
use super::schedule::{End, ProbeKey, ProbeNo, Schedule};
use super::seat::{Seat, deciding, joined};
use super::targets::{MemberKey, SeatKey, Target, load_probes, targets};
use super::verdict::{Change, Machine, Rule};
use super::{Failure, Output, ProbeId, ProbeOutcome, ProbeSpec, State, Verdict};
use crate::gather::Gather as _;
use crate::model::{Config, Millis, Mono, Name};
use crate::store::identity::Role;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use pools::Watched;

/// Microseconds between the time something was due and the call that does it, from which on the process counts as
/// having stood still. Chosen: 200 times what one call of the main loop may take (design section 3).
pub const STALL_US: u64 = 1_000_000;
/// Most starts and deadlines handled in one call, so that a call stays under 5 ms; the rest is due at once again.
pub const STEPS_PER_CALL: usize = 512;
/// Pause between two looks for stale checks. Chosen: short beside three intervals of a second, long beside the time it takes
/// to look at 20,000 checks.
const LOOK_AGAIN: Millis = Millis::from_secs(1);
/// Most alarms put in words; the others are counted.
pub const ALARMS_MAX: usize = 8;

#[derive(Clone, Debug)]
pub(super) struct Member {
    key: MemberKey,
    address: IpAddr,
    /// `None`: no check.
    asked: Option<Asked>,
    rule: Rule,
    machine: Machine,
    /// Its entry in the timers. May be earlier than needed, never later: a healthy server then costs one timer per dead
    /// time and not one per answer.
    armed: Option<Mono>,
}

#[derive(Clone, Debug)]
struct Asked {
    probe: ProbeNo,
    key: Arc<ProbeKey>,
}

/// Number of a member, never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct MemberNo(u64);

mod pools;
mod sight;

type Timers = BTreeSet<(Mono, MemberNo)>;

/// Health of all servers in all pools.
///
/// Verdicts are per (pool, server, checked port): where a pool serves 80 and 443 and has no check port of its own, a
/// server whose 443 is dead keeps its place on 80. With a check port, one verdict serves all ports of the member.
#[derive(Clone, Debug)]
pub struct Health {
    schedule: Schedule,
    members: BTreeMap<MemberNo, Member>,
    by_key: BTreeMap<MemberKey, MemberNo>,
    seats: BTreeMap<SeatKey, Seat>,
    /// Members that changed and whose seats have not looked yet.
    touched: Vec<(MemberKey, Change)>,
    /// Pools with settings for them as a whole.
    pools: BTreeMap<Name, Watched>,
    /// Pools in which something changed.
    stirred: BTreeSet<Name>,
    /// When a weight grows or a server leaves the table.
    steps: BTreeSet<(Mono, SeatKey)>,
    /// Whether this box holds the floating addresses.
    active: bool,
    /// The node that this box is: its name and addresses go into the questions.
    role: Role,
    /// Load monitors, and whose load a probe tells.
    loads: Gauges,
    load_of: BTreeMap<ProbeNo, Vec<Name>>,
    /// Who is fed by a probe.
    users: BTreeMap<ProbeNo, Vec<MemberNo>>,
    timers: Timers,
    /// Pools with a check port of their own.
    check_ports: BTreeMap<Name, u16>,
    last_member: u64,
    /// What an earlier process knew, until the first configuration takes it.
    resume: Option<Checkpoint>,
    /// The last call.
    seen: Mono,
    /// Whether a check was stale when that was looked at.
    blind: bool,
    /// It need not be looked at before: no check can be stale, or it was just looked at.
    look: Mono,
}

impl Health {
    /// Nothing configured. A checkpoint of an earlier process of this boot is taken up by the first
    /// [`Self::configure`], for the members that are still asked the same.
    #[must_use]
    pub fn new(resume: Option<&Checkpoint>, now: Mono) -> Self {
        // From the future: not of this boot.
        let resume = resume.filter(|saved| saved.at <= now).cloned();
        Self {
            schedule: Schedule::new(resume.as_ref().map_or(0, |saved| saved.last_run)),
            members: BTreeMap::new(),
            by_key: BTreeMap::new(),
            seats: BTreeMap::new(),
            touched: Vec::new(),
            pools: BTreeMap::new(),
            stirred: BTreeSet::new(),
            steps: BTreeSet::new(),
            active: true,
            role: Role::Primary,
            loads: Gauges::default(),
            load_of: BTreeMap::new(),
            users: BTreeMap::new(),
            timers: BTreeSet::new(),
            check_ports: BTreeMap::new(),
            last_member: 0,
            resume,
            seen: now,
            blind: false,
            look: now,
        }
    }

    /// Says which node this box is, before the first configuration.
    pub const fn identify(&mut self, role: Role) {
        self.role = role;
    }

    /// Says whether this box holds the floating addresses. True: that is news for a configuration with a
    /// `standby-interval`, so configure again.
    pub const fn activate(&mut self, active: bool) -> bool {
        let before = core::mem::replace(&mut self.active, active);
        before != active
    }

    /// Takes a configuration. What is asked and judged as before goes on undisturbed; the same configuration twice
    /// changes nothing. Changed thresholds judge what was already seen. The first runs are due at
    /// [`Self::next_deadline`], which is `now` when there are new probes.
    pub fn configure(&mut self, config: &Config, now: Mono, out: &mut Vec<Output>) {
        self.wake_up(now);
        let node = match (self.role, &config.backup) {
            (Role::Backup, Some(backup)) => backup,
            (Role::Backup, None) | (Role::Primary, _) => &config.primary,
        };
        let wanted = targets(config, node, self.active);
        self.check_ports = config
            .pools
            .iter()
            .filter_map(|(name, pool)| pool.check_port.map(|port| (name.clone(), port)))
            .gather();
        self.look = now;
        self.schedule.begin_round();
        let probes: Vec<Option<ProbeNo>> = wanted
            .values()
            .map(|target| target.probe.as_ref().map(|key| self.schedule.want(key, now)))
            .collect();
        self.load_of.clear();
        for (server, key) in load_probes(config) {
            let no = self.schedule.want(&key, now);
            self.load_of.entry(no).or_default().push(server.clone());
        }
        let saved_loads = self.resume.as_mut().and_then(|saved| saved.loads.take());
        self.loads.configure(config, saved_loads, now);
        self.schedule.end_round(now);
        self.remove_unwanted(&wanted);
        self.users.clear();
        let mut saved = self.resume.take().map(SavedMembers::from);
        self.seats.retain(|_, seat| seat.forget_parts());
        let mut new_seats = BTreeSet::new();
        for ((key, target), probe) in wanted.into_iter().zip(probes) {
            let seat = key.seat();
            let name = key.check.clone();
            let fresh = !self.seats.contains_key(&seat) || new_seats.contains(&seat);
            if fresh {
                new_seats.insert(seat.clone());
            }
            let no = match self.by_key.get(&key) {
                Some(no) => *no,
                None => self.add(key, &target, probe, saved.as_mut(), now),
            };
            let restored = saved.as_mut().filter(|_| fresh).and_then(|saved| saved.take_seat(&seat));
            let entry = self.seats.entry(seat).or_default();
            if let Some(restored) = restored {
                Self::restore_seat(entry, &restored);
            }
            entry.add_part(no, name, target.join);
            if fresh {
                // What an earlier process knew was told by it.
                entry.adopt(joined(entry, &self.members), now);
            }
            self.retarget(no, &target, probe, now);
            if let Some(probe) = probe {
                self.users.entry(probe).or_default().push(no);
            }
        }
        self.seats.retain(|_, seat| seat.has_parts());
        self.steps.retain(|(_, key)| self.seats.contains_key(key));
        self.configure_pools(config, saved.map(|saved| saved.pools).unwrap_or_default());
        self.rejoin_all(now, out);
    }

    /// Seats whose checks came, went or changed.
    fn rejoin_all(&mut self, now: Mono, out: &mut Vec<Output>) {
        self.rejoin(now, out);
        for (key, seat) in &mut self.seats {
            let to = joined(seat, &self.members);
            if seat.enter(key, to, now, out, || String::from("its checks were changed")) {
                self.stirred.insert(key.pool.clone());
            }
        }
        self.regroup(now, out);
    }

    /// Lets the seats of changed members look at them.
    fn rejoin(&mut self, now: Mono, out: &mut Vec<Output>) {
        for (key, change) in core::mem::take(&mut self.touched) {
            let place = key.seat();
            let Some(seat) = self.seats.get_mut(&place) else { continue };
            let to = if seat.is_single() { change.to } else { joined(seat, &self.members) };
            let reason = || key.label(&change.reason);
            if seat.enter(&place, to, now, out, reason) && self.pools.contains_key(&place.pool) {
                self.stirred.insert(place.pool);
            }
        }
    }

    fn remove_unwanted(&mut self, wanted: &BTreeMap<MemberKey, Target>) {
        let members = &mut self.members;
        let timers = &mut self.timers;
        self.by_key.retain(|key, no| {
            let same_address = |m: &Member| wanted.get(key).is_some_and(|t| t.address == m.address);
            let keep = members.get(no).is_some_and(same_address);
            if !keep && let Some(at) = members.remove(no).and_then(|member| member.armed) {
                timers.remove(&(at, *no));
            }
            keep
        });
    }

    /// A member that was not there: as it was saved, when it is asked the same, else unknown.
    fn add(
        &mut self,
        key: MemberKey,
        target: &Target,
        probe: Option<ProbeNo>,
        saved: Option<&mut SavedMembers>,
        now: Mono,
    ) -> MemberNo {
        let asked = self.asked(probe);
        let spec = asked.as_ref().map(|a| &a.key.spec);
        let machine = saved
            .and_then(|saved| saved.take(&key, target.address, spec, now))
            .unwrap_or_else(|| Machine::new(now, self.first_start(probe, now)));
        self.last_member = self.last_member.saturating_add(1);
        let no = MemberNo(self.last_member);
        self.by_key.insert(key.clone(), no);
        let address = target.address;
        self.members.insert(no, Member { key, address, asked, rule: target.rule, machine, armed: None });
        no
    }

    /// Gives a member its question and thresholds, and applies what they decide.
    fn retarget(&mut self, no: MemberNo, target: &Target, probe: Option<ProbeNo>, now: Mono) {
        let asked = self.asked(probe);
        let first_start = self.first_start(probe, now);
        let unanswered = self.unanswered(probe);
        let Some(member) = self.members.get_mut(&no) else { return };
        let spec_before = member.asked.as_ref().map(|a| &a.key.spec);
        let changed_question = spec_before != asked.as_ref().map(|a| &a.key.spec);
        member.rule = target.rule;
        member.asked = asked;
        let change = match (&member.asked, changed_question) {
            (None, _) => member.machine.trust(now),
            (Some(_), true) => member.machine.ask_anew(now, first_start),
            (Some(_), false) => member.machine.settle(&member.rule, now, unanswered),
        };
        member.tell(change, &mut self.touched);
        member.arm(no, unanswered, &mut self.timers);
    }

    fn asked(&self, probe: Option<ProbeNo>) -> Option<Asked> {
        let probe = probe?;
        Some(Asked { probe, key: Arc::clone(self.schedule.get(probe)?.key()) })
    }

    fn first_start(&self, probe: Option<ProbeNo>, now: Mono) -> Mono {
        probe.and_then(|no| self.schedule.get(no)).map_or(now, |probe| probe.next().max(now))
    }

    fn unanswered(&self, probe: Option<ProbeNo>) -> Option<Mono> {
        self.schedule.get(probe?)?.unanswered()
    }

    /// A broadcast of rwhod came from this address.
    pub fn broadcast(&mut self, from: IpAddr, datagram: &[u8], now: Mono, out: &mut Vec<Output>) {
        self.wake_up(now);
        self.loads.broadcast(from, datagram, now, out);
    }

    /// The load monitors, by server.
    #[must_use]
    pub fn loads(&self) -> Vec<LoadStatus> {
        self.loads.statuses()
    }

    /// A run ended. An answer to a run that is unknown, over or of a probe that is gone changes nothing.
    pub fn probed(&mut self, id: ProbeId, outcome: ProbeOutcome, now: Mono, out: &mut Vec<Output>) {
        self.wake_up(now);
        if let Some(end) = self.schedule.answer(id, outcome, now) {
            self.judge(&end, now, out);
        }
        self.regroup(now, out);
    }

    /// Does what is due. Call it at [`Self::next_deadline`]; earlier calls do no harm. At most [`STEPS_PER_CALL`]
    /// steps are taken; while more is due, `next_deadline` lies in the past.
    pub fn on_deadline(&mut self, now: Mono, out: &mut Vec<Output>) {
        self.wake_up(now);
        let mut steps = 0;
        // Ends before timers: what is known decides first. Starts last: they find room that ends have made.
        while steps < STEPS_PER_CALL {
            steps += 1;
            if self.step_due(now, out) || self.loads.tick_due(now, out) {
                continue;
            }
            if let Some(end) = self.schedule.lost_due(now) {
                self.judge(&end, now, out);
            } else if let Some(no) = self.timer_due(now) {
                self.settle(no, now, out);
            } else if let Some(start) = self.schedule.start_due(now) {
                self.watch(start.probe);
                out.push(Output::Probe { id: start.id, spec: start.spec, deadline: start.deadline });
            } else {
                break;
            }
        }
        self.regroup(now, out);
    }

    /// When [`Self::on_deadline`] has something to do; `None` while nothing is configured.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let step = self.steps.first().map(|(at, _)| *at);
        let load = self.loads.next_deadline();
        [self.schedule.next_deadline(), timer, step, load].into_iter().flatten().min()
    }

    fn timer_due(&mut self, now: Mono) -> Option<MemberNo> {
        let (at, no) = self.timers.first().copied().filter(|(at, _)| *at <= now)?;
        self.timers.remove(&(at, no));
        if let Some(member) = self.members.get_mut(&no) {
            member.armed = None;
        }
        Some(no)
    }

    fn settle(&mut self, no: MemberNo, now: Mono, out: &mut Vec<Output>) {
        let Some(member) = self.members.get_mut(&no) else { return };
        let unanswered = member.unanswered(&self.schedule);
        let change = member.machine.settle(&member.rule, now, unanswered);
        member.tell(change, &mut self.touched);
        member.arm(no, unanswered, &mut self.timers);
        self.rejoin(now, out);
    }

    /// Feeds the end of a run to everybody who asked.
    fn judge(&mut self, end: &End, now: Mono, out: &mut Vec<Output>) {
        if let Some(said) = &end.load {
            for server in self.load_of.get(&end.probe).into_iter().flatten() {
                self.loads.hear(server, said, now, out);
            }
        }
        for no in self.users.get(&end.probe).into_iter().flatten() {
            let Some(member) = self.members.get_mut(no) else { continue };
            let change = match &end.result {
                Ok(()) => member.machine.outcome(&member.rule, Ok(()), now),
                Err(Failure::Server(words)) => member.machine.outcome(&member.rule, Err(words), now),
                Err(Failure::NotAsked(_)) => {
                    member.machine.skip(end.silent_us, now);
                    None
                }
            };
            member.tell(change, &mut self.touched);
            member.arm(*no, None, &mut self.timers);
        }
        self.rejoin(now, out);
    }

    /// A run started: its hard end may decide about those whose dead time passes meanwhile.
    fn watch(&mut self, probe: ProbeNo) {
        let unanswered = self.schedule.get(probe).and_then(super::schedule::Probe::unanswered);
        for no in self.users.get(&probe).into_iter().flatten() {
            let Some(member) = self.members.get_mut(no) else { continue };
            if member.armed.is_none() {
                member.arm(*no, unanswered, &mut self.timers);
            }
        }
    }

    /// Notices that the process stood still, and keeps that from being taken for the servers' silence.
    fn wake_up(&mut self, now: Mono) {
        let due = self.next_deadline();
        let seen = core::mem::replace(&mut self.seen, now);
        let Some(gap_us) = due.map(|due| now.micros_since(due.max(seen))) else { return };
        if gap_us < STALL_US {
            return;
        }
        self.schedule.wake(now);
        for member in self.members.values_mut() {
            member.machine.stall(gap_us, now);
        }
    }

    /// What a restarted director needs. Cheap enough for each transition of a site of the usual size; it copies every
    /// member.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        if let Some(saved) = &self.resume {
            return saved.clone();
        }
        let save = |member: &Member| Saved {
            key: member.key.clone(),
            address: member.address,
            spec: member.asked.as_ref().map(|a| a.key.spec.clone()),
            machine: member.machine.clone(),
        };
        let members = self.members.values().map(save).collect();
        let (pools, seats) = self.saved_pools();
        let loads = Some(self.loads.saved());
        Checkpoint { at: self.seen, last_run: self.schedule.last_run(), members, pools, seats, loads }
    }

    /// The verdict's state for `port`, the port of its destination in the kernel; `None` for what is not configured.
    #[must_use]
    pub fn state(&self, pool: &Name, server: &Name, port: u16) -> Option<State> {
        self.seats.get(&self.seat_key(pool, server, port)).map(Seat::state)
    }

    /// Whether a server may take new connections on `port`, the port of its destination in the kernel. `false` for what
    /// is not configured.
    #[must_use]
    pub fn usable(&self, pool: &Name, server: &Name, port: u16) -> bool {
        self.state(pool, server, port) == Some(State::Up)
    }

    /// The verdict on a server in a pool; the worst of its ports, which the reason then names. `None` for what is not
    /// configured or checked by nobody (a pool without service and port).
    #[must_use]
    pub fn verdict(&self, pool: &Name, server: &Name) -> Option<Verdict> {
        let key = |port| SeatKey { pool: pool.clone(), server: server.clone(), port };
        let ports = || self.seats.range(key(0)..=key(u16::MAX));
        let several = ports().nth(1).is_some();
        let (key, worst) = ports().min_by_key(|(_, seat)| goodness(seat.state()))?;
        let mut verdict = self.describe(worst);
        if several {
            verdict.reason = format!("port {}: {}", key.port, verdict.reason);
        }
        Some(verdict)
    }

    /// Every verdict: pool, server, checked port. In that order.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Name, u16, Verdict)> {
        self.seats.iter().map(|(key, seat)| (&key.pool, &key.server, key.port, self.describe(seat)))
    }

    fn describe(&self, seat: &Seat) -> Verdict {
        let Some((_, member)) = deciding(seat, &self.members) else {
            let reason = String::from("no check configured");
            return Verdict { state: seat.state(), since: self.seen, reason, checked: None, took_us: None };
        };
        let mut verdict = self.describe_member(member);
        verdict.reason = member.key.label(&verdict.reason);
        verdict
    }

    fn describe_member(&self, member: &Member) -> Verdict {
        let probe = member.asked.as_ref().and_then(|a| self.schedule.get(a.probe));
        Verdict {
            state: member.machine.state(),
            since: member.machine.since(),
            reason: member.machine.reason(&member.rule),
            checked: probe.and_then(|p| p.finished),
            took_us: probe.and_then(|p| p.took_us),
        }
    }

    /// Probes that have not ended for more than three intervals, with their last end. Looks at every probe.
    pub fn stale(&self, now: Mono) -> impl Iterator<Item = (&ProbeSpec, Option<Mono>)> {
        self.schedule.stale(now)
    }

    /// Whether a check has not ended for too long, so that this box does not know what it says about its servers. As of the
    /// last [`Self::look`].
    #[must_use]
    pub const fn is_blind(&self) -> bool {
        self.blind
    }

    /// Looks whether a check is stale. Cheap, because every probe is looked at only when one may be. True: that changed.
    pub fn look(&mut self, now: Mono) -> bool {
        if now < self.look {
            return false;
        }
        let first = self.schedule.first_stale();
        let blind = first.is_some_and(|at| at < now);
        let again = now.after(LOOK_AGAIN);
        self.look = first.map_or(again, |at| at.max(again));
        core::mem::replace(&mut self.blind, blind) != blind
    }

    /// What is wrong with the checking itself, in words; at most [`ALARMS_MAX`] lines and one that counts the rest.
    /// Empty when all is well.
    #[must_use]
    pub fn alarms(&self, now: Mono) -> Vec<String> {
        let mut lines = Vec::new();
        let mut more = 0_usize;
        for (spec, trouble) in self.schedule.troubles(now) {
            if lines.len() >= ALARMS_MAX {
                more += 1;
                continue;
            }
            let target = spec.target;
            let at = spec.at.map(|server| format!(" at {server}")).unwrap_or_default();
            lines.push(format!("check of {target}{at} {}", sight::words(trouble)));
        }
        if more > 0 {
            lines.push(format!("{more} more checks are in trouble"));
        }
        lines.extend(self.loads.alarms().take(ALARMS_MAX));
        lines
    }

    /// Probes configured, and runs under way.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        (self.schedule.len(), self.schedule.in_flight())
    }
}

impl Member {
    pub(super) const fn state(&self) -> State {
        self.machine.state()
    }

    fn unanswered(&self, schedule: &Schedule) -> Option<Mono> {
        schedule.get(self.asked.as_ref()?.probe)?.unanswered()
    }

    fn tell(&self, change: Option<Change>, touched: &mut Vec<(MemberKey, Change)>) {
        if let Some(change) = change {
            touched.push((self.key.clone(), change));
        }
    }

    fn arm(&mut self, no: MemberNo, unanswered: Option<Mono>, timers: &mut Timers) {
        if self.asked.is_none() {
            return;
        }
        let Some(at) = self.machine.next_deadline(&self.rule, unanswered) else { return };
        if let Some(armed) = self.armed {
            if armed <= at {
                return;
            }
            timers.remove(&(armed, no));
        }
        timers.insert((at, no));
        self.armed = Some(at);
    }
}

/// Order of states from bad to good.
pub(super) const fn goodness(state: State) -> u8 {
    match state {
        State::Down => 0,
        State::Unknown => 1,
        State::Reentering { .. } => 2,
        State::Up => 3,
    }
}

#[cfg(test)]
mod tests;
