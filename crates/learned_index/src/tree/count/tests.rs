//! What a count remembers of leaves, where VACUUM comes between its steps.

use super::*;
use crate::fault::testing::inject;
use crate::model::ModelChoice;
use crate::page::meta::{Identity, KeyColumn};
use crate::store::memory::MemoryStore;
use crate::tree::build::{BuildOptions, Builder};
use crate::tree::vacuum::bulk_delete;

const ROWS: u64 = 10_000;
const OPTIONS: BuildOptions = BuildOptions { model: ModelChoice::Linear, fillfactor: 10 };

/// A table whose row in the first leaf is dead: VACUUM removes it while the map is read.
struct Vacuumed<'s> {
    store: &'s MemoryStore,
    dead: Option<HeapTid>,
}

impl CountedTable for Vacuumed<'_> {
    fn blocks(&mut self) -> u32 {
        1 + ROWS as u32 / 50
    }

    fn read_map(&mut self, _: u32, bytes: &mut MapBytes) {
        if let Some(dead) = self.dead.take() {
            let stats = bulk_delete(self.store, OPTIONS, |tid| tid == dead, || {}).unwrap();
            assert_eq!(stats.removed, 1);
        }
        // Its TID is another row's by now, which everybody sees.
        bytes.fill(0xFF);
    }
}

impl Rows for Vacuumed<'_> {
    fn sees(&mut self, tid: HeapTid) -> bool {
        panic!("{tid:?} was looked up");
    }
}

/// Counts all rows, and then those but for one that is vacuumed meanwhile.
fn recount() -> (u64, u64) {
    let identity = Identity::of_column(5, KeyColumn::ascending(1));
    let mut builder = Builder::new(MemoryStore::default(), identity, OPTIONS);
    let tid = |row: u64| HeapTid::new(row as u32 / 50, (row % 50) as u16 + 1);
    for row in 0..ROWS {
        assert!(builder.try_push(row * row, tid(row)));
    }
    let (store, _) = builder.finish();
    let mut directory = Directory::open(&store, 1 << 20).unwrap();
    assert!(directory.leaves() > 3);
    let mut rows_of = |dead| {
        let (mut count, mut table) = (Count::default(), Vacuumed { store: &store, dead });
        while count.step(&store, &mut directory, &[Interval::ALL], None, &mut table).unwrap() {}
        count.counted().rows
    };
    (rows_of(None), rows_of(Some(tid(5))))
}

#[test]
fn what_is_remembered_of_leaves_is_not_believed_after_vacuum() {
    assert_eq!(recount(), (ROWS, ROWS - 1));
}

#[test]
fn that_it_is_would_be_noticed() {
    for fault in [Fault::KeepLiving, Fault::KeepWord] {
        inject(Some(fault));
        let found = recount();
        inject(None);
        assert_eq!(found, (ROWS, ROWS), "{fault:?}");
    }
}
