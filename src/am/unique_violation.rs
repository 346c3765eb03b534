//! Errors about uniqueness, which name the table and the index as a constraint's error does.
//!
//! Clients read these names from fields of their own (`ConstraintName` of the protocol), which
//! pgrx's reports do not have and its guards do not carry on. So an error is raised as any other of
//! this extension, by a panic that runs destructors, and the fields are added where the report
//! is made at last: by an error context callback, as `internalerrquery` is in the core.

use std::ffi::{CStr, c_char, c_int, c_void};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::relation::{OpenIndex, OpenTable};
use crate::report::raise;

// Without pgrx's guard: they are called while an error is being raised, from a frame that owns
// nothing.
unsafe extern "C-unwind" {
    fn geterrcode() -> c_int;
    fn err_generic_string(field: c_int, text: *const c_char) -> c_int;
}

/// Raises the error of a new row whose key another living row has.
///
/// # Safety
/// `values` and `is_null` have an element for each column of the index.
/// No lock is held on any page: describing the key reads catalogs.
pub(super) unsafe fn duplicate_key(
    table: OpenTable,
    index: OpenIndex,
    values: *const pg_sys::Datum,
    is_null: *const bool,
) -> ! {
    // SAFETY: by contract.
    unsafe {
        let key = describe(index, values, is_null);
        let name = index.name();
        let violation = Violation {
            code: PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION,
            message: format!("duplicate key value violates unique constraint \"{name}\""),
            detail: key.map(|key| format!("Key {key} already exists.")),
            hint: None,
        };
        violation.raise(table, index)
    }
}

/// Raises the error of a table with duplicates, which a unique index cannot be built on.
///
/// # Safety
/// As [`duplicate_key`].
pub(super) unsafe fn duplicate_in_table(
    table: OpenTable,
    index: OpenIndex,
    values: *const pg_sys::Datum,
    is_null: *const bool,
) -> ! {
    // SAFETY: by contract.
    unsafe {
        let detail = match describe(index, values, is_null) {
            Some(key) => format!("Key {key} is duplicated."),
            None => "Duplicate keys exist.".to_owned(),
        };
        let name = index.name();
        let violation = Violation {
            code: PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION,
            message: format!("could not create unique index \"{name}\""),
            detail: Some(detail),
            hint: None,
        };
        violation.raise(table, index)
    }
}

/// Raises the error of a deferred check that has not met the entry of its own row.
///
/// # Safety
/// No lock is held on any page.
pub(super) unsafe fn own_entry_missing(table: OpenTable, index: OpenIndex) -> ! {
    // SAFETY: by contract.
    unsafe {
        let name = index.name();
        let violation = Violation {
            code: PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
            message: format!("failed to re-find tuple within index \"{name}\""),
            detail: None,
            hint: Some("This may be because of a non-immutable index expression."),
        };
        violation.raise(table, index)
    }
}

/// The key of a row as `(columns)=(values)`, where the user may see it.
///
/// # Safety
/// As [`duplicate_key`].
unsafe fn describe(
    index: OpenIndex,
    values: *const pg_sys::Datum,
    is_null: *const bool,
) -> Option<String> {
    // SAFETY: by contract; the core only reads the arrays. It returns NULL or a C string.
    unsafe {
        let key =
            pg_sys::BuildIndexValueDescription(index.raw(), values.cast_mut(), is_null.cast_mut());
        (!key.is_null()).then(|| CStr::from_ptr(key).to_string_lossy().into_owned())
    }
}

/// What is added to an error when it is reported.
struct Fields {
    link: pg_sys::ErrorContextCallback,
    /// The error's SQLSTATE: others that are reported in between stay as they are.
    code: c_int,
    schema: *const c_char,
    table: *const c_char,
    constraint: *const c_char,
}

struct Violation {
    code: PgSqlErrorCode,
    message: String,
    detail: Option<String>,
    hint: Option<&'static str>,
}

impl Violation {
    /// # Safety
    /// No lock is held on any page.
    unsafe fn raise(self, table: OpenTable, index: OpenIndex) -> ! {
        // SAFETY: by contract.
        unsafe { name_constraint_in(self.code, table, index) };
        let mut report = ErrorReport::new(self.code, self.message, "learned");
        if let Some(detail) = self.detail {
            report = report.set_detail(detail);
        }
        if let Some(hint) = self.hint {
            report = report.set_hint(hint);
        }
        raise(report)
    }
}

/// Has the fields added to the error with this code that is raised next.
///
/// # Safety
/// Within a transaction, and that error follows at once.
unsafe fn name_constraint_in(code: PgSqlErrorCode, table: OpenTable, index: OpenIndex) {
    // SAFETY: the names of open relations are C strings, and the copies live as long as the
    // (sub)transaction, which is aborted only after the error was reported. The callback need not
    // be taken back: the code that catches an error restores the stack of callbacks.
    unsafe {
        let context = pg_sys::CurTransactionContext;
        let copy = |name: *const c_char| -> *const c_char {
            match name.is_null() {
                true => name,
                false => pg_sys::MemoryContextStrdup(context, name),
            }
        };
        let fields: *mut Fields = pg_sys::MemoryContextAlloc(context, size_of::<Fields>()).cast();
        fields.write(Fields {
            link: pg_sys::ErrorContextCallback {
                previous: pg_sys::error_context_stack,
                callback: Some(add_fields),
                arg: fields.cast(),
            },
            code: code as c_int,
            schema: copy(pg_sys::get_namespace_name(table.class().relnamespace)),
            table: copy(table.class().relname.data.as_ptr()),
            constraint: copy(index.class().relname.data.as_ptr()),
        });
        pg_sys::error_context_stack = &raw mut (*fields).link;
    }
}

/// Completes the error that is being reported.
unsafe extern "C-unwind" fn add_fields(fields: *mut c_void) {
    // SAFETY: `name_constraint_in` made the fields, which live until the transaction is aborted.
    // The core copies the strings. This frame owns nothing, should one of the calls raise an error.
    #[expect(ffi_unwind_calls, reason = "this frame owns nothing that an error could leave behind")]
    unsafe {
        let fields = &*fields.cast::<Fields>();
        if geterrcode() != fields.code {
            return;
        }
        for (field, text) in [
            (pg_sys::PG_DIAG_SCHEMA_NAME, fields.schema),
            (pg_sys::PG_DIAG_TABLE_NAME, fields.table),
            (pg_sys::PG_DIAG_CONSTRAINT_NAME, fields.constraint),
        ] {
            if !text.is_null() {
                err_generic_string(field.into(), text);
            }
        }
    }
}
