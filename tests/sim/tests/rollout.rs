//! `upgrade cluster` on two directors: nobody is without a box that serves, and it ends, whatever happens on the way.

use director_core::director::protocol::Request;
use director_core::director::upgrading::UpgradeAsk;
use director_sim::pair::disk::{Disk, System};
use director_sim::pair::node::Power;
use director_sim::pair::world::{Item, Mend, World};

const NEW: System = System { version: 2, works: true };
const BROKEN: System = System { version: 2, works: false };
const SECOND: u64 = 1_000_000;
/// Longer than a trial that is not won, on both boxes: seconds.
const END: u64 = 3600;
/// Seeds in `make unit`. Chosen: some seconds.
const SEEDS: u64 = 40;

/// A pair at rest, each box with a disk; faults only where the test makes them.
fn pair(seed: u64) -> World {
    let mut world = World::new(seed);
    world.draw.attacks = false;
    world.draw.loss = 0;
    for n in 0..2 {
        world.nodes[n].disk = Some(Disk::new());
        world.post(n, 1000, Item::Boot);
    }
    world.advance(90 * SECOND);
    world
}

fn active(world: &World) -> usize {
    (0..2).find(|n| world.nodes[*n].holds()).expect("somebody is active")
}

fn begin(world: &mut World, n: usize, system: System) {
    world.bundle(n, system);
    world.ask(n, Request::Upgrade(UpgradeAsk::Cluster));
    world.advance(100_000);
}

fn end(world: &mut World) {
    for _ in 0..END {
        world.advance(SECOND);
        if world.rolled_out() {
            return;
        }
    }
    panic!("it does not end: {:?}\n{}", world.nodes.each_ref().map(|n| n.disk.clone()), world.timeline());
}

fn disk(world: &World, n: usize) -> &Disk {
    world.nodes[n].disk.as_ref().expect("a disk")
}

#[test]
fn both_boxes_are_upgraded_standby_first_whichever_has_the_bundle() {
    for seed in 0..SEEDS {
        let mut world = pair(seed);
        let (first, by) = (1 - active(&world), usize::from(seed % 2 == 1));
        begin(&mut world, by, NEW);
        end(&mut world);
        for n in 0..2 {
            let disk = disk(&world, n);
            assert_eq!(disk.notice, "both boxes run version 2.0.0", "{}", world.timeline());
            assert_eq!(disk.system(), NEW);
        }
        let first = format!("lvs{} reboots for the upgrade", first + 1);
        let reboots: Vec<_> =
            world.timeline().lines().filter(|l| l.contains("reboots for")).map(str::to_owned).collect();
        assert!(matches!(reboots.as_slice(), [one, _] if one.contains(&first)), "{reboots:?}");
    }
}

#[test]
fn a_system_that_dies_at_its_start_stays_on_neither_box() {
    for seed in 0..SEEDS / 4 {
        let mut world = pair(seed);
        let serving = active(&world);
        begin(&mut world, serving, BROKEN);
        end(&mut world);
        for n in 0..2 {
            assert!(disk(&world, n).notice.contains("did not prove itself"), "{}", disk(&world, n).notice);
            assert_eq!(disk(&world, n).system().version, 1);
        }
        assert!(
            world.nodes[serving].holds(),
            "the active box was switched over for a system that does not run"
        );
    }
}

#[test]
fn whatever_happens_on_the_way_it_ends_and_both_boxes_serve() {
    let mut finished = 0;
    for seed in 0..SEEDS {
        let mut world = pair(seed);
        let by = usize::from(seed % 2 == 1);
        begin(&mut world, by, if seed % 5 == 0 { BROKEN } else { NEW });
        for _ in 0..world.rng.between(1, 4) {
            let us = world.rng.between(0, 12 * SECOND);
            world.advance(us);
            hurt(&mut world);
        }
        world.advance(20 * SECOND);
        end(&mut world);
        let both = (0..2).all(|n| disk(&world, n).system() == NEW);
        finished += u32::from(both);
        assert!((0..2).all(|n| disk(&world, n).system().works), "{}", world.timeline());
        let holders = world.nodes.iter().filter(|n| n.holds()).count();
        assert_eq!(holders, 1, "seed {seed}\n{}", world.timeline());
    }
    assert!(finished > 0, "no upgrade came through, so the faults prove nothing");
}

fn hurt(world: &mut World) {
    let n = usize::from(world.rng.chance(50));
    match world.rng.below(4) {
        0 => {
            world.power_cut(n);
            world.post(n, 2 * SECOND, Item::Boot);
        }
        1 if world.nodes[n].power == Power::Up => {
            world.kill(n, false);
            world.post(n, 100_000, Item::Revive);
        }
        2 => {
            world.cable(n, 1, true);
            world.post(n, 3 * SECOND, Item::Mend(Mend::Cable(1)));
        }
        _ => {
            world.lan.cut[n] = [true; 2];
            world.post(n, 4 * SECOND, Item::Mend(Mend::Cut));
        }
    }
}
