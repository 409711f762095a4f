//! What happens in a run.

use super::book::CANDIDATE;
use super::draw::FAILBACK_DELAY_MS;
use super::node::Power;
use super::world::{Item, Mend, World};
use director_core::director::Event;
use director_core::director::protocol::{ClusterAction, Request};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a run has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Times that a node became active.
    pub takeovers: u32,
    /// Of these without a reason.
    pub false_takeovers: u32,
    /// Virtual milliseconds.
    pub ms: u64,
}

/// Time without a role change that counts as rest: servers are checked, and come back, within less.
const REST_US: u64 = 3_000_000;
/// Time that servers need to be seen again: two checks, their reentry, and one late check.
const SERVERS_US: u64 = 5_000_000;

/// Runs one seed. The error is a timeline; the reason was printed as every panic is.
///
/// # Errors
/// When something did not hold.
pub fn run(seed: u64) -> Result<Done, String> {
    let world = RefCell::new(World::new(seed));
    let result = catch_unwind(AssertUnwindSafe(|| {
        let world = &mut *world.borrow_mut();
        safety(world);
        liveness(world);
        Done {
            takeovers: world.checks.takeovers,
            false_takeovers: world.checks.false_takeovers,
            ms: world.now / 1000,
        }
    }));
    result.map_err(|_| {
        let world = world.borrow();
        format!("{:?}\n{}", world.draw, world.timeline())
    })
}

fn safety(world: &mut World) {
    for node in 0..2 {
        let late = if world.rng.chance(70) { 500_000 } else { 8_000_000 };
        let after = world.rng.between(0, late);
        world.post(node, after, Item::Boot);
    }
    let begin = world.rng.between(0, 12_000_000);
    world.advance(begin);
    for _ in 0..world.rng.between(3, 12) {
        act(world);
        let dead = world.draw.dead_us();
        let us = match world.rng.below(10) {
            0..=2 => world.rng.between(0, 20_000),
            3..=5 => world.rng.between(0, 2 * dead),
            6..=8 => world.rng.between(0, 3_000_000),
            _ => world.rng.between(0, 8_000_000),
        };
        world.advance(us);
    }
}

fn act(world: &mut World) {
    let n = usize::from(world.rng.chance(50));
    let (draw, dead) = (world.draw.clone(), world.draw.dead_us());
    let (short, long) = (world.rng.between(0, 3 * dead), world.rng.between(0, 6_000_000));
    let after = if world.rng.chance(60) { short } else { long };
    match world.rng.below(12) {
        0 if draw.crashes => {
            let forget = world.rng.chance(15);
            world.kill(n, forget);
            let pause = if world.rng.chance(70) { 100_000 } else { after };
            world.post(n, pause, Item::Revive);
        }
        1 if draw.crashes => {
            world.power_cut(n);
            world.post(n, 500_000 + long, Item::Boot);
        }
        2 if draw.pauses && world.nodes[n].power == Power::Up && world.rng.chance(50) => {
            world.nodes[n].power = Power::Wedged;
            let since = world.now;
            world.note(format!("lvs{}: the director stands still for {} ms", n + 1, after / 1000));
            world.post(n, after, Item::Resume(false, since));
        }
        2 if draw.pauses && world.nodes[n].power == Power::Up => {
            world.nodes[n].power = Power::Paused;
            let (frozen, since) = (world.rng.chance(50), world.now);
            world.note(format!(
                "lvs{} stands still for {} ms, its clock {}",
                n + 1,
                after / 1000,
                if frozen { "too" } else { "not" }
            ));
            world.post(n, after, Item::Resume(frozen, since));
        }
        3 if draw.cuts => {
            let network = usize::from(world.rng.chance(50));
            world.note(format!("lvs{}: cable of network {network} pulled", n + 1));
            world.cable(n, network, true);
            world.post(n, after, Item::Mend(Mend::Cable(network)));
        }
        4 | 5 if draw.cuts => {
            let (all, both) = (world.rng.chance(70), world.rng.chance(40));
            world.note(format!("heartbeats of lvs{} cut: all {all}, both ways {both}", n + 1));
            for from in if both { vec![0, 1] } else { vec![n] } {
                world.lan.cut[from] = [true, all];
                world.post(from, after, Item::Mend(Mend::Cut));
            }
        }
        6 if draw.attacks => attack(world, n),
        7 if draw.operators && world.nodes[n].power == Power::Up => operate(world, n),
        9 if draw.witness => {
            world.note("the gateway is away");
            world.lan.no_gateway = true;
            world.post(n, after, Item::Mend(Mend::Gateway));
        }
        8 if draw.servers => {
            world.note(format!("lvs{} sees no server", n + 1));
            world.nodes[n].servers = false;
            world.post(n, after, Item::Mend(Mend::Servers));
        }
        8 if draw.loss > 0 => {
            world.note("half of all heartbeats is lost");
            world.lan.loss = 50;
            world.post(n, after, Item::Mend(Mend::Loss));
        }
        9.. if draw.commits && world.nodes[n].power == Power::Up => commit(world, n),
        _ => {}
    }
}

/// Somebody commits, resolves a difference, or drains a server.
fn commit(world: &mut World, n: usize) {
    match world.rng.below(10) {
        0..=6 => world.ask_as(n, CANDIDATE, Request::Config),
        7 => {
            let give = world.rng.chance(50);
            world.note(format!("operator on lvs{}: {}", n + 1, if give { "give" } else { "take" }));
            world.book.resolve(world.now);
            world.ask(n, Request::Cluster(if give { ClusterAction::Give } else { ClusterAction::Take }));
        }
        8 => world.tamper(),
        _ => world.drain(n),
    }
}

fn operate(world: &mut World, n: usize) {
    let (word, ask) = match world.rng.below(3) {
        0 => ("standby", Some(ClusterAction::Standby)),
        1 => ("takeover", Some(ClusterAction::Takeover)),
        _ => ("stop", None),
    };
    world.note(format!("operator on lvs{}: {word}", n + 1));
    match ask {
        Some(ask) => world.ask(n, Request::Cluster(ask)),
        None => world.post(n, 0, Item::Event(Event::Stop)),
    }
}

/// Frames that were recorded, changed or made with another key.
fn attack(world: &mut World, n: usize) {
    let network = usize::from(world.rng.chance(50));
    let count = world.rng.between(1, 40);
    world.note(format!("{count} recorded or forged frames to lvs{}", n + 1));
    for i in 0..count {
        let all = world.lan.recorded.iter().filter(|r| r.to == n || i % 5 == 0).cloned().collect::<Vec<_>>();
        let Some(mut frame) = world.rng.pick(all) else { return };
        let forged = world.rng.chance(30);
        if forged {
            let place = usize::try_from(world.rng.below(u64::try_from(frame.bytes.len()).unwrap())).unwrap();
            frame.bytes[place] ^= 1 << world.rng.below(8);
        }
        let replayed = Some(frame.at);
        world.post(n, i * 1000, Item::Frame { network, bytes: frame.bytes, replayed, forged });
    }
}

fn liveness(world: &mut World) {
    // Faults that end by themselves end now.
    world.advance(0);
    world.lan.heal();
    world.note("--- all is well from here on");
    for n in 0..2 {
        world.nodes[n].servers = true;
        for network in 0..2 {
            world.cable(n, network, false);
        }
        match world.nodes[n].power {
            Power::Off => world.post(n, 0, Item::Boot),
            Power::Headless => world.post(n, 0, Item::Revive),
            Power::Up | Power::Paused | Power::Wedged => {}
        }
    }
    // What stands still or stops goes on within this time.
    world.advance(8_000_000);
    let wait = u64::from(FAILBACK_DELAY_MS) * 1000 + SERVERS_US;
    let limit = world.draw.serve_us() + world.draw.agree_us() + wait;
    world.advance(limit);
    let settled = |world: &World| world.checks.settled(&world.draw, &world.nodes, &world.lan);
    if world.draw.loss <= 2 {
        world.agreed();
        settled(world).expect("all is well");
    }
    if world.draw.loss == 0 {
        let since = world.now;
        world.advance(REST_US);
        world.checks.still(since);
        settled(world).expect("nothing changed");
    }
}
