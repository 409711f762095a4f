//! Many seeds of [`director_sim::chaos`]. `SEEDS=n` runs that many, `SEED=0x..` one, with its timeline when it fails.

use director_sim::chaos::script::{run, seeds};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Seeds in `make unit`.
const SEEDS: u64 = 2000;
/// Failures printed in full.
const SHOWN: usize = 3;

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
    #[expect(clippy::disallowed_methods, reason = "measures the test itself")]
    let begin = Instant::now();
    let (next, commits, seconds) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let failed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(seed) = all.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap())
                {
                    match run(*seed) {
                        Ok(done) => {
                            commits.fetch_add(u64::from(done.commits), Ordering::Relaxed);
                            seconds.fetch_add(done.ms / 1000, Ordering::Relaxed);
                        }
                        Err(timeline) => failed.lock().unwrap().push((*seed, timeline)),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    let took = begin.elapsed();
    println!(
        "{count} seeds in {:.1} s, {:.0} a second; {} commits and {} virtual hours",
        took.as_secs_f64(),
        f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / took.as_secs_f64(),
        commits.into_inner(),
        seconds.into_inner() / 3600
    );
    for (seed, timeline) in failed.iter().take(SHOWN) {
        println!("seed {seed:#018x}: {timeline}");
    }
    let numbers: Vec<String> = failed.iter().take(20).map(|(seed, _)| format!("{seed:#018x}")).collect();
    assert!(
        failed.is_empty(),
        "{} seeds failed; repeat with make sim SEED={}",
        failed.len(),
        numbers.join(" or ")
    );
}
