//! Work of a worker that may fail without ending the worker: others wait for it too.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;

use pgrx::PgLogLevel;
use pgrx::pg_sys::panic::{CaughtError, ErrorReport};
use pgrx::prelude::*;

use super::opened::OpenedIndex;
use crate::merge::board::{Board, Subject};

/// The index that is being worked on, once it is open.
#[derive(Default)]
pub(super) struct Attempt {
    subject: Cell<Option<Subject>>,
    name: RefCell<String>,
    activity: RefCell<String>,
}

impl Attempt {
    /// Says which index it is: in pg_stat_activity, and in the log if it fails.
    pub(super) fn is_about(&self, opened: &OpenedIndex, what: &str) {
        self.subject.set(Some(Subject::file_of(opened.index)));
        let name = opened.index.qualified_name();
        let activity = format!("{what} {name}");
        report_activity(Some(&activity));
        self.activity.replace(activity);
        self.name.replace(name);
    }

    /// Says how far the work is, in pg_stat_activity.
    pub(super) fn goes_on(&self, state: &str) {
        report_activity(Some(&format!("{}: {state}", self.activity.borrow())));
    }
}

/// Runs `work` in a transaction of its own. If it raises an error, that is logged, the index is
/// left alone for a while by all sessions, and the result is `None`.
///
/// # Safety
/// No transaction is open, and no lock is held but those that a session holds.
pub(super) unsafe fn attempt<T>(work: impl FnOnce(&Attempt) -> T) -> Option<T> {
    let attempt = Attempt::default();
    let result = PgTryBuilder::new(AssertUnwindSafe(|| Ok(in_transaction(|| work(&attempt)))))
        .catch_others(|error| Err(Box::new(error)))
        .catch_rust_panic(|error| Err(Box::new(error)))
        .execute();
    report_activity(None);
    match result {
        Ok(result) => Some(result),
        Err(error) => {
            // SAFETY: the transaction in which the error was raised is open; this releases all that
            // it held.
            unsafe { pg_sys::AbortCurrentTransaction() };
            report(&error, &attempt);
            None
        }
    }
}

/// Runs `work` in a transaction of its own. No transaction is open.
pub(super) fn in_transaction<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: as said.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        let result = work();
        pg_sys::CommitTransactionCommand();
        pg_sys::pgstat_report_stat(false);
        result
    }
}

/// Logs an error, with what is done about it.
fn report(error: &CaughtError, attempt: &Attempt) {
    let (CaughtError::PostgresError(error)
    | CaughtError::ErrorReport(error)
    | CaughtError::RustPanic { ereport: error, .. }) = error;
    let pause = attempt.subject.get().map(|subject| Board::get().failed(subject));
    let again = pause
        .map_or(String::new(), |pause| format!(", it is left alone for {} s", pause.as_secs()));
    let name = attempt.name.borrow();
    let mut log = ErrorReport::new(
        error.sql_error_code(),
        format!("could not merge index {name}{again}: {}", error.message()),
        "learned",
    );
    if let Some(detail) = error.detail() {
        log = log.set_detail(detail);
    }
    if let Some(hint) = error.hint() {
        log = log.set_hint(hint);
    }
    log.report(PgLogLevel::WARNING);
}

/// What pg_stat_activity shows.
fn report_activity(activity: Option<&str>) {
    let state = match activity {
        Some(_) => pg_sys::BackendState::STATE_RUNNING,
        None => pg_sys::BackendState::STATE_IDLE,
    };
    // A name has no NUL.
    let text = activity.and_then(|text| std::ffi::CString::new(text).ok());
    // SAFETY: the core copies the string.
    unsafe {
        pg_sys::pgstat_report_activity(
            state,
            text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr()),
        )
    };
}
