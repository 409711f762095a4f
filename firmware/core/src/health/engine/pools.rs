//! Pools as a whole, and servers that left or came back: quorum, panic, slow start, removal.
//!
//! Only pools that have one of these settings cost anything. Their seats are counted again when one of them changed.

use super::Health;
use crate::gather::Gather as _;
use crate::health::Output;
use crate::health::checkpoint::{SavedPool, SavedSeat};
use crate::health::seat::{Seat, SeatRule, is_out};
use crate::health::standing::{Counts, PoolRule, Standing};
use crate::health::targets::{SeatKey, service_ports};
use crate::health::{State, Transition};
use crate::model::config::{Config, Pool};
use crate::model::{Mono, Name};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A pool with settings for it as a whole.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    rule: PoolRule,
    seat_rule: SeatRule,
    /// By the port of the service, or the check port.
    groups: BTreeMap<u16, Group>,
}

/// The servers behind one port of the services of a pool.
#[derive(Clone, Debug, Default)]
struct Group {
    seats: Vec<SeatKey>,
    standing: Standing,
    counts: Counts,
}

impl Health {
    /// Takes the settings of the pools.
    pub(super) fn configure_pools(&mut self, config: &Config, saved: Vec<SavedPool>) {
        let mut before = core::mem::take(&mut self.pools);
        let saved: BTreeMap<(Name, u16), Standing> =
            saved.into_iter().map(|pool| ((pool.name, pool.port), pool.standing)).gather();
        let ports = service_ports(config);
        for (name, pool) in &config.pools {
            let Some(mut watched) = watched(pool) else { continue };
            let of_services = ports.get(name).into_iter().flatten().copied();
            let ports: BTreeSet<u16> = match pool.check_port {
                Some(port) => BTreeSet::from([port]),
                None => of_services.gather(),
            };
            let mut old = before.remove(name);
            for port in ports {
                let old = old.as_mut().and_then(|w| w.groups.remove(&port)).map(|group| group.standing);
                let standing = old.or_else(|| saved.get(&(name.clone(), port)).copied()).unwrap_or_default();
                let seat = |(server, member): (&Name, &crate::model::config::Member)| {
                    let port = pool.check_port.or(member.port).unwrap_or(port);
                    let key = SeatKey { pool: name.clone(), server: server.clone(), port };
                    self.seats.contains_key(&key).then_some(key)
                };
                let seats = pool.servers.iter().filter_map(seat).collect();
                watched.groups.insert(port, Group { seats, standing, counts: Counts::default() });
            }
            self.pools.insert(name.clone(), watched);
        }
        self.stirred = self.pools.keys().cloned().gather();
        for (_, seat) in self.seats.iter_mut().filter(|(key, _)| !self.pools.contains_key(&key.pool)) {
            (seat.returned, seat.ramp, seat.removed, seat.armed) = (false, None, false, None);
        }
        self.steps.retain(|(_, key)| self.pools.contains_key(&key.pool));
    }

    /// A seat as it was saved.
    pub(super) fn restore_seat(seat: &mut Seat, saved: &SavedSeat) {
        seat.ramp = saved.ramp;
        seat.out_since = saved.out_since;
        seat.removed = saved.removed;
    }

    /// Counts the servers of pools in which something changed.
    pub(super) fn regroup(&mut self, now: Mono, out: &mut Vec<Output>) {
        for name in core::mem::take(&mut self.stirred) {
            let Some(watched) = self.pools.get_mut(&name) else { continue };
            let rule = watched.rule;
            for (port, group) in &mut watched.groups {
                let counts = count(&group.seats, &self.seats);
                let standing = group.standing.next(&rule, counts);
                group.counts = counts;
                let before = core::mem::replace(&mut group.standing, standing);
                if before != standing {
                    let text = match words(&rule, standing, counts) {
                        Some(words) => format!("pool {name} port {port}: {words}"),
                        None => format!("pool {name} port {port}: enough servers are up again"),
                    };
                    let bad = standing != Standing::default();
                    out.push(Output::Noted { text, bad });
                }
            }
            ramps(watched, &mut self.seats, now);
            let seat_rule = watched.seat_rule;
            let keys: BTreeSet<SeatKey> = watched.groups.values().flat_map(|g| g.seats.clone()).gather();
            for key in keys {
                self.step_seat(&key, seat_rule, now, out);
            }
        }
    }

    /// Does the steps that are due. Says whether there was one.
    pub(super) fn step_due(&mut self, now: Mono, out: &mut Vec<Output>) -> bool {
        let Some((at, key)) = self.steps.first().cloned().filter(|(at, _)| *at <= now) else { return false };
        self.steps.remove(&(at, key.clone()));
        if let Some(seat) = self.seats.get_mut(&key) {
            seat.armed = None;
        }
        let rule = self.pools.get(&key.pool).map(|watched| watched.seat_rule).unwrap_or_default();
        self.step_seat(&key, rule, now, out);
        true
    }

    fn step_seat(&mut self, key: &SeatKey, rule: SeatRule, now: Mono, out: &mut Vec<Output>) {
        let Some(seat) = self.seats.get_mut(key) else { return };
        if let Some(words) = seat.step(rule, now) {
            let text = match words {
                "" => String::new(),
                words => format!("server {} in pool {}: {words}", key.server, key.pool),
            };
            out.push(Output::Noted { text, bad: false });
        }
        let next = seat.next_step(rule, now);
        if seat.armed != next {
            if let Some(at) = core::mem::replace(&mut seat.armed, next) {
                self.steps.remove(&(at, key.clone()));
            }
            if let Some(at) = next {
                self.steps.insert((at, key.clone()));
            }
        }
    }

    /// How a pool stands for the servers of a virtual port.
    #[must_use]
    pub fn standing(&self, pool: &Name, port: u16) -> Standing {
        let Some(watched) = self.pools.get(pool) else { return Standing::default() };
        let port = self.check_ports.get(pool).copied().unwrap_or(port);
        watched.groups.get(&port).map(|group| group.standing).unwrap_or_default()
    }

    /// The part of a configured weight that a server takes connections with.
    #[must_use]
    pub fn share(&self, pool: &Name, server: &Name, port: u16, weight: u32) -> u32 {
        let weight = self.loads.share(server, weight);
        let Some(watched) = self.pools.get(pool) else { return weight };
        let seat = self.seat(pool, server, port);
        seat.map_or(weight, |seat| seat.share(weight, watched.seat_rule.slow_start, self.seen))
    }

    /// Connections that a server takes at most, as its load monitor says.
    #[must_use]
    pub fn most(&self, server: &Name) -> Option<u32> {
        self.loads.most(server)
    }

    /// Whether a server was out for so long that it leaves the table.
    #[must_use]
    pub fn removed(&self, pool: &Name, server: &Name, port: u16) -> bool {
        self.pools.contains_key(pool) && self.seat(pool, server, port).is_some_and(|seat| seat.removed)
    }

    /// The last changes of a server on a port, oldest first.
    pub fn transitions(&self, pool: &Name, server: &Name, port: u16) -> impl Iterator<Item = &Transition> {
        self.seat(pool, server, port).into_iter().flat_map(Seat::history)
    }

    fn seat(&self, pool: &Name, server: &Name, port: u16) -> Option<&Seat> {
        self.seats.get(&self.seat_key(pool, server, port))
    }

    /// Servers that are down, so many by name.
    #[must_use]
    pub fn down_alarms(&self, named: usize) -> Vec<String> {
        let mut down = self.seats.iter().filter(|(_, seat)| seat.state() == State::Down);
        let one = |key: &SeatKey| format!("pool {}: server {} is down: show servers", key.pool, key.server);
        let mut alarms: Vec<String> = down.by_ref().take(named).map(|(key, _)| one(key)).collect();
        let more = down.count();
        if more > 0 {
            alarms.push(format!("{more} more servers are down: show servers"));
        }
        alarms
    }

    /// What pools as a whole decided against what their servers' checks say, in words.
    pub fn pool_alarms(&self) -> impl Iterator<Item = String> + '_ {
        self.pools.iter().flat_map(|(name, watched)| {
            watched.groups.iter().filter_map(move |(port, group)| {
                let words = words(&watched.rule, group.standing, group.counts)?;
                Some(format!("pool {name} port {port}: {words}"))
            })
        })
    }

    /// What the pool decided about one of its servers, in words: `slow start, full weight in 42s`.
    #[must_use]
    pub fn decided(&self, pool: &Name, server: &Name, now: Mono) -> Option<String> {
        self.decided_by_pool(pool, server, now).or_else(|| self.loads.decided(server))
    }

    fn decided_by_pool(&self, pool: &Name, server: &Name, now: Mono) -> Option<String> {
        let watched = self.pools.get(pool)?;
        let mut mine = watched.groups.values().flat_map(|group| {
            group.seats.iter().filter(|key| key.server == *server).map(move |key| (group, key))
        });
        mine.find_map(|(group, key)| {
            let seat = self.seats.get(key)?;
            let out = is_out(seat.state());
            if group.standing.panic && out {
                return Some(String::from("kept in use: too many are down at once"));
            }
            if group.standing.short && seat.state() == State::Up {
                return Some(String::from("not used while the pool has no quorum and a fall-back answers"));
            }
            if seat.removed {
                return Some(String::from("left the table (remove-after)"));
            }
            let end = seat.ramp?.after(watched.seat_rule.slow_start?);
            let left = crate::cli::show::words::span(end.micros_since(now));
            Some(format!("slow start, full weight in {left}"))
        })
    }

    pub(super) fn saved_pools(&self) -> (Vec<SavedPool>, Vec<SavedSeat>) {
        let pools = self.pools.iter().flat_map(|(name, watched)| {
            let groups = watched.groups.iter().filter(|(_, group)| group.standing != Standing::default());
            groups.map(|(port, group)| SavedPool {
                name: name.clone(),
                port: *port,
                standing: group.standing,
            })
        });
        let kept = self.seats.iter().filter(|(_, seat)| seat.ramp.is_some() || seat.out_since.is_some());
        let seats = kept.map(|(key, seat)| SavedSeat {
            key: key.clone(),
            ramp: seat.ramp,
            out_since: seat.out_since,
            removed: seat.removed,
        });
        (pools.collect(), seats.collect())
    }
}

/// `None`: the pool has no such settings.
fn watched(pool: &Pool) -> Option<Watched> {
    let short = &pool.shortage;
    let rule = PoolRule {
        quorum: short.quorum,
        hysteresis: short.hysteresis,
        panic_threshold: short.panic_threshold,
    };
    let seat_rule = SeatRule { slow_start: short.slow_start, remove_after: short.remove_after };
    let watched = Watched { rule, seat_rule, groups: BTreeMap::new() };
    (rule != PoolRule::default() || seat_rule != SeatRule::default()).then_some(watched)
}

fn count(keys: &[SeatKey], seats: &BTreeMap<SeatKey, Seat>) -> Counts {
    let mut counts = Counts::default();
    for seat in keys.iter().filter_map(|key| seats.get(key)) {
        let place = match seat.state() {
            State::Up => &mut counts.up,
            State::Down | State::Reentering { .. } => &mut counts.down,
            State::Unknown => &mut counts.unknown,
        };
        *place = place.saturating_add(1);
    }
    counts
}

/// Starts the ramps of servers that came back beside others, and ends those of servers that are left alone.
fn ramps(watched: &Watched, seats: &mut BTreeMap<SeatKey, Seat>, now: Mono) {
    for group in watched.groups.values() {
        let full = |seat: &Seat| seat.state() == State::Up && !seat.returned && seat.ramp.is_none();
        let others = group.seats.iter().filter_map(|key| seats.get(key)).any(full);
        for key in &group.seats {
            let Some(seat) = seats.get_mut(key) else { continue };
            let returned = core::mem::take(&mut seat.returned);
            if !others {
                seat.ramp = None;
            } else if returned && watched.seat_rule.slow_start.is_some() {
                seat.ramp = Some(now);
            }
        }
    }
}

fn words(rule: &PoolRule, standing: Standing, counts: Counts) -> Option<String> {
    if standing.panic {
        let percent = rule.panic_threshold.unwrap_or(100);
        let (down, total) = (counts.down, counts.total());
        return Some(format!(
            "{down} of {total} servers are down at once: all are kept (panic-threshold {percent} percent)"
        ));
    }
    let quorum = rule.quorum.unwrap_or(1);
    standing
        .short
        .then(|| format!("{} of {} servers up, the quorum of {quorum} is lost", counts.up, counts.total()))
}
