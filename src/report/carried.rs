//! What an error of the core loses on its way through Rust, and gets back.
//!
//! pgrx turns an error into a panic, so that destructors run, and raises it anew at the top. It
//! carries the message, the DETAIL and the HINT. It does not carry the CONTEXT, the names of
//! schema, table, column, type and constraint, the query that a function ran, and the DETAIL for
//! the server's log alone. So these are taken from the first report, by an error context callback,
//! and added to the second.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use pgrx::PgLogLevel;
use pgrx::prelude::*;

// Without pgrx's guard: they are called while an error is being raised, from a frame that owns
// nothing.
unsafe extern "C-unwind" {
    fn geterrcode() -> c_int;
    fn err_generic_string(field: c_int, text: *const c_char) -> c_int;
    fn errcontext_msg(format: *const c_char, ...) -> c_int;
    fn errdetail_log(format: *const c_char, ...) -> c_int;
    fn internalerrquery(query: *const c_char) -> c_int;
    fn internalerrposition(position: c_int) -> c_int;
    fn CopyErrorData() -> *mut pg_sys::ErrorData;
    fn FreeErrorData(error: *mut pg_sys::ErrorData);
}

/// In memory of the transaction, since it is used after the frames that made it are gone.
struct Carrier {
    link: pg_sys::ErrorContextCallback,
    /// Outlives subtransactions that begin later, as those of functions that are called.
    context: pg_sys::MemoryContext,
    /// The last error that was raised within; the code there may have caught it.
    error: *mut pg_sys::ErrorData,
    /// Whether a panic has passed: what is reported from now on is that error, once more.
    passed: bool,
}

/// Takes the callback back, unless a panic passes: then it is needed for the report. It need not be
/// taken back after that: the code that catches an error restores the stack of callbacks.
struct Installed(*mut Carrier);

impl Drop for Installed {
    fn drop(&mut self) {
        // SAFETY: the carrier lives as long as the transaction; nothing here calls the core while a
        // panic unwinds.
        unsafe {
            if std::thread::panicking() {
                (*self.0).passed = true;
            } else {
                pg_sys::error_context_stack = (*self.0).link.previous;
                if !(*self.0).error.is_null() {
                    pg_sys::FreeErrorData((*self.0).error);
                }
                pg_sys::pfree(self.0.cast());
            }
        }
    }
}

/// Calls code that may raise an error which is not of this library: of a function in an expression,
/// or of a wait.
///
/// # Safety
/// Within a transaction.
pub(crate) unsafe fn carrying<T>(call: impl FnOnce() -> T) -> T {
    // SAFETY: by contract the transaction's memory is there.
    let installed = unsafe {
        let context = pg_sys::CurTransactionContext;
        let carrier: *mut Carrier =
            pg_sys::MemoryContextAlloc(context, size_of::<Carrier>()).cast();
        carrier.write(Carrier {
            link: pg_sys::ErrorContextCallback {
                previous: pg_sys::error_context_stack,
                callback: Some(on_report),
                arg: carrier.cast(),
            },
            context,
            error: ptr::null_mut(),
            passed: false,
        });
        pg_sys::error_context_stack = &raw mut (*carrier).link;
        Installed(carrier)
    };
    let result = call();
    drop(installed);
    result
}

/// Called by the core for everything that is reported, after the callbacks of who runs deeper.
unsafe extern "C-unwind" fn on_report(carrier: *mut c_void) {
    // SAFETY: `carrying` made the carrier, which lives until the transaction is aborted. This frame
    // owns nothing, should one of the calls raise an error.
    #[expect(ffi_unwind_calls, reason = "this frame owns nothing that an error could leave behind")]
    unsafe {
        let carrier = &mut *carrier.cast::<Carrier>();
        if carrier.passed {
            if let Some(error) = carrier.error.as_ref()
                && geterrcode() == error.sqlerrcode
            {
                add(error);
            }
            return;
        }
        // There is no memory for a copy.
        if geterrcode() == PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY as c_int {
            return;
        }
        // Not in the memory of errors, which is emptied when they have been dealt with.
        let before = pg_sys::CurrentMemoryContext;
        pg_sys::CurrentMemoryContext = carrier.context;
        let error = CopyErrorData();
        let last = if (*error).elevel < PgLogLevel::ERROR as c_int {
            error
        } else {
            std::mem::replace(&mut carrier.error, error)
        };
        if !last.is_null() {
            FreeErrorData(last);
        }
        pg_sys::CurrentMemoryContext = before;
    }
}

/// Adds to the error that is being reported what it had when it was reported first.
///
/// # Safety
/// Called from an error context callback.
unsafe fn add(error: &pg_sys::ErrorData) {
    // SAFETY: the core copies the strings, which are null or C strings. This frame owns nothing.
    #[expect(ffi_unwind_calls, reason = "this frame owns nothing that an error could leave behind")]
    unsafe {
        if !error.context.is_null() {
            errcontext_msg(c"%s".as_ptr(), error.context);
        }
        if !error.detail_log.is_null() {
            errdetail_log(c"%s".as_ptr(), error.detail_log);
        }
        if !error.internalquery.is_null() {
            internalerrquery(error.internalquery);
            internalerrposition(error.internalpos);
        }
        for (field, text) in [
            (pg_sys::PG_DIAG_SCHEMA_NAME, error.schema_name),
            (pg_sys::PG_DIAG_TABLE_NAME, error.table_name),
            (pg_sys::PG_DIAG_COLUMN_NAME, error.column_name),
            (pg_sys::PG_DIAG_DATATYPE_NAME, error.datatype_name),
            (pg_sys::PG_DIAG_CONSTRAINT_NAME, error.constraint_name),
        ] {
            if !text.is_null() {
                err_generic_string(field.into(), text);
            }
        }
    }
}
