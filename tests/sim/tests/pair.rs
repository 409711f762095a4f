//! Many seeds of [`director_sim::pair`]. `PAIR_SEEDS=n` runs that many, `PAIR_SEED=0x..` one, with its timeline when it fails.

use director_sim::chaos::script::seeds;
use director_sim::many::run_all;
use director_sim::pair::script::run;

/// Seeds in `make unit` (issue).
const SEEDS: u64 = 2000;

#[test]
fn a_pair_under_random_faults_has_one_active_box_and_agrees_again() {
    if let Ok(seed) = std::env::var("PAIR_SEED") {
        let seed = u64::from_str_radix(seed.trim_start_matches("0x"), 16).expect("PAIR_SEED=0x...");
        let result = run(seed);
        println!("{}", result.as_ref().map_or_else(Clone::clone, |done| format!("{done:?}")));
        assert!(result.is_ok(), "seed {seed:#018x} failed");
        return;
    }
    let count = std::env::var("PAIR_SEEDS").map_or(SEEDS, |n| n.parse().expect("PAIR_SEEDS=number"));
    let all: Vec<u64> = seeds(0, count).collect();
    let outcome = run_all(&all, run);
    let takeovers: u32 = outcome.done.iter().map(|done| done.takeovers).sum();
    let wrong: u32 = outcome.done.iter().map(|done| done.false_takeovers).sum();
    let hours = outcome.done.iter().map(|done| done.ms / 1000).sum::<u64>() / 3600;
    println!("{outcome}; {takeovers} takeovers, {wrong} of them for lost frames, in {hours} virtual hours");
    for timeline in &outcome.timelines {
        println!("{timeline}");
    }
    assert!(outcome.failed.is_empty(), "{outcome}");
}
