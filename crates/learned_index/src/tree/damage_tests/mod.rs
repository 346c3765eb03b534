//! One damaged page in an index that has every kind: whatever is done with it gives an error, or
//! what would be right without the damage, and the check finds it. Never a panic, never an end to
//! wait for, never another answer.

mod damage;
mod subject;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};

use damage::{Case, Damage};
use subject::{ROLES, Role, SPARSE, Subject};

use super::check::check;
use super::delta::{Unique, insert, insert_unique};
use super::directory::Directory;
use super::merge::{Limits, Step, merge_step};
use super::scan::{Direction, Guard, Scan};
use super::vacuum::bulk_delete;
use crate::corruption::{Corruption, Result};
use crate::entry::{Entry, HeapTid};
use crate::key::{Key, Sample};
use crate::store::strict::{NoSuchBlock, StrictStore};

/// Pages that one action may read before it counts as endless: several times the index.
const PATIENCE: u64 = 100_000;

/// A damaged index, and a session that uses it.
struct Session<C> {
    store: StrictStore<C>,
    directory: Option<Directory<C>>,
    entries: BTreeSet<Entry<C>>,
}

/// What an action came to: its answer, or an error of the index or of the store.
fn outcome<C: Sample, T>(store: &StrictStore<C>, action: impl FnOnce() -> Result<T>) -> Option<T> {
    store.be_patient(PATIENCE);
    match catch_unwind(AssertUnwindSafe(action)) {
        Ok(Ok(answer)) => {
            assert!(store.is_unlocked(), "something is left locked");
            Some(answer)
        }
        Ok(Err(Corruption { .. })) => {
            assert!(store.is_unlocked(), "something is left locked");
            None
        }
        Err(payload) => match payload.downcast::<NoSuchBlock>() {
            Ok(_) => None,
            Err(panic) => resume_unwind(panic),
        },
    }
}

impl<C: Sample> Session<C> {
    fn directory(&mut self) -> Option<&mut Directory<C>> {
        if self.directory.is_none() {
            self.directory = outcome(&self.store, || Directory::open(&self.store, 1 << 24));
        }
        self.directory.as_mut()
    }

    fn scan(&mut self, low: Key<C>, high: Key<C>, direction: Direction) -> Option<Vec<Entry<C>>> {
        self.directory()?;
        let (store, directory) = (&self.store, self.directory.as_mut()?);
        let mut scan = Scan::new();
        scan.restart(store, Guard::Pins);
        scan.intervals_mut().set(low, high);
        outcome(store, || {
            let mut found = Vec::new();
            while let Some(entry) = scan.next(store, directory, direction)? {
                found.push(entry);
                assert!(found.len() < 1_000_000, "an endless scan");
            }
            Ok(found)
        })
    }

    fn assert_range(&mut self, low: Key<C>, high: Key<C>, direction: Direction) {
        let Some(mut found) = self.scan(low, high, direction) else { return };
        if direction == Direction::Backward {
            found.reverse();
        }
        let first = Entry { key: low, tid: HeapTid::MIN };
        let last = Entry { key: high, tid: HeapTid::from_u64(u64::MAX) };
        let expected = self.entries.range(first..=last).copied();
        let place = (found.len(), expected.clone().count());
        assert!(found.into_iter().eq(expected), "{low:?} to {high:?} {direction:?}: {place:?}");
    }

    /// Scans of everything, of ranges and of single keys.
    fn read(&mut self, random: &mut StdRng) {
        for _ in 0..6 {
            let some: Vec<Entry<C>> = self.entries.iter().copied().choose_multiple(random, 2);
            let (low, high) = (some[0].key.min(some[1].key), some[0].key.max(some[1].key));
            self.assert_range(some[0].key, some[0].key, Direction::Forward);
            let near = self.entries.range(some[1]..).nth(100).map_or(some[1].key, |last| last.key);
            self.assert_range(some[1].key, near, Direction::Backward);
            if random.random_range(0..3) == 0 {
                self.assert_range(low, high, Direction::Forward);
            }
        }
        self.assert_range(Key::MIN, Key::MAX, Direction::Forward);
        self.assert_range(Key::MIN, Key::MAX, Direction::Backward);
    }

    fn insert(&mut self, random: &mut StdRng, null: Key<C>) {
        for number in 0..60u32 {
            let near = self.entries.iter().choose(random).unwrap().key;
            let key = match number % 20 {
                0 => null,
                odd if odd % 2 == 1 => Key { code: near.code.next().unwrap_or(C::MIN), ..near },
                _ => near,
            };
            let entry = Entry { key, tid: HeapTid::new(1 << 30 | number, 1) };
            if self.directory().is_none() {
                return;
            }
            let (store, Some(directory)) = (&self.store, self.directory.as_mut()) else { return };
            if outcome(store, || insert(store, directory, entry)).is_some() {
                self.entries.insert(entry);
                self.assert_range(key, key, Direction::Forward);
            }
        }
    }

    /// Every key that is there is a duplicate.
    fn insert_duplicates(&mut self, random: &mut StdRng) {
        for number in 0..10u32 {
            let key = self.entries.iter().choose(random).unwrap().key;
            let entry = Entry { key, tid: HeapTid::new(1 << 29 | number, 1) };
            if self.directory().is_none() {
                return;
            }
            let (store, Some(directory)) = (&self.store, self.directory.as_mut()) else { return };
            let found = |_| ControlFlow::Break(());
            let inserted = outcome(store, || insert_unique(store, directory, entry, true, found));
            assert!(
                matches!(inserted, None | Some(Unique::Stopped(()))),
                "a duplicate of {key:?} is inserted"
            );
        }
    }

    fn merge(&mut self) {
        let mut spare = Vec::new();
        let limits = Limits { leaves: 30, entries: 1 << 18 };
        let merge = || merge_step(&self.store, SPARSE, limits, 1, &mut spare);
        let mut merge = merge;
        for _ in 0..100 {
            if outcome(&self.store, &mut merge).is_none_or(|step| step == Step::Idle) {
                break;
            }
        }
    }

    /// Does everything, and believes every answer.
    fn use_blindly(&mut self, random: &mut StdRng) {
        let all = |session: &mut Session<C>| {
            for direction in [Direction::Forward, Direction::Backward] {
                session.scan(Key::MIN, Key::MAX, direction);
            }
        };
        all(self);
        if let Some(directory) = outcome(&self.store, || Directory::open(&self.store, 1 << 24)) {
            self.directory = Some(directory);
        }
        if let (store, Some(directory)) = (&self.store, self.directory.as_mut()) {
            for number in 0..60u32 {
                let key = self.entries.iter().choose(random).unwrap().key;
                let entry = Entry { key, tid: HeapTid::new(1 << 30 | number, 1) };
                outcome(store, || insert(store, directory, entry));
            }
        }
        outcome(&self.store, || bulk_delete(&self.store, SPARSE, |tid| tid.offset() < 9, || {}));
        self.merge();
        all(self);
    }

    fn vacuum(&mut self, random: &mut StdRng) {
        let dead: BTreeSet<HeapTid> = self
            .entries
            .iter()
            .filter(|_| random.random_range(0..5) == 0)
            .map(|entry| entry.tid)
            .collect();
        let done = outcome(&self.store, || {
            bulk_delete(&self.store, SPARSE, |tid| dead.contains(&tid), || {})
        });
        if done.is_some() {
            self.entries.retain(|entry| !dead.contains(&entry.tid));
            return;
        }
        // Some of them are gone, as their rows are.
        if let Some(found) = self.scan(Key::MIN, Key::MAX, Direction::Forward) {
            let found: BTreeSet<Entry<C>> = found.into_iter().collect();
            assert!(found.is_subset(&self.entries), "rows out of nowhere");
            assert!(self.entries.difference(&found).all(|gone| dead.contains(&gone.tid)));
        }
        self.entries.clear();
    }
}

/// Whether the check finds something.
fn is_found<C: Sample>(store: &StrictStore<C>) -> bool {
    outcome(store, || check(store, true, |_| {})).is_none()
}

/// What a case showed.
enum Seen {
    /// Whether the damage means something, and whether the check finds it.
    Found { matters: bool, found: bool },
    /// Nothing that could be told.
    LostWrite,
}

struct Bench<C> {
    subject: Subject<C>,
    foreign: Subject<C>,
}

impl<C: Sample> Bench<C> {
    fn new(seed: u64) -> Bench<C> {
        Bench { subject: Subject::new(seed), foreign: Subject::new(seed + 1000) }
    }

    fn session(&self) -> Session<C> {
        Session {
            store: StrictStore::new(self.subject.store.clone()),
            directory: None,
            entries: self.subject.entries.clone(),
        }
    }

    fn run(&self, case: &Case, random: &mut StdRng) -> Seen {
        let mut session = self.session();
        let warm = random.random_bool(0.4);
        if warm {
            session.read(random);
        }
        let matters = case.inflict(&self.subject, &self.foreign, &session.store.pages);
        session.store.evict();
        let found = is_found(&session.store);
        if matches!(case.damage, Damage::Earlier) {
            // Nobody can tell a page from what it was before, but for what other pages say.
            session.use_blindly(random);
            return Seen::LostWrite;
        }
        session.read(random);
        let mut actions = [0, 1, 2, 3];
        rand::seq::SliceRandom::shuffle(&mut actions[..], random);
        for action in actions {
            match action {
                0 => session.insert(random, self.subject.null),
                1 => session.insert_duplicates(random),
                2 => session.merge(),
                _ => session.vacuum(random),
            }
            if session.entries.is_empty() {
                break;
            }
            session.read(random);
        }
        Seen::Found { matters, found }
    }
}

fn cases() -> u64 {
    let cases = std::env::var("OMENDB_LEARNED_DAMAGES");
    cases.map_or(500, |cases| cases.parse().unwrap())
}

#[test]
fn a_damaged_page_gives_an_error_or_the_right_answer_and_the_check_finds_it() {
    damage_pages::<u64>(cases());
}

#[test]
fn so_does_one_of_an_index_with_wide_codes() {
    damage_pages::<[u64; 2]>(cases() / 2);
    damage_pages::<[u64; 3]>(cases() / 2);
}

fn damage_pages<C: Sample>(cases: u64) {
    let bench: Bench<C> = Bench::new(1);
    let mut counts: BTreeMap<Role, usize> = BTreeMap::new();
    let mut failed = Vec::new();
    for seed in 0..cases {
        let mut random = StdRng::seed_from_u64(seed);
        let case = Case::random(&bench.subject, &mut random);
        *counts.entry(case.role).or_default() += 1;
        let failure = match catch_unwind(AssertUnwindSafe(|| bench.run(&case, &mut random))) {
            Err(panic) => Some(
                panic
                    .downcast::<String>()
                    .map_or_else(|_| "a panic".to_owned(), |message| *message),
            ),
            Ok(Seen::LostWrite) => None,
            Ok(Seen::Found { matters: true, found: false }) => {
                Some("the check does not find it".to_owned())
            }
            Ok(Seen::Found { matters: false, found: true })
                if case.role != Role::Free && !matches!(case.damage, Damage::Foreign) =>
            {
                Some("the check finds what means nothing".to_owned())
            }
            Ok(Seen::Found { .. }) => None,
        };
        failed.extend(failure.map(|failure| (seed, case, failure)));
    }
    println!("{counts:?}");
    for (seed, case, failure) in &failed {
        println!("{seed}: {case:?}: {failure}");
    }
    assert!(failed.is_empty(), "{} cases fail", failed.len());
    let all = cases < 1_000 || ROLES.iter().all(|role| counts[role] > 12);
    assert!(all, "some kinds of pages are hardly damaged: {counts:?}");
}
