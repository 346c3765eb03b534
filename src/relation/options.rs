//! Storage parameters: `CREATE INDEX ... WITH (model = pgm, fillfactor = 90)`.

use std::ffi::{CStr, c_int};
use std::mem::offset_of;
use std::sync::OnceLock;

use learned_index::corruption::Result;
use learned_index::model::ModelChoice;
use learned_index::tree::build::BuildOptions;

use pgrx::prelude::*;

use crate::report::refuse;

/// The smallest fill factor in percent. As btree's.
const MIN_FILLFACTOR: c_int = 10;
/// The default: leaves are rewritten and never updated in place, so free space is lost space.
const DEFAULT_FILLFACTOR: c_int = 100;

/// By default no share of rows is set at which they are merged: see [`Options::merged_at`].
const MEASURED: c_int = 0;
/// Rows below which a merge is not worth its while, whatever share they are.
const LEAST_MERGED: u64 = 50_000;
/// Rows for each page that a merge writes anew: as many bytes of log a row as a B-tree takes to
/// split its pages.
const ROWS_PER_PAGE: u64 = 200;
/// At most a fifth of the rows wait, whatever they cost: they are in pages that take three times
/// the space of leaves.
const MOST_WAITING_PART: u64 = 5;
/// And no more rows than sessions remember the pages of.
const MOST_WAITING: u64 = 2_500_000;

/// Whether sessions can share counters: PostgreSQL has to give them memory without preloading.
const CAN_MONITOR: bool = cfg!(any(feature = "pg17", feature = "pg18"));

/// The parameters of one index, in the format of `rd_options`: a varlena built by the core.
#[repr(C)]
struct StoredOptions {
    vl_len_: i32,
    model: c_int,
    fillfactor: c_int,
    auto_retrain: bool,
    retrain_threshold: c_int,
    monitoring: bool,
}

/// The parameters of one index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The model over the fences.
    pub(crate) model: ModelChoice,
    /// How full leaves are made at a build or a merge, in percent: 10 to 100.
    pub(crate) fillfactor: u8,
    /// Whether a background worker merges the delta tree once it is large enough.
    pub(crate) auto_retrain: bool,
    /// The share of rows in the delta tree at which they are merged, in percent: 1 to 100. None:
    /// when it pays.
    pub(crate) retrain_threshold: Option<u8>,
    /// Whether it is counted what sessions do with the index.
    pub(crate) monitoring: bool,
}

impl Options {
    /// The parameters as the core keeps them; the defaults where none are set.
    ///
    /// # Safety
    /// `stored` is null, or was made by [`amoptions`].
    pub(super) unsafe fn stored_at(stored: *const pg_sys::bytea) -> Options {
        // SAFETY: by contract; what amoptions makes is a StoredOptions.
        let stored = unsafe { stored.cast::<StoredOptions>().as_ref() };
        let Some(stored) = stored else {
            return Options {
                model: ModelChoice::Auto,
                fillfactor: DEFAULT_FILLFACTOR as u8,
                auto_retrain: true,
                retrain_threshold: None,
                monitoring: false,
            };
        };
        let model = MODELS
            .0
            .iter()
            .zip(MODEL_VALUES)
            .find(|(member, _)| member.symbol_val == stored.model)
            .map_or(ModelChoice::Auto, |(_, model)| model);
        let fillfactor = stored.fillfactor.clamp(MIN_FILLFACTOR, 100) as u8;
        let threshold = stored.retrain_threshold;
        let retrain_threshold = (threshold != MEASURED).then(|| threshold.clamp(1, 100) as u8);
        let StoredOptions { auto_retrain, monitoring, .. } = *stored;
        Options { model, fillfactor, auto_retrain, retrain_threshold, monitoring }
    }

    /// What building and merging need of them.
    pub(crate) fn build(&self) -> BuildOptions {
        BuildOptions { model: self.model, fillfactor: self.fillfactor.into() }
    }

    /// How much the delta trees of an index with `entries` in its leaves need to be merged: they
    /// are due from 1 on. `waits` rows wait; `leaves` counts the pages that would be written anew
    /// for them.
    pub(crate) fn need(
        &self,
        entries: u64,
        waits: u64,
        leaves: impl FnOnce() -> Result<u64>,
    ) -> Result<f64> {
        // Otherwise they change nothing.
        let counts = (LEAST_MERGED..most_waiting(entries)).contains(&waits);
        let leaves = || if counts { leaves() } else { Ok(u64::MAX) };
        Ok(waits as f64 / self.merged_at(entries, leaves)? as f64)
    }

    /// How many rows wait when they are merged. By default as many as make the pages worth it that
    /// have to be written anew for them. Of rows that are all over the table that is a good part of
    /// them, of rows behind all others it is few. The arguments are as in [`Options::need`].
    pub(crate) fn merged_at(
        &self,
        entries: u64,
        leaves: impl FnOnce() -> Result<u64>,
    ) -> Result<u64> {
        let enough = match self.retrain_threshold {
            Some(percent) => (entries / 100).saturating_mul(percent.into()),
            None => most_waiting(entries).min(leaves()?.saturating_mul(ROWS_PER_PAGE)),
        };
        Ok(enough.max(LEAST_MERGED))
    }
}

/// [`Options::monitoring`] alone, which each scan asks for.
///
/// # Safety
/// As [`Options::stored_at`].
#[inline]
pub(super) unsafe fn is_monitored_at(stored: *const pg_sys::bytea) -> bool {
    // SAFETY: by contract.
    unsafe { stored.cast::<StoredOptions>().as_ref() }.is_some_and(|stored| stored.monitoring)
}

/// The same of the parameters as pg_class has them.
///
/// # Safety
/// Within a transaction; an array of text.
pub(crate) unsafe fn is_monitored_by(reloptions: pg_sys::Datum) -> bool {
    // SAFETY: by contract.
    unsafe { is_monitored_at(parsed(reloptions, false)) }
}

/// The most rows that wait by default, whatever merging them costs.
fn most_waiting(entries: u64) -> u64 {
    (entries / MOST_WAITING_PART).min(MOST_WAITING)
}

/// The members of the enum parameter `model`. The core keeps the pointer, not a copy.
struct Members([pg_sys::relopt_enum_elt_def; 6]);

// SAFETY: the pointers are to string literals, and nothing is ever written.
unsafe impl Sync for Members {}

const fn member(name: &'static CStr, model: ModelChoice) -> pg_sys::relopt_enum_elt_def {
    pg_sys::relopt_enum_elt_def { string_val: name.as_ptr(), symbol_val: model as c_int }
}

const MODEL_VALUES: [ModelChoice; 5] = [
    ModelChoice::Auto,
    ModelChoice::Linear,
    ModelChoice::Rmi,
    ModelChoice::Pgm,
    ModelChoice::RadixSpline,
];

static MODELS: Members = Members([
    member(c"auto", ModelChoice::Auto),
    member(c"linear", ModelChoice::Linear),
    member(c"rmi", ModelChoice::Rmi),
    member(c"pgm", ModelChoice::Pgm),
    member(c"radix_spline", ModelChoice::RadixSpline),
    // The end of the list.
    pg_sys::relopt_enum_elt_def { string_val: std::ptr::null(), symbol_val: 0 },
]);

/// The kind that the core gave our parameters, in this backend.
static KIND: OnceLock<pg_sys::relopt_kind::Type> = OnceLock::new();

/// Makes the parameters known to the core. Later calls do nothing.
pub(crate) fn register() {
    KIND.get_or_init(|| {
        // They take effect at the next build or merge only, so that nobody who uses the index has
        // to be kept out while they change: the lock that ALTER INDEX ... SET takes for btree's.
        let lock = pg_sys::ShareUpdateExclusiveLock as pg_sys::LOCKMODE;
        // SAFETY: called from _PG_init; the core copies names and descriptions, and the
        // members are static and only ever read.
        unsafe {
            let kind = pg_sys::add_reloption_kind();
            pg_sys::add_enum_reloption(
                kind,
                c"model".as_ptr(),
                c"Model that predicts where a key is".as_ptr(),
                MODELS.0.as_ptr().cast_mut(),
                ModelChoice::Auto as c_int,
                c"Valid values are \"auto\", \"linear\", \"rmi\", \"pgm\" and \"radix_spline\"."
                    .as_ptr(),
                lock,
            );
            pg_sys::add_int_reloption(
                kind,
                c"fillfactor".as_ptr(),
                c"Packs leaves of the index only to this percentage".as_ptr(),
                DEFAULT_FILLFACTOR,
                MIN_FILLFACTOR,
                100,
                lock,
            );
            pg_sys::add_bool_reloption(
                kind,
                c"auto_retrain".as_ptr(),
                c"Merges new rows into the learned pages in a background worker".as_ptr(),
                true,
                lock,
            );
            pg_sys::add_int_reloption(
                kind,
                c"retrain_threshold".as_ptr(),
                c"Percentage of unmerged rows at which they are merged; by default when it pays"
                    .as_ptr(),
                MEASURED,
                1,
                100,
                lock,
            );
            pg_sys::add_bool_reloption(
                kind,
                c"monitoring".as_ptr(),
                c"Counts what all sessions do with the index".as_ptr(),
                false,
                lock,
            );
            kind
        }
    });
}

/// Parses and checks the parameters of an index.
///
/// # Safety
/// Called by the core, with an array of text or 0.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amoptions(
    reloptions: pg_sys::Datum,
    validate: bool,
) -> *mut pg_sys::bytea {
    // SAFETY: by contract.
    let stored = unsafe { parsed(reloptions, validate) };
    // SAFETY: they were made just now.
    if validate && !CAN_MONITOR && unsafe { is_monitored_at(stored) } {
        refuse(
            PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            "access method \"learned\" does not support monitoring before PostgreSQL 17".to_owned(),
            "Leave monitoring out; learned_index_stats() works on all versions.",
        );
    }
    stored
}

/// # Safety
/// As [`amoptions`], or an array of text from pg_class.
#[cfg_attr(
    not(feature = "pg18"),
    expect(clippy::needless_update, reason = "18 has one more field")
)]
unsafe fn parsed(reloptions: pg_sys::Datum, validate: bool) -> *mut pg_sys::bytea {
    use pg_sys::relopt_type::*;
    register();
    let Some(&kind) = KIND.get() else {
        return std::ptr::null_mut();
    };
    let element = |name: &'static CStr, opttype, offset: usize| pg_sys::relopt_parse_elt {
        optname: name.as_ptr(),
        opttype,
        offset: offset as c_int,
        ..Default::default()
    };
    let elements = [
        element(c"model", RELOPT_TYPE_ENUM, offset_of!(StoredOptions, model)),
        element(c"fillfactor", RELOPT_TYPE_INT, offset_of!(StoredOptions, fillfactor)),
        element(c"auto_retrain", RELOPT_TYPE_BOOL, offset_of!(StoredOptions, auto_retrain)),
        element(
            c"retrain_threshold",
            RELOPT_TYPE_INT,
            offset_of!(StoredOptions, retrain_threshold),
        ),
        element(c"monitoring", RELOPT_TYPE_BOOL, offset_of!(StoredOptions, monitoring)),
    ];
    // SAFETY: the elements describe StoredOptions, whose size is given.
    unsafe {
        pg_sys::build_reloptions(
            reloptions,
            validate,
            kind,
            size_of::<StoredOptions>(),
            elements.as_ptr(),
            elements.len() as c_int,
        )
        .cast()
    }
}
