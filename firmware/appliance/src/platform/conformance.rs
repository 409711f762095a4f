//! Linux against the model that the simulations stand on, by the platform's own code.

use super::kernel::Kernel;
use director_sim::conformance::Conformance;
use std::io::Write;

/// Batches of each run.
const BATCHES: u32 = 10;
/// Runs when `CONFORMANCE_RUNS` does not say how many.
const RUNS: u64 = 20;

#[test]
#[ignore = "needs a kernel with IPVS that nothing else changes: make vm CASE=conformance runs it in a helper machine"]
fn linux_and_the_model_agree() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let first: u64 = number("CONFORMANCE_SEED").unwrap_or(1);
    let runs = number("CONFORMANCE_RUNS").unwrap_or(RUNS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut kernel = Kernel::open().await.unwrap();
        for seed in first..first.saturating_add(runs) {
            let mut run = Conformance::new(seed);
            let names = run.sysctls();
            let seen = kernel.observe(&names).await.unwrap();
            let ops = run.begin(&seen);
            for (op, result) in ops.iter().zip(kernel.apply(&ops).await) {
                assert_eq!(result, Ok(()), "{op:?}");
            }
            for batch in 0..BATCHES {
                let ops = run.batch();
                let results = kernel.apply(&ops).await;
                let seen = kernel.observe(&names).await.unwrap();
                assert_eq!(run.check(&ops, &results, &seen), Ok(()), "seed {seed}, batch {batch}");
            }
        }
        writeln!(std::io::stdout(), "{runs} runs from seed {first} agree").unwrap();
    });
}
