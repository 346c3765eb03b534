//! CREATE INDEX and REINDEX.

use std::ffi::{CStr, c_char, c_void};

use learned_index::entry::HeapTid;
use learned_index::key::{Key, NullClass};
use learned_index::stop::{StopPoint, stop_at};
use learned_index::store::memory::MemoryStore;
use learned_index::store::{BulkStore, Store};
use learned_index::tree::build::Builder;
use learned_index::tree::load::{BuildError, Loader, Uniqueness};
use pgrx::prelude::*;

use super::unique_violation::duplicate_in_table;
use crate::column::KeyColumns;
use crate::column::code::{IndexCode, with_code};
use crate::column::tid::heap_tid;
use crate::relation::{OpenIndex, OpenTable};
use crate::report::carried::carrying;
use crate::storage::bulk::BulkPages;
use crate::storage::progress::report_progress;
use crate::storage::spill::TemporaryRuns;

/// Phases of a build; 1 is the core's "initializing".
const PHASE_SCAN: i64 = 2;
const PHASE_WRITE: i64 = 3;
const PHASE_LOG: i64 = 4;

/// Rows that the table scan hands over at once.
const ROWS_AT_ONCE: usize = 256;

/// What the callback of the table scan works with.
struct Build<C: IndexCode> {
    loader: Loader<BulkPages<C>, TemporaryRuns, fn() -> TemporaryRuns>,
    /// Code, heap TID and whether it is alive of rows that wait for the loader; room for
    /// [`ROWS_AT_ONCE`].
    rows: Vec<(C, HeapTid, bool)>,
    columns: C::Columns,
    /// Of a unique index with NULLs among the values: rows with a NULL are nobody's duplicates.
    nulls_distinct: bool,
    entries: u64,
    /// Why there will be no index. It is reported after the scan of the table, whose frames would
    /// strip the constraint's name from the error.
    failed: Option<BuildError<C>>,
}

/// The core counts the blocks of the table that were scanned, `storage/bulk.rs` the rows that were
/// written and the pages that were logged.
fn enter_phase(phase: i64) {
    report_progress(pg_sys::PROGRESS_CREATEIDX_SUBPHASE, phase as u64);
}

/// Builds the index from the rows of its table.
///
/// # Safety
/// Called by the core with open relations, the index new and empty.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn ambuild(
    heap: pg_sys::Relation,
    index: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
) -> *mut pg_sys::IndexBuildResult {
    // SAFETY: by contract.
    unsafe {
        let (table, index) = (OpenTable::new(heap), OpenIndex::new(index));
        with_code!(index, C => build::<C>(table, index, info))
    }
}

/// # Safety
/// As [`ambuild`].
unsafe fn build<C: IndexCode>(
    table: OpenTable,
    index: OpenIndex,
    info: *mut pg_sys::IndexInfo,
) -> *mut pg_sys::IndexBuildResult {
    // SAFETY: by contract the relations are open and the index is empty.
    unsafe {
        let main = pg_sys::ForkNumber::MAIN_FORKNUM;
        if pg_sys::RelationGetNumberOfBlocksInFork(index.raw(), main) != 0 {
            error!("index \"{}\" already contains data", index.name());
        }
        let columns = C::Columns::of_index(index);
        let memory = (pg_sys::maintenance_work_mem as usize).saturating_mul(1024);
        let pages: BulkPages<C> = BulkPages::new(index, main);
        let new_spill: fn() -> TemporaryRuns = TemporaryRuns::default;
        let unique = uniqueness(info);
        #[cfg(not(feature = "pg18"))]
        if unique.is_some() && is_new(index, info) {
            warn_of_unique(table);
        }
        let (identity, options) = (columns.new_identity(), index.options().build());
        let loader = Loader::new(pages, identity, options, unique, memory, new_spill);
        let rows = Vec::with_capacity(ROWS_AT_ONCE);
        let nulls_distinct =
            unique.is_some_and(|unique| !unique.nulls_not_distinct) && !columns.has_null_class();
        let mut build = Build { loader, rows, columns, nulls_distinct, entries: 0, failed: None };
        enter_phase(PHASE_SCAN);
        let heap_tuples = scan_table(table, index, info, &mut build);
        build.load_rows();
        enter_phase(PHASE_WRITE);
        report_progress(pg_sys::PROGRESS_CREATEIDX_TUPLES_TOTAL, build.entries);
        stop_at(StopPoint::BuildScanned);
        let entries = build.entries;
        let built = match build.failed {
            Some(error) => Err(error),
            None => build.loader.finish(),
        };
        let (pages, state) = match built {
            Ok(built) => built,
            Err(error) => fail(table, index, error, columns),
        };
        if state.values + state.nulls != entries {
            let name = index.name();
            ereport!(
                ERROR,
                PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
                format!(
                    "index \"{name}\" was built with {} of {entries} rows",
                    state.values + state.nulls
                )
            );
        }
        enter_phase(PHASE_LOG);
        stop_at(StopPoint::BuildWritten);
        pages.log();
        stop_at(StopPoint::BuildLogged);
        let result = pg_sys::palloc0(size_of::<pg_sys::IndexBuildResult>())
            .cast::<pg_sys::IndexBuildResult>();
        (*result).heap_tuples = heap_tuples;
        (*result).index_tuples = entries as f64;
        result
    }
}

/// What the definition of an index asks of its keys, if it is unique.
///
/// # Safety
/// `info` is valid.
unsafe fn uniqueness(info: *const pg_sys::IndexInfo) -> Option<Uniqueness> {
    // SAFETY: by contract.
    let info = unsafe { &*info };
    info.ii_Unique.then_some(Uniqueness { nulls_not_distinct: info.ii_NullsNotDistinct })
}

/// Whether an index is being created, and not built anew by REINDEX, TRUNCATE, VACUUM FULL or the
/// like. CREATE INDEX CONCURRENTLY builds in another transaction than it creates in, and so does
/// REINDEX CONCURRENTLY with the index that is to replace the old one. Only their progress reports
/// tell these two apart; without `track_activities` there are none.
///
/// # Safety
/// `info` is valid.
#[cfg(not(feature = "pg18"))]
unsafe fn is_new(index: OpenIndex, info: *const pg_sys::IndexInfo) -> bool {
    // SAFETY: by contract; the entry is this process's own, which it alone changes.
    let (concurrent, report) = unsafe { ((*info).ii_Concurrent, pg_sys::MyBEEntry.as_ref()) };
    let replaces_another = report.is_some_and(|report| {
        let command = report.st_progress_param[pg_sys::PROGRESS_CREATEIDX_COMMAND as usize];
        report.st_progress_command == pg_sys::ProgressCommandType::PROGRESS_COMMAND_CREATE_INDEX
            && command == i64::from(pg_sys::PROGRESS_CREATEIDX_COMMAND_REINDEX_CONCURRENTLY)
    });
    index.is_created_here() || concurrent && !index.definition().indisvalid && !replaces_another
}

/// Tells what the core does not do with unique indexes that are not B-trees.
#[cfg(not(feature = "pg18"))]
fn warn_of_unique(table: OpenTable) {
    let table = table.name();
    let detail = if cfg!(feature = "pg15") {
        "Before version 18, PostgreSQL supports it only where all unique indexes are B-trees."
    } else {
        "Before version 18, PostgreSQL supports it only where all unique indexes are B-trees. Nor \
         can the index be the replica identity of a table on a subscriber."
    };
    pg_sys::panic::ErrorReport::new(
        PgSqlErrorCode::ERRCODE_WARNING,
        format!(
            "INSERT ... ON CONFLICT will fail on table \"{table}\" while it has a unique index of \
             access method \"learned\""
        ),
        "learned",
    )
    .set_detail(detail)
    .set_hint("Use a unique index of access method \"btree\" where that is needed.")
    .report(pgrx::PgLogLevel::WARNING);
}

/// Raises the error of a build.
fn fail<C: IndexCode>(
    table: OpenTable,
    index: OpenIndex,
    error: BuildError<C>,
    columns: C::Columns,
) -> ! {
    match error {
        BuildError::Duplicate { key } => {
            let found = columns.values(key);
            let is_null: Vec<bool> = found.iter().map(Option::is_none).collect();
            let value = |value: Option<pg_sys::Datum>| value.unwrap_or(pg_sys::Datum::null());
            let values: Vec<pg_sys::Datum> = found.into_iter().map(value).collect();
            // SAFETY: there is one for each column, and no page is locked.
            unsafe { duplicate_in_table(table, index, values.as_ptr(), is_null.as_ptr()) }
        }
        BuildError::Twice => {
            let name = index.name();
            ereport!(
                ERROR,
                PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
                format!("a row came twice while index \"{name}\" was built")
            );
        }
        BuildError::Corruption(corruption) => index.raise_corruption(corruption),
    }
}

/// Passes each row of the table to [`add_row`], in the order of the heap: `table_index_build_scan`
/// of tableam.h, but never starting in the middle of the table.
///
/// # Safety
/// As [`ambuild`].
unsafe fn scan_table<C: IndexCode>(
    table: OpenTable,
    index: OpenIndex,
    info: *mut pg_sys::IndexInfo,
    build: &mut Build<C>,
) -> f64 {
    let Some(scan) = table.method().index_build_range_scan else {
        error!("the table access method cannot build indexes");
    };
    let state: *mut c_void = std::ptr::from_mut(build).cast();
    // SAFETY: the arguments are those of table_index_build_scan; the guard turns an error of the
    // scan, or of an expression that it evaluates, into a panic that runs destructors.
    unsafe {
        carrying(|| {
            pg_sys::ffi::pg_guard_ffi_boundary(
                #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
                || {
                    scan(
                        table.raw(),
                        index.raw(),
                        info,
                        false,
                        false,
                        true,
                        0,
                        pg_sys::InvalidBlockNumber,
                        Some(add_row::<C>),
                        state,
                        std::ptr::null_mut(),
                    )
                },
            )
        })
    }
}

impl<C: IndexCode> Build<C> {
    /// The key of a row, and whether it may be a duplicate.
    ///
    /// # Safety
    /// As [`add_row`].
    #[inline(always)]
    unsafe fn key(
        &self,
        values: *mut pg_sys::Datum,
        is_null: *mut bool,
        alive: bool,
    ) -> (Key<C>, bool) {
        // SAFETY: by contract.
        unsafe {
            let key = self.columns.key(values, is_null);
            (key, alive && !(self.nulls_distinct && has_null::<C>(is_null, &self.columns)))
        }
    }

    /// Hands the rows that wait over to the loader.
    fn load_rows(&mut self) {
        for (code, tid, alive) in self.rows.drain(..) {
            if self.failed.is_none() {
                self.columns.check_held(Key::value(code));
                self.failed = self.loader.push(code, tid, alive).err();
                self.entries += 1;
            }
        }
    }

    fn load_null(&mut self, tid: HeapTid, alive: bool) {
        if self.failed.is_none() {
            self.failed = self.loader.push_null(tid, alive).err();
            self.entries += 1;
        }
    }
}

/// Adds one row to the index that is being built.
///
/// Most rows only wait: that needs none of the guards that pgrx puts around a callback, since
/// nothing on the way panics or calls the server, but for types of variable width.
unsafe extern "C-unwind" fn add_row<C: IndexCode>(
    _index: pg_sys::Relation,
    tid: pg_sys::ItemPointer,
    values: *mut pg_sys::Datum,
    is_null: *mut bool,
    alive: bool,
    state: *mut c_void,
) {
    // SAFETY: the core passes a value for each column, and the state that scan_table gave it.
    unsafe {
        let build = &mut *state.cast::<Build<C>>();
        if build.columns.may_raise() {
            return add_guarded::<C>(tid, values, is_null, alive, state);
        }
        let (Key { class, code }, alive) = build.key(values, is_null, alive);
        if class != NullClass::Value {
            return add_null::<C>(tid, alive, state);
        }
        // There is room for it: the callback that adds the last one makes room.
        build.rows.push((code, heap_tid(&*tid), alive));
        if build.rows.len() == build.rows.capacity() {
            load_rows::<C>(state);
        }
    }
}

/// [`add_row`] where making a key may raise an error.
///
/// # Safety
/// As [`add_row`].
#[pg_guard]
unsafe extern "C-unwind" fn add_guarded<C: IndexCode>(
    tid: pg_sys::ItemPointer,
    values: *mut pg_sys::Datum,
    is_null: *mut bool,
    alive: bool,
    state: *mut c_void,
) {
    // SAFETY: by contract.
    unsafe {
        let build = &mut *state.cast::<Build<C>>();
        let (Key { class, code }, alive) = build.key(values, is_null, alive);
        if class != NullClass::Value {
            return build.load_null(heap_tid(&*tid), alive);
        }
        build.rows.push((code, heap_tid(&*tid), alive));
        if build.rows.len() == build.rows.capacity() {
            build.load_rows();
        }
    }
}

/// Whether a row has a NULL.
///
/// # Safety
/// `is_null` has an element for each column.
unsafe fn has_null<C: IndexCode>(is_null: *const bool, columns: &C::Columns) -> bool {
    // SAFETY: by contract.
    (0..columns.count()).any(|column| unsafe { *is_null.add(column) })
}

/// Makes room for rows.
///
/// # Safety
/// As [`add_row`].
#[pg_guard]
unsafe extern "C-unwind" fn load_rows<C: IndexCode>(state: *mut c_void) {
    // SAFETY: by contract.
    unsafe { &mut *state.cast::<Build<C>>() }.load_rows();
}

/// Adds a row whose column is NULL.
///
/// # Safety
/// As [`add_row`].
#[pg_guard]
unsafe extern "C-unwind" fn add_null<C: IndexCode>(
    tid: pg_sys::ItemPointer,
    alive: bool,
    state: *mut c_void,
) {
    // SAFETY: by contract.
    unsafe { (*state.cast::<Build<C>>()).load_null(heap_tid(&*tid), alive) };
}

/// Writes an empty index to the init fork of an unlogged one.
///
/// # Safety
/// Called by the core with an open unlogged index.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn ambuildempty(index: pg_sys::Relation) {
    // SAFETY: by contract the index is open and its init fork exists and is empty.
    unsafe {
        let index = OpenIndex::new(index);
        with_code!(index, C => build_empty::<C>(index));
    }
}

/// # Safety
/// As [`ambuildempty`].
unsafe fn build_empty<C: IndexCode>(index: OpenIndex) {
    let identity = C::Columns::of_index(index).new_identity();
    let store: MemoryStore<C> = MemoryStore::default();
    let (built, _) = Builder::new(store, identity, index.options().build()).finish();
    // SAFETY: by contract.
    let mut pages: BulkPages<C> =
        unsafe { BulkPages::new(index, pg_sys::ForkNumber::INIT_FORKNUM) };
    for block in 0..built.blocks() {
        pages.append(&built.read(block, 0));
    }
    pages.log();
}

/// The name of a phase of the build, for pg_stat_progress_create_index.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn ambuildphasename(phase: i64) -> *mut c_char {
    let name: &CStr = match phase {
        1 => c"initializing",
        PHASE_SCAN => c"scanning table",
        PHASE_WRITE => c"sorting, training and writing pages",
        PHASE_LOG => c"logging pages",
        _ => return std::ptr::null_mut(),
    };
    name.as_ptr().cast_mut()
}
