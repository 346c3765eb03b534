//! Inserters, readers, a checker, a merger and vacuum at once, under random schedules.
//!
//! `OMENDB_LEARNED_SCHEDULES` says how many (3,000 if it is not set), `OMENDB_LEARNED_FIRST_SEED`
//! from which seed on (0); `OMENDB_LEARNED_SEED` runs the one schedule that a failed test has
//! named.
//!
//! - this file: who takes part in a schedule, how it runs, and how the index must look at its end
//! - `images`: the indexes that they begin with
//! - `world`, `readers`, `locks`, `removal`: what the threads do
//! - `heap`: the model of a table, `scheduler`: turns from a seed, `faults`: the protocol with a
//!   step left out

mod faults;
mod heap;
mod images;
mod locks;
mod readers;
mod removal;
mod scheduler;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use shuttle::sync::Mutex;
use shuttle::thread;

use self::heap::Heap;
use self::images::{Image, SHARED_KEYS, memory_store, shared_key};
use self::locks::LockTable;
use self::scheduler::{Random, pause_at_stop_points};
use self::world::World;
use super::build::BuildOptions;
use super::check::check;
use super::merge::{Limits, Step, merge_step};
use super::vacuum::{bulk_delete, sweep};
use crate::entry::Fence;
use crate::fault::testing::{set_cut_off, set_full_at};
use crate::key::Sample;
use crate::page::leaf::Head;
use crate::store::concurrent::ConcurrentStore;
use crate::store::{Store, Update};

const SCHEDULES: u64 = 3_000;
/// Entries and children with which pages of delta trees are full.
const FULL_AT: usize = 4;
/// Keys at the end of the table, see [`World::tail`].
const TAIL: u64 = 20;

/// What the index has, by its own check; nothing of it lost.
fn checked_entries<S: Store>(store: &S) -> BTreeSet<Fence<S::Code>> {
    let mut seen = BTreeSet::new();
    let see = |entry| assert!(seen.insert(entry), "{entry:?} is there twice");
    let report = check(store, true, see).unwrap();
    assert_eq!(report.lost, 0, "pages lost: {report:?}");
    seen
}

fn expect_entries<S: Store>(store: &S, heap: &Heap<S::Code>) {
    let expected: BTreeSet<Fence<S::Code>> =
        heap.indexed_entries().into_iter().map(Fence::at).collect();
    let found = checked_entries(store);
    let missing: Vec<_> = expected.difference(&found).collect();
    let surplus: Vec<_> = found.difference(&expected).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing {missing:?}, surplus {surplus:?}");
}

/// Merges everything and removes everything that is dead: nothing may be left over.
fn expect_right_end<S: Update>(store: &S, options: BuildOptions, heap: &Heap<S::Code>) {
    let limits = Limits { leaves: 2, entries: 20 };
    let mut steps = 0;
    while merge_step(store, options, limits, 1, &mut Vec::new()).unwrap() != Step::Idle {
        steps += 1;
        assert!(steps < 1_000, "a merge that does not end");
    }
    let dead = heap.dead();
    bulk_delete(store, options, |tid| dead.contains(&tid), || {}).unwrap();
    heap.recycle(&dead);
    expect_entries(store, heap);
    assert_eq!(check(store, true, |_| {}).unwrap().delta_pages, 0);
}

/// What one thread does.
type Role<C> = fn(&World<C>, Random);

/// Who takes part in a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cast {
    /// Everybody, over any index.
    All,
    /// Inserts that open delta trees beside merges that freeze them, and a sweep.
    Openers,
    /// Inserts that split leaves of the delta tree while vacuum takes dead entries out of them, and
    /// readers that hold on to what they read.
    Splits,
    /// Inserts and vacuum over few keys, and readers that say late which rows were dead.
    Kills,
    /// Everybody, over leaves with many dead entries, where nothing that a merge replaces is freed
    /// at once.
    Maps,
    /// Inserts, deletes, merges and vacuum beside counts.
    Counts,
    /// Vacuum, and inserts of rows with the TIDs that it gives away, beside counts of what mostly
    /// everybody sees.
    Recounts,
    /// The same and merges, beside copies of leaves.
    Looks,
}

impl Cast {
    fn picked(random: &mut Random) -> Cast {
        match random.below(10) {
            0 => Cast::Openers,
            1 => Cast::Splits,
            2 => Cast::Maps,
            3 => Cast::Kills,
            4 => Cast::Counts,
            5 if random.one_in(2) => Cast::Looks,
            5 => Cast::Recounts,
            _ => Cast::All,
        }
    }

    fn image<'a, C>(self, images: &'a [Image<C>], random: &mut Random) -> &'a Image<C> {
        match self {
            Cast::All | Cast::Counts | Cast::Recounts | Cast::Looks => random.pick(images),
            Cast::Openers => random.pick(&images[..2]),
            Cast::Splits | Cast::Kills => &images[images.len() - 2],
            Cast::Maps => &images[images.len() - 1],
        }
    }

    fn roles<C: Sample>(self, unique: bool, checked: bool, last: Role<C>) -> Vec<Role<C>> {
        let ascending: Role<C> = |world, random| world.inserter(random, true);
        let scattered: Role<C> = |world, random| world.inserter(random, false);
        match self {
            Cast::All => vec![
                if unique { World::unique_inserter } else { ascending },
                if unique { World::unique_inserter } else { scattered },
                World::merger,
                World::vacuum,
                World::reader,
                last,
            ],
            Cast::Openers => vec![
                scattered,
                World::late_opener,
                World::late_opener,
                World::merger,
                World::sweeper,
            ],
            Cast::Maps => vec![
                scattered,
                World::merger,
                if checked { World::vacuum } else { World::sweeper },
                World::reader,
                World::checker,
            ],
            Cast::Counts => {
                vec![scattered, World::merger, World::vacuum, World::counter, World::counter]
            }
            Cast::Recounts => vec![World::turnover, World::recounter],
            Cast::Looks => vec![World::turnover, World::merger, World::looker],
            Cast::Kills => vec![
                World::tail_inserter,
                World::tail_inserter,
                World::tail_vacuum,
                World::late_killer,
                World::late_killer,
            ],
            Cast::Splits => vec![
                World::tail_inserter,
                World::tail_inserter,
                World::tail_vacuum,
                World::tail_reader,
                World::tail_reader,
            ],
        }
    }
}

/// One schedule: which index, which threads, and their turns, all from the seed.
fn play<C: Sample>(images: &[Image<C>], seed: u64, cast: Option<Cast>) {
    let mut random = Random::new(seed);
    let cast = cast.unwrap_or_else(|| Cast::picked(&mut random));
    let image = cast.image(images, &mut random);
    let unique = cast == Cast::All && random.one_in(3);
    let world = Arc::new(World {
        store: ConcurrentStore::of(&image.pages),
        heap: image.heap.clone(),
        exclusion: Mutex::new(()),
        options: image.options,
        last: image.last,
        included: image.included,
        tail: if cast == Cast::Kills { 3 } else { TAIL },
        locks: LockTable::default(),
    });
    if unique {
        // So far the index was not unique: of each key one row lives on.
        for key in (0..SHARED_KEYS).map(shared_key) {
            let same = world.heap.alive_between(world.heap.now(), world.heap.now());
            let same = same.iter().filter(|entry| world.is_same(entry.key, key)).skip(1);
            same.for_each(|entry| world.heap.kill(entry.tid));
        }
    }
    // Sometimes a merge ends between its publish and the freeing of what it replaced.
    let cut_off = match cast {
        Cast::Maps => 1,
        _ if random.one_in(4) => 1 + random.below(4),
        _ => 0,
    };
    set_cut_off(cut_off);
    pause_at_stop_points(
        *random.pick(if cast == Cast::Maps { &[2, 3, 4] } else { &[0, 3, 8] }),
        seed,
    );
    let mut seeds = Random::new(seed ^ 0x5EED);
    let last: Role<C> = match random.below(4) {
        0 => World::checker,
        1 | 2 => World::locking_reader,
        _ => World::reader,
    };
    let threads: Vec<_> = cast
        .roles(unique, random.one_in(4), last)
        .into_iter()
        .map(|role| {
            let (world, own) = (Arc::clone(&world), Random::new(seeds.next()));
            thread::spawn(move || role(&world, own))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(world.store.pins(), 0, "pins that nobody gave back");
    world.locks.expect_no_row_between(&world.heap);
    pause_at_stop_points(0, 0);
    let store = world.store.copy();
    set_cut_off(0);
    if cut_off > 0 {
        sweep(&store, &mut || {}).unwrap();
    }
    expect_entries(&store, &world.heap);
    expect_right_end(&store, world.options, &world.heap);
}

fn schedule<C: Sample>(images: &Arc<Vec<Image<C>>>, seed: u64, cast: Option<Cast>) {
    let images = Arc::clone(images);
    scheduler::run(seed, move || play(&images, seed, cast));
}

fn prepare<C: Sample>(included: usize) -> Arc<Vec<Image<C>>> {
    set_full_at(FULL_AT);
    let images: Vec<Image<C>> = Image::all(included);
    // Otherwise hardly any page would ever be split.
    let delta_pages = |image: &Image<C>| {
        check(&memory_store::<C>(&image.pages), true, |_| {}).unwrap().delta_pages
    };
    assert!(images.iter().any(|image| delta_pages(image) > 10), "no deep delta tree");
    let maps = images.last().unwrap();
    let before = maps.pages.iter().zip(0..).filter(|(page, block)| {
        let map =
            Head::<C>::parse(page, *block).ok().and_then(|head| head.of(page).tombstone_page());
        map.is_some_and(|map| map < *block)
    });
    assert!(before.count() >= 3, "no maps before their leaves");
    Arc::new(images)
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_is_missed_doubled_lost_or_stuck_under_any_schedule() {
    play_all::<u64>(1, 0);
}

#[test]
fn nor_with_codes_of_several_words_or_others_beside_the_key() {
    play_all::<[u64; 2]>(6, 0);
    play_all::<[u64; 2]>(6, 1);
}

/// Plays the schedules that the environment variables ask for, but only a `share`-th of them.
fn play_all<C: Sample>(share: u64, included: usize) {
    let images = prepare::<C>(included);
    if let Some(seed) = variable("OMENDB_LEARNED_SEED") {
        return schedule(&images, seed, None);
    }
    let schedules = variable("OMENDB_LEARNED_SCHEDULES").unwrap_or(SCHEDULES) / share;
    let first = variable("OMENDB_LEARNED_FIRST_SEED").unwrap_or(0);
    for seed in first..first + schedules {
        let outcome = std::panic::catch_unwind(|| schedule(&images, seed, None));
        if let Err(failure) = outcome {
            eprintln!("OMENDB_LEARNED_SEED={seed} runs the schedule that failed");
            std::panic::resume_unwind(failure);
        }
    }
    let steps = scheduler::STEPS.load(std::sync::atomic::Ordering::Relaxed);
    println!("{schedules} schedules, {steps} steps");
}
