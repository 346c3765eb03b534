//! Index scans.
//!
//! - [`quals`]: from the keys of a scan to the intervals that it visits; `product`: the same for
//!   several columns, with a filter for what intervals do not say; `rows`: comparisons of rows
//! - `leave`: leaving a group of entries behind
//! - [`heap_ahead`]: asking for heap pages before they are needed
//! - [`killed`]: marking the dead rows that scans have found
//! - [`visible`]: on a standby, checks index-only results against the visibility map and the table
//! - `whole_row`: index-only results that are too long for the index
//! - `watched`: what a scan has done, for those who watch

mod heap_ahead;
mod killed;
mod leave;
mod product;
pub(super) mod quals;
#[cfg(any(test, feature = "pg_test"))]
mod quals_tests;
mod rows;
pub(super) mod visible;
pub(crate) mod watched;
mod whole_row;

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::rc::Rc;

use learned_index::corruption::Result;
use learned_index::entry::Entry;
use learned_index::key::Word;
use learned_index::tree::directory::Directory;
use learned_index::tree::scan::{Direction, Guard, NoLocks, Scan};
use pgrx::PgMemoryContexts;
use pgrx::prelude::*;

use super::serializable::{is_mvcc, locks_reads, with_read_locks};
use crate::column::KeyColumns;
use crate::column::code::{IndexCode, with_code};
use crate::column::tid::item_pointer;
use crate::column::tuple::ReturnedTuple;
use crate::counters::{Place, place_of};
use crate::relation::OpenIndex;
use crate::storage::buffers::{IndexStore, Pin};
use crate::storage::session;
use heap_ahead::{HeapAhead, ask_ahead};
use killed::mark_for_all_sessions;
pub(crate) use leave::leave_group;
use quals::{Filter, QualCode};
use visible::{MapPage, TableRows};
use whole_row::{WholeRow, read_and_return};

/// Heap TIDs that are added to a bitmap at once, where some entries are passed over.
const GATHERED: usize = 1024;

/// What an open scan keeps between calls. Lives in a memory context of its own, whose end drops
/// it; pins are released by `amendscan`, or by the transaction's abort.
#[repr(C)]
struct OpenScan<C: QualCode> {
    /// Comes first, so that it is known before the rest is: how many words `C` has.
    words: usize,
    context: pg_sys::MemoryContext,
    store: IndexStore<C>,
    directory: Option<Rc<RefCell<Directory<C>>>>,
    scan: Scan<Pin, C>,
    heap_ahead: HeapAhead,
    guard: Guard,
    /// The page of the table's visibility map that [`Guard::Checks`] read last.
    map: MapPage,
    /// Whether this run of the scan has been counted.
    counted: bool,
    /// Searches.
    searches: u64,
    /// Where they are counted for all sessions.
    place: Option<Place>,
    columns: C::Columns,
    /// What else entries must be like.
    filter: C::Filter,
    /// Whether the keys describe more than what matches, so that the executor must check.
    recheck: bool,
    /// What an index-only scan returns.
    tuple: ReturnedTuple,
    /// The same, of a row that has a value which is only in the table.
    whole_row: WholeRow,
}

/// Whether an index-only scan can return a column: not where codes do not tell all of a value.
///
/// # Safety
/// Called by the core with an open index.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amcanreturn(index: pg_sys::Relation, column: c_int) -> bool {
    // SAFETY: by contract.
    let index = unsafe { OpenIndex::new(index) };
    let column = usize::try_from(column - 1).unwrap_or(0);
    with_code!(index, C => <C as IndexCode>::Columns::of_index(index).decodes_exactly(column))
}

/// Begins a scan.
///
/// # Safety
/// Called by the core with an open index.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn ambeginscan(
    index: pg_sys::Relation,
    key_count: c_int,
    orderby_count: c_int,
) -> pg_sys::IndexScanDesc {
    // SAFETY: by contract; the core frees the descriptor, and its context drops our state.
    unsafe {
        let scan = pg_sys::RelationGetIndexScan(index, key_count, orderby_count);
        let context = pg_sys::AllocSetContextCreateExtended(
            pg_sys::CurrentMemoryContext,
            c"scan of a learned index".as_ptr(),
            pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
            pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
            pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
        );
        let open_index = OpenIndex::new(index);
        (*scan).opaque = with_code!(open_index, C => new_scan::<C>(context, open_index)).cast();
        (*scan).xs_itupdesc = (*index).rd_att;
        scan
    }
}

/// # Safety
/// As [`ambeginscan`].
unsafe fn new_scan<C: QualCode>(context: pg_sys::MemoryContext, index: OpenIndex) -> *mut c_void {
    let open: OpenScan<C> = OpenScan {
        words: C::WORDS,
        context,
        store: IndexStore::new(index),
        directory: None,
        scan: Scan::new(),
        heap_ahead: HeapAhead::new(),
        guard: Guard::Nothing,
        map: MapPage::default(),
        counted: false,
        searches: 0,
        place: place_of(index),
        columns: C::Columns::of_index(index),
        filter: C::Filter::default(),
        recheck: false,
        tuple: ReturnedTuple::new(),
        whole_row: WholeRow::new(context),
    };
    PgMemoryContexts::For(context).leak_and_drop_on_delete(open).cast()
}

/// Runs code for the type of a scan's codes: with a name for what the scan keeps, or for the type.
macro_rules! with_scan {
    ($scan:expr, $open:ident => $body:expr) => {
        with_scan!($scan; Code => {
            let $open = open_scan::<Code>($scan);
            $body
        })
    };
    ($scan:expr; $code:ident => $body:expr) => {
        match *(*$scan).opaque.cast::<usize>() {
            1 => {
                type $code = Word;
                $body
            }
            2 => {
                type $code = [Word; 2];
                $body
            }
            4 => {
                type $code = [Word; 4];
                $body
            }
            _ => {
                type $code = [Word; 8];
                $body
            }
        }
    };
}
use with_scan;

/// # Safety
/// `scan` came from [`ambeginscan`], is not ended, and has such codes.
#[inline]
unsafe fn open_scan<'s, C: QualCode>(scan: pg_sys::IndexScanDesc) -> &'s mut OpenScan<C> {
    // SAFETY: ambeginscan stored it; callbacks of one scan do not overlap.
    unsafe { &mut *(*scan).opaque.cast::<OpenScan<C>>() }
}

/// Starts or restarts a scan with new keys.
///
/// # Safety
/// Called by the core with a scan of ours and as many keys as it says.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amrescan(
    scan: pg_sys::IndexScanDesc,
    keys: pg_sys::ScanKey,
    key_count: c_int,
    _orderbys: pg_sys::ScanKey,
    _orderby_count: c_int,
) {
    // SAFETY: by contract.
    unsafe { with_scan!(scan, open => open.restart(scan, keys, key_count)) };
}

/// How the entries of a scan that starts are kept from VACUUM.
///
/// A plain scan with an MVCC snapshot needs nothing: whatever row has the heap TID by the time the
/// executor looks it up, the snapshot does not see it unless it is the right one. Everybody else
/// may take a row for another that has got its heap TID since: a snapshot that is not MVCC sees it,
/// and an index-only scan does not look. VACUUM waits for their pins. Replay waits for none; there,
/// a scan that returns columns checks its entries itself.
///
/// # Safety
/// `scan` is valid.
unsafe fn guard_of(scan: pg_sys::IndexScanDesc) -> Guard {
    // SAFETY: by contract.
    unsafe {
        match ((*scan).xs_want_itup, is_mvcc((*scan).xs_snapshot)) {
            (false, true) => Guard::Nothing,
            // Of a transaction that began in recovery. Once promoted, a server waits for pins; that
            // checks are enough does not change then.
            (true, true) if (*scan).xactStartedInRecovery => Guard::Checks,
            _ => Guard::Pins,
        }
    }
}

/// Counts a search, at its first descent, for `pg_stat_all_indexes` and, from PostgreSQL 18 on, for
/// EXPLAIN.
///
/// # Safety
/// `scan` is valid.
#[inline]
unsafe fn count_search(scan: pg_sys::IndexScanDesc) {
    // SAFETY: by contract.
    unsafe {
        count_use((*scan).indexRelation);
        #[cfg(feature = "pg18")]
        if let Some(instrument) = (*scan).instrument.as_mut() {
            instrument.nsearches += 1;
        }
    }
}

/// Counts a use of an index, for `pg_stat_all_indexes`: `pgstat_count_index_scan` of pgstat.h.
///
/// # Safety
/// The index is open.
#[inline]
pub(super) unsafe fn count_use(index: pg_sys::Relation) {
    // SAFETY: by contract.
    unsafe {
        if (*index).pgstat_info.is_null() && (*index).pgstat_enabled {
            pg_sys::pgstat_assoc_relation(index);
        }
        if let Some(counts) = (*index).pgstat_info.as_mut() {
            #[cfg(feature = "pg15")]
            {
                counts.t_counts.t_numscans += 1;
            }
            #[cfg(not(feature = "pg15"))]
            {
                counts.counts.numscans += 1;
            }
        }
    }
}

impl<C: QualCode> OpenScan<C> {
    /// Starts, or starts again, with new keys.
    ///
    /// # Safety
    /// As [`amrescan`]; `scan` is the one that this belongs to.
    unsafe fn restart(
        &mut self,
        scan: pg_sys::IndexScanDesc,
        keys: pg_sys::ScanKey,
        key_count: c_int,
    ) {
        // SAFETY: by contract; keyData has room for numberOfKeys keys.
        unsafe {
            self.remember_kills(scan, true);
            let key_count = usize::try_from(key_count).unwrap_or(0);
            if !keys.is_null() && key_count > 0 {
                std::ptr::copy(keys, (*scan).keyData, key_count);
            }
            self.guard = guard_of(scan);
            self.store.read_under((*scan).xs_snapshot);
            self.scan.restart(&self.store, self.guard);
            self.counted = false;
            let own_keys: &[pg_sys::ScanKeyData] = match usize::try_from((*scan).numberOfKeys) {
                Ok(count) if count > 0 => std::slice::from_raw_parts((*scan).keyData, count),
                _ => &[],
            };
            let (intervals, filter) = (self.scan.intervals_mut(), &mut self.filter);
            self.recheck = C::set_intervals(own_keys, &self.columns, intervals, filter);
            // Of entries that are passed over no row is read.
            self.heap_ahead.restart(scan, !self.filter.asks());
        }
    }

    /// The next entry, where more entries have to be copied first.
    ///
    /// # Safety
    /// `scan` is the one that this belongs to.
    unsafe fn next(
        &mut self,
        scan: pg_sys::IndexScanDesc,
        direction: Direction,
    ) -> Result<Option<Entry<C>>> {
        // SAFETY: by contract.
        unsafe {
            let directory = self.begin(scan)?;
            let directory = &mut directory.borrow_mut();
            let (index, snapshot) = (self.store.index(), (*scan).xs_snapshot);
            let store = &self.store;
            if self.guard == Guard::Checks {
                // In recovery: nobody is serializable there.
                let mut rows = TableRows::of(scan, &mut self.map);
                let found = self.scan.next_visible(store, directory, direction, &mut rows);
                rows.finish();
                return found;
            }
            if locks_reads(index, snapshot) {
                let read =
                    |locks: &mut _| self.scan.next_locked(store, directory, direction, locks);
                return with_read_locks(index, snapshot, read);
            }
            self.scan.next(store, directory, direction)
        }
    }

    /// Adds the heap TIDs that come next, for a scan that takes them all. None if there are none.
    ///
    /// # Safety
    /// `scan` is the one that this belongs to.
    unsafe fn gather(
        &mut self,
        scan: pg_sys::IndexScanDesc,
        pointers: &mut Vec<pg_sys::ItemPointerData>,
    ) -> Result<()> {
        // SAFETY: by contract.
        unsafe {
            if !self.filter.asks() {
                if self.next_tids(scan)? {
                    pointers.extend(self.scan.copied().0.iter().map(|&tid| item_pointer(tid)));
                }
                return Ok(());
            }
            while pointers.len() < GATHERED {
                if !self.step(Direction::Forward) && !self.next_wanted(scan, Direction::Forward)? {
                    break;
                }
                pointers.extend(self.scan.here().map(|(.., tid)| item_pointer(tid)));
            }
        }
        Ok(())
    }

    /// Copies the heap TIDs that come next, for a scan that takes them all. Whether there are any.
    ///
    /// # Safety
    /// `scan` is the one that this belongs to.
    unsafe fn next_tids(&mut self, scan: pg_sys::IndexScanDesc) -> Result<bool> {
        // SAFETY: by contract.
        unsafe {
            let directory = self.begin(scan)?;
            let directory = &mut directory.borrow_mut();
            let (index, snapshot) = (self.store.index(), (*scan).xs_snapshot);
            let store = &self.store;
            if locks_reads(index, snapshot) {
                let read =
                    |locks: &mut _| Ok(!self.scan.next_tids(store, directory, locks)?.is_empty());
                return with_read_locks(index, snapshot, read);
            }
            Ok(!self.scan.next_tids(store, directory, &mut NoLocks::default())?.is_empty())
        }
    }

    /// What comes before every descent.
    ///
    /// # Safety
    /// `scan` is the one that this belongs to.
    unsafe fn begin(&mut self, scan: pg_sys::IndexScanDesc) -> Result<Rc<RefCell<Directory<C>>>> {
        // SAFETY: by contract.
        unsafe {
            if !self.counted {
                self.counted = true;
                self.searches += 1;
                count_search(scan);
            }
            let directory = session::directory_once(&mut self.directory, &self.store)?;
            if directory.borrow().leaves() == 0 {
                self.store.test_age_of_metapage();
            }
            Ok(directory)
        }
    }

    /// Remembers which of the rows that were returned are dead, as the core has found. `ends`: the
    /// scan does. If a page turns out to be damaged, the error is left to the statement that needs
    /// the page.
    ///
    /// # Safety
    /// `scan` is the one that this belongs to.
    #[inline]
    unsafe fn remember_kills(&mut self, scan: pg_sys::IndexScanDesc, ends: bool) {
        if self.scan.has_kills(ends) {
            // SAFETY: by contract.
            unsafe { self.remember_some(scan, ends) }.unwrap_or_default();
        }
    }

    /// # Safety
    /// As [`OpenScan::remember_kills`].
    #[cold]
    unsafe fn remember_some(&mut self, scan: pg_sys::IndexScanDesc, ends: bool) -> Result<()> {
        let Some(directory) = self.directory.clone() else { return Ok(()) };
        let directory = &mut directory.borrow_mut();
        // SAFETY: by contract. What is read here is not for the snapshot, however old that is.
        unsafe {
            self.store.read_under(std::ptr::null_mut());
            let many = self.scan.remember_kills(&self.store, directory, ends);
            let told =
                many.and_then(|many| mark_for_all_sessions(scan, &self.store, directory, many));
            self.store.read_under((*scan).xs_snapshot);
            told
        }
    }

    /// Goes to the next entry that the caller wants, of those that were copied already.
    #[inline]
    fn step(&mut self, direction: Direction) -> bool {
        self.scan.step(direction) && (!self.filter.asks() || self.comes_to_wanted(direction))
    }

    /// Whether the caller wants the entry that the scan stands on; otherwise goes to the next one
    /// that it wants, of those that were copied already.
    #[inline]
    fn comes_to_wanted(&mut self, direction: Direction) -> bool {
        let passes = |(_, code, _): (_, &C, _)| self.filter.passes(code);
        self.scan.here().is_some_and(passes) || self.skip(direction)
    }

    #[cold]
    fn skip(&mut self, direction: Direction) -> bool {
        let mut entry = self.scan.here().map(|(_, code, _)| *code);
        while let Some(code) = entry {
            if self.filter.passes(&code) {
                return true;
            }
            let Some(next) = self.filter.next_to(code, direction) else {
                self.scan.skip_rest(&self.store, direction);
                return false;
            };
            entry = self.scan.skip_to(direction, next).map(|entry| entry.key.code);
        }
        // What comes next is searched for, as a B-tree does from 18 on.
        self.counted = false;
        false
    }

    /// Goes to the next entry that the caller wants, where more entries have to be copied first.
    ///
    /// # Safety
    /// As [`OpenScan::next`].
    unsafe fn next_wanted(
        &mut self,
        scan: pg_sys::IndexScanDesc,
        direction: Direction,
    ) -> Result<bool> {
        loop {
            // SAFETY: by contract.
            if unsafe { self.next(scan, direction) }?.is_none() {
                return Ok(false);
            }
            if self.comes_to_wanted(direction) {
                return Ok(true);
            }
            check_for_interrupts!();
        }
    }

    /// Hands the entry that the scan stands on to the core. Not if a part of it has to be read in
    /// the table.
    ///
    /// # Safety
    /// `scan` is the one that this belongs to.
    #[inline]
    unsafe fn return_entry(&mut self, scan: pg_sys::IndexScanDesc) -> bool {
        let Some((class, code, tid)) = self.scan.here() else { return false };
        // SAFETY: by contract.
        unsafe {
            (*scan).xs_heaptid = item_pointer(tid);
            (*scan).xs_recheck = self.recheck;
            if (*scan).xs_want_itup {
                let Some(tuple) = self.columns.tuple_of(class, code, &mut self.tuple) else {
                    return false;
                };
                (*scan).xs_itup = tuple;
                (*scan).xs_hitup = std::ptr::null_mut();
            }
        }
        true
    }

    /// Goes to the next entry, where more have to be copied first. Whether there is one.
    ///
    /// # Safety
    /// As [`OpenScan::next`].
    unsafe fn copy_more(&mut self, scan: pg_sys::IndexScanDesc, direction: Direction) -> bool {
        // SAFETY: by contract.
        unsafe {
            self.remember_kills(scan, false);
            if self.scan.end_if_exhausted(&self.store, direction) {
                self.rest();
                return false;
            }
            let found = self.next_wanted(scan, direction);
            self.rest();
            match found {
                Err(corruption) => self.store.index().raise_corruption(corruption),
                Ok(false) => false,
                Ok(true) => {
                    self.heap_ahead.begin_portion(direction == Direction::Forward);
                    let (tids, current) = self.scan.copied();
                    if self.heap_ahead.is_due(current) {
                        self.heap_ahead.ask(tids, current);
                    }
                    true
                }
            }
        }
    }

    /// [`amgetbitmap`].
    ///
    /// # Safety
    /// As there; `scan` is the one that this belongs to.
    unsafe fn add_all(
        &mut self,
        scan: pg_sys::IndexScanDesc,
        bitmap: *mut pg_sys::TIDBitmap,
    ) -> i64 {
        let mut pointers: Vec<pg_sys::ItemPointerData> = Vec::new();
        let mut total = 0;
        self.scan.take_all();
        loop {
            pointers.clear();
            // SAFETY: by contract.
            match unsafe { self.gather(scan, &mut pointers) } {
                Err(corruption) => self.store.index().raise_corruption(corruption),
                Ok(()) if pointers.is_empty() => {
                    self.rest();
                    return total;
                }
                Ok(()) => {}
            }
            let count = pointers.len() as c_int;
            total += i64::from(count);
            // SAFETY: by contract.
            unsafe { pg_sys::tbm_add_tuples(bitmap, pointers.as_mut_ptr(), count, self.recheck) };
        }
    }

    /// [`amendscan`]. Releases what the scan holds, and returns the memory context that it is in.
    ///
    /// # Safety
    /// As there; `scan` is the one that this belongs to.
    unsafe fn end(&mut self, scan: pg_sys::IndexScanDesc) -> pg_sys::MemoryContext {
        // SAFETY: by contract.
        unsafe { self.remember_kills(scan, true) };
        self.scan.release(&self.store);
        self.store.release();
        self.map.release();
        self.context
    }

    /// The caller may not come back for long: holds few buffers meanwhile.
    fn rest(&mut self) {
        if !self.store.rest() {
            self.map.release();
        }
    }
}

/// The next entry in the given direction.
///
/// Most are copied already: returning them needs none of the guards that pgrx puts around a
/// callback, since nothing on the way panics or calls the server.
///
/// # Safety
/// Called by the core with a scan of ours.
pub(crate) unsafe extern "C-unwind" fn amgettuple(
    scan: pg_sys::IndexScanDesc,
    direction: pg_sys::ScanDirection::Type,
) -> bool {
    // SAFETY: by contract.
    unsafe { with_scan!(scan; C => return_next::<C>(scan, direction)) }
}

/// # Safety
/// As [`amgettuple`].
#[inline]
unsafe fn return_next<C: QualCode>(
    scan: pg_sys::IndexScanDesc,
    direction: pg_sys::ScanDirection::Type,
) -> bool {
    // SAFETY: by contract; what else uses the open scan is called when `open` is no longer used.
    unsafe {
        let open = open_scan::<C>(scan);
        if (*scan).kill_prior_tuple {
            open.scan.kill_current();
        }
        if !open.step(direction_of(direction)) {
            return copy_and_return::<C>(scan, direction);
        }
        if open.heap_ahead.is_due(open.scan.copied().1) {
            ask_ahead::<C>(scan);
        }
        open_scan::<C>(scan).return_entry(scan) || read_and_return::<C>(scan, direction)
    }
}

/// [`amgettuple`] where more has to be copied.
///
/// # Safety
/// As there.
#[pg_guard]
unsafe extern "C-unwind" fn copy_and_return<C: QualCode>(
    scan: pg_sys::IndexScanDesc,
    direction: pg_sys::ScanDirection::Type,
) -> bool {
    // SAFETY: by contract.
    unsafe {
        let direction = direction_of(direction);
        let open = open_scan::<C>(scan);
        open.copy_more(scan, direction) && open.return_seen(scan, direction)
    }
}

#[inline]
fn direction_of(direction: pg_sys::ScanDirection::Type) -> Direction {
    match direction {
        pg_sys::ScanDirection::BackwardScanDirection => Direction::Backward,
        _ => Direction::Forward,
    }
}

/// Adds every matching entry to a bitmap.
///
/// # Safety
/// Called by the core with a scan of ours and a valid bitmap.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amgetbitmap(
    scan: pg_sys::IndexScanDesc,
    bitmap: *mut pg_sys::TIDBitmap,
) -> i64 {
    // SAFETY: by contract.
    unsafe { with_scan!(scan, open => open.add_all(scan, bitmap)) }
}

/// Ends a scan.
///
/// # Safety
/// Called by the core with a scan of ours.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amendscan(scan: pg_sys::IndexScanDesc) {
    // SAFETY: by contract.
    unsafe {
        let context = with_scan!(scan, open => open.end(scan));
        (*scan).opaque = std::ptr::null_mut();
        pg_sys::MemoryContextDelete(context);
    }
}

/// Remembers the position of a scan.
///
/// # Safety
/// Called by the core with a scan of ours.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn ammarkpos(scan: pg_sys::IndexScanDesc) {
    // SAFETY: by contract.
    unsafe { with_scan!(scan, open => open.scan.mark()) };
}

/// Goes back to the remembered position.
///
/// # Safety
/// Called by the core with a scan of ours.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amrestrpos(scan: pg_sys::IndexScanDesc) {
    // SAFETY: by contract.
    unsafe { with_scan!(scan, open => open.scan.restore(&open.store)) };
}
