//! Many seeds on all processors.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Failures whose timeline is kept.
const TIMELINES: usize = 3;
/// Failed seeds that are named.
const NAMED: usize = 20;

/// What many runs came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome<D> {
    /// What each good run gave, in no order.
    pub done: Vec<D>,
    /// Seeds that failed, in order.
    pub failed: Vec<u64>,
    /// Timelines of the first failures.
    pub timelines: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Runs every seed once, on as many threads as there are processors.
pub fn run_all<D: Send>(seeds: &[u64], run: impl Fn(u64) -> Result<D, String> + Sync) -> Outcome<D> {
    #[expect(clippy::disallowed_methods, reason = "measures the run itself")]
    let begin = Instant::now();
    let next = AtomicUsize::new(0);
    let results = Mutex::new((Vec::new(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Relaxed)) {
                    let result = run(*seed);
                    let mut results = results.lock().unwrap();
                    match result {
                        Ok(done) => results.0.push(done),
                        Err(timeline) => results.1.push((*seed, timeline)),
                    }
                }
            });
        }
    });
    let (done, mut failed) = results.into_inner().unwrap();
    failed.sort_unstable();
    let timelines = failed.iter().take(TIMELINES).map(|(seed, text)| format!("seed {seed:#018x}: {text}"));
    Outcome {
        done,
        timelines: timelines.collect(),
        failed: failed.iter().map(|(seed, _)| *seed).collect(),
        took: begin.elapsed(),
    }
}

impl<D> Outcome<D> {
    /// Good and failed runs.
    #[must_use]
    pub fn count(&self) -> usize {
        self.done.len() + self.failed.len()
    }
}

impl<D> fmt::Display for Outcome<D> {
    /// One line with the command that repeats a failure.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        write!(f, "{} seeds in {seconds:.1} s", self.count())?;
        if !self.failed.is_empty() {
            let named: Vec<String> = self.failed.iter().take(NAMED).map(|s| format!("{s:#018x}")).collect();
            write!(f, "; {} failed, repeat with SEED={}", self.failed.len(), named.join(" or "))?;
        }
        Ok(())
    }
}
