//! Many seeds of [`director_sim::chaos`]. `SEEDS=n` runs that many, `SEED=0x..` one, with its timeline when it fails.

use director_sim::chaos::script::{run, seeds};
use director_sim::many::run_all;

/// Seeds in `make unit`.
const SEEDS: u64 = 2000;

#[test]
fn a_director_under_random_faults_stays_safe_and_gets_well_again() {
    if let Ok(seed) = std::env::var("SEED") {
        let seed = u64::from_str_radix(seed.trim_start_matches("0x"), 16).expect("SEED=0x...");
        let result = run(seed);
        println!("{}", result.as_ref().map_or_else(Clone::clone, |done| format!("{done:?}")));
        assert!(result.is_ok(), "seed {seed:#018x} failed");
        return;
    }
    let count = std::env::var("SEEDS").map_or(SEEDS, |n| n.parse().expect("SEEDS=number"));
    let first = std::env::var("SEEDS_FROM").map_or(0, |n| n.parse().expect("SEEDS_FROM=number"));
    let all: Vec<u64> = seeds(first, count).collect();
    let outcome = run_all(&all, run);
    let commits: u64 = outcome.done.iter().map(|done| u64::from(done.commits)).sum();
    let hours = outcome.done.iter().map(|done| done.ms / 1000).sum::<u64>() / 3600;
    println!("{outcome}; {commits} commits and {hours} virtual hours");
    for timeline in &outcome.timelines {
        println!("{timeline}");
    }
    assert!(outcome.failed.is_empty(), "{outcome}");
}
