//! The disk of a box as far as upgrades go: two systems, the boot loader's environment, and a bundle that comes.

use super::node::Power;
use super::world::{Item, World};
use director_core::director::upgrading::{BLOCK_MAX, News, Order, Task};
use director_core::director::{Effect, Event};
use director_core::store::StoreError;
use director_core::upgrade::environment::{Environment, Slot};
use director_core::upgrade::running::Running;

/// Bytes of a bundle.
const BUNDLE: u64 = 100_000;
/// Microseconds that the disk takes for something, at most.
const DISK_US: u64 = 30_000;

/// A system as it lies in a slot or travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct System {
    /// Its number.
    pub version: u8,
    /// Its director does not die when it starts.
    pub works: bool,
}

impl System {
    fn byte(self) -> u8 {
        self.version << 1 | u8::from(self.works)
    }
}

/// The disk.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Slot A, slot B.
    pub slots: [Option<System>; 2],
    /// What the boot loader reads.
    pub environment: Environment,
    /// What it started.
    pub running: Running,
    /// The box reboots for an upgrade.
    pub away: bool,
    /// The last sentence about the upgrade of both boxes.
    pub notice: String,
    coming: Option<(Slot, Vec<u8>)>,
}

fn number(slot: Slot) -> usize {
    usize::from(slot == Slot::B)
}

impl Disk {
    /// A box that runs version 1 from slot A.
    pub fn new() -> Self {
        Self {
            slots: [Some(System { version: 1, works: true }), None],
            environment: Environment::settled(Slot::A),
            running: Running { slot: Slot::A, trial: false, rescue: false },
            away: false,
            notice: String::new(),
            coming: None,
        }
    }

    /// The system that runs.
    pub fn system(&self) -> System {
        self.slots[number(self.running.slot)].expect("it runs")
    }

    /// What the boot loader starts, after boots that a broken system ended.
    pub fn boot(&mut self) {
        self.coming = None;
        let on_trial = self.environment.trial.filter(|_| self.environment.tries > 0);
        let trial = on_trial.filter(|slot| self.slots[number(*slot)].is_some_and(|system| system.works));
        match (on_trial, trial) {
            (Some(_), Some(_)) => self.environment.tries -= 1,
            (Some(_), None) => self.environment.tries = 0,
            (None, _) => {}
        }
        let slot = trial.unwrap_or(self.environment.good);
        self.running = Running { slot, trial: trial.is_some(), rescue: false };
    }

    /// Whether the boot loader holds what runs for good.
    pub fn settled(&self) -> bool {
        self.environment.good == self.running.slot
    }

    fn task(&mut self, task: Task) -> Option<News> {
        match task {
            Task::Fetch { .. } => panic!("nobody asked for it"),
            Task::Receive { slot } => {
                self.slots[number(slot)] = None;
                self.coming = Some((slot, Vec::new()));
                None
            }
            Task::Block(bytes) => {
                let (_, all) = self.coming.as_mut()?;
                all.extend(bytes);
                Some(News::Came { have: u64::try_from(all.len()).unwrap(), of: None })
            }
            Task::End => {
                let (slot, all) = self.coming.take()?;
                assert_eq!(u64::try_from(all.len()).unwrap(), BUNDLE);
                assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "bytes of one bundle");
                let system = System { version: all[0] >> 1, works: all[0] & 1 == 1 };
                self.slots[number(slot)] = Some(system);
                Some(News::Ended(Ok(format!("{}.0.0", system.version))))
            }
            Task::Read { slot, at } => Some(News::Piece(match self.slots[number(slot)] {
                Some(system) => {
                    let take = usize::try_from(BUNDLE - at).unwrap().min(BLOCK_MAX);
                    Ok((at, vec![system.byte(); take], BUNDLE))
                }
                None => Err("the slot holds no system".to_owned()),
            })),
            Task::Cancel => {
                self.coming.take()?;
                Some(News::Ended(Err("it was cancelled".to_owned())))
            }
        }
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// What a director wants of its disk.
    pub(super) fn disk_effect(&mut self, n: usize, effect: Effect) {
        let took = self.rng.between(1000, DISK_US);
        let other = self.nodes[1 - n].disk.clone();
        let disk = self.nodes[n].disk.as_mut().unwrap_or_else(|| panic!("nobody asked for it: {effect:?}"));
        match effect {
            Effect::Prove(running) => {
                disk.environment = running.proven(disk.environment);
                self.post(n, took, Item::Event(Event::Proven(Ok(()))));
            }
            Effect::Order(Order::Settle) => {
                disk.environment = Environment::settled(disk.environment.good);
                self.post(n, took, Item::Event(Event::Ordered(Ok(()))));
            }
            Effect::Order(Order::Try(slot)) => {
                let whole = disk.slots[number(slot)].is_some();
                if whole {
                    disk.environment = Environment { good: slot.other(), ..disk.environment }.on_trial(slot);
                }
                // R2: the second box leaves its system only when the first has proven the new one.
                if let Some(other) = other.filter(|other| other.system().version > disk.system().version) {
                    assert!(other.settled(), "R2: the other box has not proven its system");
                }
                let result = if whole { Ok(()) } else { Err(StoreError::NoDevice) };
                self.post(n, took, Item::Event(Event::Ordered(result)));
            }
            Effect::Power(_) => {
                disk.away = true;
                assert!(!other.is_some_and(|other| other.away), "R1: both boxes are away for the upgrade");
                assert!(!self.nodes[n].holds(), "R1: the box that goes away holds the address");
                self.note(format!("lvs{} reboots for the upgrade", n + 1));
                self.post(n, took, Item::Event(Event::Stop));
            }
            Effect::Upgrade(task) => {
                if let Some(news) = disk.task(task) {
                    self.post(n, took, Item::Event(Event::Upgrade(news)));
                }
            }
            other => panic!("nobody asked for it: {other:?}"),
        }
    }

    /// A sentence on the consoles.
    pub(super) fn notified(&mut self, n: usize, text: &str) {
        if let Some(words) = text.strip_prefix("Upgrade of both boxes: ") {
            self.note(format!("lvs{}: {words}", n + 1));
            if let Some(disk) = &mut self.nodes[n].disk {
                words.trim_end_matches('.').clone_into(&mut disk.notice);
            }
        }
    }

    /// A bundle lies in the other slot of a box, as after `upgrade from`.
    pub fn bundle(&mut self, n: usize, system: System) {
        let version = format!("{}.0.0", system.version);
        let disk = self.nodes[n].disk.as_mut().expect("it has a disk");
        disk.slots[number(disk.running.slot.other())] = Some(system);
        self.post(n, 0, Item::Event(Event::Upgrade(News::Ended(Ok(version)))));
    }

    /// Whether both boxes run and have said the last word about the upgrade that either has told.
    pub fn rolled_out(&self) -> bool {
        let ended = |text: &str| text.is_empty() || text.contains("stopped: ") || text.starts_with("both");
        self.nodes.iter().all(|node| {
            let disk = node.disk.as_ref().expect("it has a disk");
            node.power == Power::Up && !disk.away && disk.settled() && ended(&disk.notice)
        })
    }
}
