//! How long a benchmark is measured.

use std::time::Duration;

use criterion::Criterion;

/// So many samples in so many milliseconds. Plots take longer than a quick run measures: it has
/// none.
pub(crate) fn settings(samples: usize, milliseconds: u64) -> Criterion {
    let criterion = Criterion::default()
        .sample_size(samples)
        .warm_up_time(Duration::from_millis(milliseconds / 4))
        .measurement_time(Duration::from_millis(milliseconds));
    if is_asked("--quick") { criterion.without_plots() } else { criterion }
}

/// Whether this run is for figures, and not one that only tries whether the benchmarks work.
#[allow(dead_code)]
pub(crate) fn is_measuring() -> bool {
    is_asked("--bench")
}

fn is_asked(option: &str) -> bool {
    std::env::args().any(|argument| argument == option)
}
