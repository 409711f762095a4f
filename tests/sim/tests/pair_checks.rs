//! What the checks of a pair's two boxes do, and what they mean for the pair.

use director_core::model::Millis;
use director_core::model::config::Config;
use director_core::store::identity::Role;
use director_sim::pair::node::Node;
use director_sim::pair::world::{Item, World};

const SECOND_US: u64 = 1_000_000;

/// Both boxes with this configuration, a minute after their boot: lvs1 is active, lvs2 is standby.
fn pair(change: impl FnOnce(&mut Config)) -> World {
    // Any seed: nothing is lost, cut or killed here.
    let mut world = World::new(1);
    let mut config = world.draw.config();
    config.cluster.pairing.witnesses.clear();
    change(&mut config);
    world.nodes = [Node::new(Role::Primary, &config, 0), Node::new(Role::Backup, &config, 0)];
    for node in 0..2 {
        world.post(node, 0, Item::Boot);
    }
    world.advance(60 * SECOND_US);
    assert_eq!(roles(&world), [true, false], "{}", world.timeline());
    world
}

/// Who holds the floating addresses.
fn roles(world: &World) -> [bool; 2] {
    [world.nodes[0].holds(), world.nodes[1].holds()]
}

#[test]
fn a_standby_box_checks_at_its_own_interval_and_as_usual_from_its_takeover_on() {
    let mut world = pair(|config| {
        let pool = config.pools.values_mut().next().expect("a pool");
        pool.watch.standby_interval = Some(Millis::from_secs(10));
        pool.dead_time = None;
    });
    let asked = |world: &World| [world.nodes[0].asked, world.nodes[1].asked];
    let [active, standby] = asked(&world);
    world.advance(60 * SECOND_US);
    let [active, standby] = [asked(&world)[0] - active, asked(&world)[1] - standby];
    assert!((59..=61).contains(&active) && (5..=7).contains(&standby), "{active} and {standby} in a minute");
    world.power_cut(0);
    world.advance(10 * SECOND_US);
    assert_eq!(roles(&world), [false, true], "{}", world.timeline());
    let before = asked(&world)[1];
    world.advance(60 * SECOND_US);
    let after = asked(&world)[1] - before;
    assert!((59..=61).contains(&after), "{after} in a minute");
}

#[test]
fn an_active_box_whose_checks_cannot_be_made_hands_over_to_one_whose_can() {
    let mut world = pair(|_| {});
    world.nodes[0].asks = false;
    // Three intervals, and the patience of the pair.
    world.advance(10 * SECOND_US);
    assert_eq!(roles(&world), [false, true], "{}", world.timeline());
    // When neither knows, the addresses stay where they are.
    world.nodes[1].asks = false;
    world.advance(60 * SECOND_US);
    assert_eq!(roles(&world), [false, true], "{}", world.timeline());
}
