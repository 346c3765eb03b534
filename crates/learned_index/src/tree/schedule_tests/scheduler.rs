//! Random schedules, each from one seed.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner, thread};

use crate::stop::testing::set_hook;

/// The most steps of a schedule: a few times what the longest ones take. More is a loop that
/// does not end.
const MOST_STEPS: usize = 400_000;
/// Of an operating system's thread that simulates one of the index's.
const STACK_BYTES: usize = 512 << 10;

/// Small random numbers, as SplitMix64 makes them.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// Runs one schedule after another thread got the turn at every step, the next one only now and
/// then; and some threads sleep while the others do a lot. Purely random turns hardly ever let one
/// thread be overtaken by a whole merge.
struct Turns {
    random: Random,
    begun: bool,
    /// Of 64 turns, how many the same thread gets again.
    stay: u64,
    /// Turns after which, on average, a thread falls asleep.
    until_sleep: u64,
    asleep: Vec<(TaskId, u64)>,
    turn: u64,
}

impl Turns {
    fn new(seed: u64) -> Turns {
        let mut random = Random::new(seed);
        let stay = *random.pick(&[0, 32, 56, 62]);
        let until_sleep = *random.pick(&[30, 150, 800, u64::MAX]);
        Turns { random, begun: false, stay, until_sleep, asleep: Vec::new(), turn: 0 }
    }
}

impl Scheduler for Turns {
    fn new_execution(&mut self) -> Option<Schedule> {
        (!std::mem::replace(&mut self.begun, true)).then(|| Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        self.turn += 1;
        let turn = self.turn;
        self.asleep.retain(|&(_, until)| until > turn);
        // Also where a thread has asked for it, as between two rows that a scan returns.
        if let Some(current) = current
            && (self.random.one_in(self.until_sleep) || is_yielding && self.random.one_in(8))
        {
            let length = *self.random.pick(&[40, 300, 2_000]);
            self.asleep.push((current, turn + length));
        }
        let is_awake = |task: TaskId| self.asleep.iter().all(|&(sleeper, _)| sleeper != task);
        let awake: Vec<TaskId> =
            runnable.iter().map(|task| task.id()).filter(|&task| is_awake(task)).collect();
        if let Some(current) = current.filter(|current| awake.contains(current) && !is_yielding)
            && self.random.below(64) < self.stay
        {
            return Some(current);
        }
        if awake.is_empty() {
            return Some(self.random.pick(runnable).id());
        }
        Some(*self.random.pick(&awake))
    }

    fn next_u64(&mut self) -> u64 {
        self.random.next()
    }
}

/// Runs `test` under the schedule that a seed makes.
pub(super) fn run(seed: u64, test: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.failure_persistence = FailurePersistence::None;
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    config.silence_warnings = true;
    Runner::new(Turns::new(seed), config).run(test);
}

thread_local! {
    /// At one in so many stop points a thread lets others go on.
    static PAUSES: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// Lets threads give up their turn at one in so many stop points, at random; 0: never.
pub(super) fn pause_at_stop_points(one_in: u64, seed: u64) {
    PAUSES.set((one_in, seed));
    let pause = || {
        let (one_in, seed) = PAUSES.get();
        let mut random = Random::new(seed);
        let pauses = random.one_in(one_in);
        PAUSES.set((one_in, random.next()));
        if pauses {
            thread::yield_now();
        }
    };
    set_hook((one_in > 0).then_some(pause));
}

/// Steps so far in this process: for reports.
pub(super) static STEPS: AtomicU64 = AtomicU64::new(0);

impl Drop for Turns {
    fn drop(&mut self) {
        STEPS.fetch_add(self.turn, Ordering::Relaxed);
    }
}
