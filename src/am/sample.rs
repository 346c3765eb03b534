//! What an index tells of the values of its first column: the least and the greatest, how many
//! there are, and how they are distributed. About, for estimates: rows that nobody sees any more
//! are among them until VACUUM was there.

use learned_index::corruption::Result;
use learned_index::entry::Entry;
use learned_index::key::{Intervals, Key, NullClass};
use learned_index::tree::directory::Directory;
use learned_index::tree::sample::{entries_with_values, sample};
use learned_index::tree::scan::{Direction, Guard, Scan};
use pgrx::prelude::*;

use super::scan::quals::QualCode;
use crate::column::KeyColumns;
use crate::column::code::{IndexCode, with_code};
use crate::relation::OpenIndex;
use crate::storage::buffers::{IndexStore, Pin};
use crate::storage::session;

/// How far the values of a column go.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    /// The least and the greatest value.
    pub(crate) ends: (pg_sys::Datum, pg_sys::Datum),
    /// Entries that are not NULL.
    pub(crate) entries: f64,
}

/// How far the values of an index's first column go; `None` if there are none. What is passed by
/// reference is in the current memory context.
///
/// # Errors
/// If a page is damaged.
///
/// # Safety
/// The index stays open, and within a transaction.
pub(crate) unsafe fn extent_of(index: OpenIndex) -> Result<Option<Extent>> {
    with_code!(index, C => {
        let not_null = compared(0, pg_sys::InvalidOid, pg_sys::Datum::null());
        // SAFETY: by contract.
        unsafe { Sampled::<C>::with(index, &not_null, |sampled| sampled.extent()) }
    })
}

/// A sample of the values of an index's first column that compare so with another one of its type,
/// in the order of the type, each with how many entries it stands for: itself and those between it
/// and its neighbour towards the least value. The least or the greatest that is there is among
/// them.
///
/// # Errors
/// If a page is damaged.
///
/// # Safety
/// As [`extent_of`]; the value is of the column's type.
pub(crate) unsafe fn sample_of(
    index: OpenIndex,
    strategy: u32,
    value: pg_sys::Datum,
) -> Result<Vec<(pg_sys::Datum, f64)>> {
    with_code!(index, C => {
        let key = compared(strategy, index.key_types()[0], value);
        // SAFETY: by contract.
        unsafe { Sampled::<C>::with(index, &key, |sampled| sampled.values()) }
    })
}

/// The key of a scan for values of the first column: all of them with the strategy 0.
fn compared(strategy: u32, type_oid: pg_sys::Oid, value: pg_sys::Datum) -> pg_sys::ScanKeyData {
    // SAFETY: plain numbers, and functions that are null.
    let mut key: pg_sys::ScanKeyData = unsafe { std::mem::zeroed() };
    if strategy == 0 {
        key.sk_flags = (pg_sys::SK_ISNULL | pg_sys::SK_SEARCHNOTNULL) as i32;
    }
    key.sk_attno = 1;
    key.sk_strategy = strategy as pg_sys::StrategyNumber;
    key.sk_subtype = type_oid;
    key.sk_argument = value;
    key
}

/// The entries that are looked at.
struct Sampled<'a, C: QualCode> {
    store: &'a IndexStore<C>,
    directory: &'a mut Directory<C>,
    columns: C::Columns,
    intervals: Intervals<C>,
    descending: bool,
}

impl<C: QualCode> Sampled<'_, C> {
    /// Looks at the entries that a key selects.
    ///
    /// # Safety
    /// As [`extent_of`]; the key is one of a scan of the index.
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
            let directory = &mut directory.borrow_mut();
            let descending = index.column_options(0) & pg_sys::INDOPTION_DESC != 0;
            look(Sampled { store: &store, directory, columns, intervals, descending })
        });
        // Also where it is damaged: the planner goes on then.
        store.release();
        found
    }

    fn extent(self) -> Result<Option<Extent>> {
        let mut scan: Scan<Pin, C> = Scan::new();
        let mut end = |direction| -> Result<Option<Entry<C>>> {
            scan.restart(self.store, Guard::Nothing);
            scan.intervals_mut().set_union(self.intervals.as_slice().iter().copied());
            scan.next(self.store, self.directory, direction)
        };
        let ends = (end(Direction::Forward), end(Direction::Backward));
        scan.release(self.store);
        let (Some(first), Some(last)) = (ends.0?, ends.1?) else { return Ok(None) };
        let entries = entries_with_values(self.store, self.directory)?;
        let (least, greatest) = if self.descending { (last, first) } else { (first, last) };
        Ok(self.value(least.key).zip(self.value(greatest.key)).map(|ends| Extent { ends, entries }))
    }

    fn values(self) -> Result<Vec<(pg_sys::Datum, f64)>> {
        let mut values = Vec::new();
        for interval in self.intervals.as_slice() {
            if interval.low.class != NullClass::Value {
                continue;
            }
            for key in sample(self.store, self.directory, interval)? {
                values.extend(self.value(Key::value(key.code)).map(|value| (value, key.entries)));
            }
        }
        if self.descending {
            values.reverse();
        }
        Ok(values)
    }

    fn value(&self, key: Key<C>) -> Option<pg_sys::Datum> {
        self.columns.values(key).first().copied().flatten()
    }
}
