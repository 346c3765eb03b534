//! Sessions that work at the same time, each in a thread of its own.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What one thread does over and over.
pub struct Job<'a> {
    name: String,
    step: Box<dyn FnMut() -> ControlFlow<()> + Send + 'a>,
}

impl<'a> Job<'a> {
    /// A job that goes on until the others end.
    pub fn endless(name: &str, mut step: impl FnMut() + Send + 'a) -> Self {
        Self::new(name, move || {
            step();
            ControlFlow::Continue(())
        })
    }

    /// A job whose `Break` ends all of them.
    pub fn new(name: &str, step: impl FnMut() -> ControlFlow<()> + Send + 'a) -> Self {
        Self { name: name.to_owned(), step: Box::new(step) }
    }
}

/// How long a test with many sessions goes on: `OMENDB_LEARNED_TEST_SECONDS`, by default 10, times
/// the share.
pub fn test_duration(share: f64) -> Duration {
    let seconds = std::env::var("OMENDB_LEARNED_TEST_SECONDS").map_or(10.0, |s| s.parse().unwrap());
    Duration::from_secs_f64(seconds * share)
}

/// Runs the jobs at the same time until the time is over or one of them breaks or panics, and
/// returns how many steps each has made.
///
/// # Panics
/// As the first job that panicked, when all have stopped.
pub fn run_together(duration: Duration, jobs: Vec<Job<'_>>) -> Vec<u64> {
    let start = Instant::now();
    let stop = AtomicBool::new(false);
    let stop = &stop;
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = jobs
            .into_iter()
            .map(|Job { name, mut step }| {
                let work = move || {
                    let mut steps = 0u64;
                    let outcome = catch_unwind(AssertUnwindSafe(|| {
                        while !stop.load(Ordering::Relaxed) && start.elapsed() < duration {
                            if step().is_break() {
                                break;
                            }
                            steps += 1;
                        }
                    }));
                    stop.store(true, Ordering::Relaxed);
                    outcome.map(|()| steps)
                };
                std::thread::Builder::new().name(name).spawn_scoped(scope, work).unwrap()
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap_or_else(|panic| resume_unwind(panic)))
        .collect()
}
