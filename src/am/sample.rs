//! What an index tells of the values of its first column: the least and the greatest, how many
//! there are, and how they are distributed. About, for estimates.

use std::cell::RefCell;

use learned_index::corruption::Result;
use learned_index::entry::Entry;
use learned_index::key::{Intervals, Key, NullClass};
use learned_index::memory::{Add, listed};
use learned_index::tree::directory::Directory;
use learned_index::tree::sample::{SampledKey, entries_with_values, sample};
use learned_index::tree::scan::{Direction, Guard, Rows, Scan};
use pgrx::prelude::*;

use super::scan::quals::QualCode;
use super::scan::visible::SeenRows;
use crate::column::KeyColumns;
use crate::column::code::{IndexCode, with_code};
use crate::relation::{OpenIndex, OpenTable};
use crate::storage::buffers::{IndexStore, Pin};
use crate::storage::session;

/// Rows of a sample that are looked up in the table, at most.
const LOOKED_UP: usize = 64;

/// How many rows there are, about.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Those whose first column is not NULL.
    pub(crate) values: f64,
    /// Those whose first column is NULL.
    pub(crate) nulls: f64,
}

/// The least and the greatest value of an index's first column; `None` if there are none. What is
/// passed by reference is in the current memory context.
///
/// # Errors
/// If a page is damaged.
///
/// # Safety
/// The index stays open, and within a transaction.
pub(crate) unsafe fn ends_of(index: OpenIndex) -> Result<Option<(pg_sys::Datum, pg_sys::Datum)>> {
    with_code!(index, C => {
        let key = null_test(pg_sys::SK_SEARCHNOTNULL);
        // SAFETY: by contract.
        unsafe { Sampled::<C>::with(index, &key, |sampled| sampled.ends()) }
    })
}

/// How many entries an index has.
///
/// # Errors
/// If a page is damaged.
///
/// # Safety
/// As [`ends_of`].
pub(crate) unsafe fn sizes_of(index: OpenIndex) -> Result<Sizes> {
    with_code!(index, C => {
        let key = null_test(pg_sys::SK_SEARCHNULL);
        // SAFETY: by contract.
        unsafe { Sampled::<C>::with(index, &key, |sampled| sampled.sizes()) }
    })
}

/// A sample of the values of an index's first column that compare so with another one of its type,
/// in the order of the type, each with how many entries it stands for: itself and those between it
/// and its neighbour towards the least value.
///
/// # Errors
/// If a page is damaged.
///
/// # Safety
/// As [`ends_of`]; the value is of the column's type.
pub(crate) unsafe fn sample_of(
    index: OpenIndex,
    strategy: u32,
    value: pg_sys::Datum,
) -> Result<Vec<(pg_sys::Datum, f64)>> {
    with_code!(index, C => {
        let key = comparison(strategy, index.key_types()[0], value);
        // SAFETY: by contract.
        unsafe { Sampled::<C>::with(index, &key, |sampled| sampled.values()) }
    })
}

/// The key of a scan for the rows whose first column is NULL, or is not.
fn null_test(flag: u32) -> pg_sys::ScanKeyData {
    // SAFETY: plain numbers, and functions that are null.
    let mut key: pg_sys::ScanKeyData = unsafe { std::mem::zeroed() };
    key.sk_flags = (pg_sys::SK_ISNULL | flag) as i32;
    key.sk_attno = 1;
    key
}

/// The key of a scan for the rows whose first column compares so with a value.
fn comparison(strategy: u32, type_oid: pg_sys::Oid, value: pg_sys::Datum) -> pg_sys::ScanKeyData {
    // SAFETY: as in `null_test`.
    let mut key: pg_sys::ScanKeyData = unsafe { std::mem::zeroed() };
    key.sk_attno = 1;
    key.sk_strategy = strategy as pg_sys::StrategyNumber;
    key.sk_subtype = type_oid;
    key.sk_argument = value;
    key
}

/// The entries that are looked at.
struct Sampled<'a, C: QualCode> {
    store: &'a IndexStore<C>,
    directory: &'a RefCell<Directory<C>>,
    columns: C::Columns,
    intervals: Intervals<C>,
    descending: bool,
}

impl<C: QualCode> Sampled<'_, C> {
    /// Looks at the entries that a key selects.
    ///
    /// # Safety
    /// As [`ends_of`]; the key is one of a scan of the index.
    unsafe fn with<T>(
        index: OpenIndex,
        key: &pg_sys::ScanKeyData,
        look: impl FnOnce(Sampled<'_, C>) -> Result<T>,
    ) -> Result<T> {
        let store: IndexStore<C> = IndexStore::new(index);
        let found = session::directory_of(&store).and_then(|directory| {
            let columns = <C as IndexCode>::Columns::of_index(index);
            let (mut intervals, mut filter) = (Intervals::new(), C::Filter::default());
            // SAFETY: by contract.
            unsafe {
                C::set_intervals(std::slice::from_ref(key), &columns, &mut intervals, &mut filter)
            };
            let directory = &*directory;
            let descending = index.column_options(0) & pg_sys::INDOPTION_DESC != 0;
            look(Sampled { store: &store, directory, columns, intervals, descending })
        });
        // Also where it is damaged: the planner goes on then.
        store.release();
        found
    }

    /// The least and the greatest value.
    fn ends(self) -> Result<Option<(pg_sys::Datum, pg_sys::Datum)>> {
        let mut scan: Scan<Pin, C> = Scan::new();
        let mut end = |direction| -> Result<Option<Entry<C>>> {
            scan.restart(self.store, Guard::Nothing);
            scan.intervals_mut().set_union(self.intervals.as_slice().iter().copied());
            scan.next(self.store, &mut self.directory.borrow_mut(), direction)
        };
        let ends = (end(Direction::Forward), end(Direction::Backward));
        scan.release(self.store);
        let (Some(first), Some(last)) = (ends.0?, ends.1?) else { return Ok(None) };
        let (least, greatest) = if self.descending { (last, first) } else { (first, last) };
        Ok(self.value(least.key).zip(self.value(greatest.key)))
    }

    /// How many NULLs there are, which are those that are looked at, and how many other entries.
    fn sizes(self) -> Result<Sizes> {
        let (mut nulls, mut among_values) = (0.0, 0.0);
        for interval in self.intervals.as_slice() {
            let keys = sample(self.store, &mut self.directory.borrow_mut(), interval)?;
            let rows: f64 = keys.iter().map(|key| key.entries).sum();
            nulls += rows;
            // Beside other columns NULLs have codes as values have.
            among_values += if interval.low.class == NullClass::Value { rows } else { 0.0 };
        }
        let all = entries_with_values(self.store, &mut self.directory.borrow_mut())?;
        Ok(Sizes { values: (all - among_values).max(1.0), nulls })
    }

    /// A sample of the values, in the order of the type.
    fn values(self) -> Result<Vec<(pg_sys::Datum, f64)>> {
        let mut keys = Vec::new();
        for interval in self.intervals.as_slice() {
            keys.add_all(sample(self.store, &mut self.directory.borrow_mut(), interval)?);
        }
        let mut keys = living(self.store.index(), keys);
        if self.descending
            && let Some(first) = keys.first().map(|key| key.entries)
        {
            // Each stands for those up to its neighbour at the other side then.
            for at in 1..keys.len() {
                keys[at - 1].entries = keys[at].entries;
            }
            keys.last_mut().into_iter().for_each(|last| last.entries = 0.0);
            keys[0].entries += first;
            keys.reverse();
        }
        let value = |key: &SampledKey<C>| Some((self.value(Key::value(key.code))?, key.entries));
        Ok(listed(keys.iter().filter_map(value)))
    }

    fn value(&self, key: Key<C>) -> Option<pg_sys::Datum> {
        self.columns.values(key).first().copied().flatten()
    }
}

/// Leaves out those of a sample whose rows are dead to all, as VACUUM will find: a queue has many
/// of them behind the last ANALYZE, and so has a load that was rolled back. Some rows are looked
/// up, each for its neighbours in the sample.
fn living<C: QualCode>(index: OpenIndex, keys: Vec<SampledKey<C>>) -> Vec<SampledKey<C>> {
    // SAFETY: who plans a query has its tables locked, and ours are open while their indexes are
    // looked at. The snapshot lives as long as the rows are read.
    unsafe {
        let relation = pg_sys::table_open(index.definition().indrelid, 0);
        let mut snapshot: pg_sys::SnapshotData = std::mem::zeroed();
        // `InitNonVacuumableSnapshot` of snapmgr.h.
        snapshot.snapshot_type = pg_sys::SnapshotType::SNAPSHOT_NON_VACUUMABLE;
        snapshot.vistest = pg_sys::GlobalVisTestFor(relation);
        let mut rows = SeenRows::new(OpenTable::new(relation), &raw mut snapshot);
        let step = keys.len().div_ceil(LOOKED_UP).max(1);
        let mut found = Vec::new();
        for neighbours in keys.chunks(step) {
            let looked_up = neighbours[neighbours.len() / 2].tid;
            if looked_up.is_none_or(|tid| rows.sees(tid)) {
                found.add_all(neighbours.iter().copied());
            }
        }
        rows.finish();
        pg_sys::table_close(relation, 0);
        found
    }
}
