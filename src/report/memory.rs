//! What happens when memory runs out: an ERROR, as when `palloc` finds none, and never the end of
//! the process, with which the postmaster would end all others.
//!
//! Allocations that grow with the data are asked for by [`learned_index::memory`], which calls
//! [`raise`] where there is none. All others are small: for these a reserve is kept, which is
//! given back to the system when one of them fails. With it an operation, or the report of
//! its error, goes on to the next place where an error may be raised, [`require_reserve`]; there
//! the reserve is filled again, or the operation fails.
//!
//! The reserve also goes where the core finds no memory. pgrx copies an error before it turns it
//! into a panic, and begins again where there is no memory for the copy: without end, until the
//! core's stack of errors is full, which ends the process. So the core is asked to tell of its
//! errors ([`cover`]).

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use learned_index::memory::{SMALL, on_exhaustion};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::raise as raise_error;

/// Bytes of the reserve, in pieces that `malloc` takes from its heap and not from the system one by
/// one. Nobody writes to them, so that they cost address space and no memory.
const PIECES: usize = 8;
const PIECE: usize = 64 * 1024;

static RESERVE: [AtomicPtr<u8>; PIECES] = [const { AtomicPtr::new(ptr::null_mut()) }; PIECES];
/// Whether the reserve is gone, or was never filled.
static SPENT: AtomicBool = AtomicBool::new(true);

const LAYOUT: Layout = Layout::new::<[u8; PIECE]>();

/// The system's allocator, with a reserve for small allocations.
struct WithReserve;

#[global_allocator]
static ALLOCATOR: WithReserve = WithReserve;

// SAFETY: all memory comes from the system's allocator and goes back to it, with the same layout.
// Nothing here unwinds.
unsafe impl GlobalAlloc for WithReserve {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by contract.
        let mut found = unsafe { System.alloc(layout) };
        if found.is_null() && spend_for(layout.size()) {
            // SAFETY: by contract.
            found = unsafe { System.alloc(layout) };
        }
        found
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by contract.
        let mut found = unsafe { System.alloc_zeroed(layout) };
        if found.is_null() && spend_for(layout.size()) {
            // SAFETY: by contract.
            found = unsafe { System.alloc_zeroed(layout) };
        }
        found
    }

    #[inline]
    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: by contract.
        let mut found = unsafe { System.realloc(old, layout, size) };
        if found.is_null() && spend_for(size) {
            // SAFETY: by contract; what could not be made larger is as it was.
            found = unsafe { System.realloc(old, layout, size) };
        }
        found
    }

    #[inline]
    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: by contract.
        unsafe { System.dealloc(old, layout) }
    }
}

/// Spends the reserve, if there is any, for an allocation that nobody expects to fail.
#[cold]
fn spend_for(size: usize) -> bool {
    size <= SMALL && spend()
}

/// Gives the reserve back to the system. Returns whether there was any.
fn spend() -> bool {
    for piece in &RESERVE {
        let piece = piece.swap(ptr::null_mut(), Ordering::Relaxed);
        if !piece.is_null() {
            // SAFETY: it was allocated with this layout, and no other pointer to it is left.
            unsafe { System.dealloc(piece, LAYOUT) };
        }
    }
    !SPENT.swap(true, Ordering::Relaxed)
}

/// Sees to it that there is a reserve, and raises an error if there can be none. Called wherever
/// interrupts are checked for: an error may be raised here.
#[inline]
pub(crate) fn require_reserve() {
    if SPENT.load(Ordering::Relaxed) {
        fill();
    }
}

#[cold]
fn fill() {
    if !can_fill() {
        raise(PIECE);
    }
}

/// Fills the reserve, if there is the memory for it.
fn can_fill() -> bool {
    for piece in &RESERVE {
        if piece.load(Ordering::Relaxed).is_null() {
            // SAFETY: the layout has a size.
            let found = unsafe { System.alloc(LAYOUT) };
            if found.is_null() {
                return false;
            }
            piece.store(found, Ordering::Relaxed);
        }
    }
    SPENT.store(false, Ordering::Relaxed);
    true
}

// Without pgrx's guard: it is called while an error is being raised, and raises none.
unsafe extern "C-unwind" {
    fn geterrcode() -> c_int;
}

/// A callback at the far end of the core's stack of error context callbacks.
struct Cover(pg_sys::ErrorContextCallback);

// SAFETY: nobody changes it.
unsafe impl Sync for Cover {}

static COVER: Cover = Cover(pg_sys::ErrorContextCallback {
    previous: ptr::null_mut(),
    callback: Some(on_report),
    arg: ptr::null_mut(),
});

/// Sees to it that the reserve is given back when the core reports that its memory has run out,
/// until the core has dealt with an error. Called wherever this library's code begins.
#[inline]
pub(crate) fn cover() {
    let own = (&raw const COVER.0).cast_mut();
    // SAFETY: the core's stack is one of callbacks that are there. Who takes one off puts back what
    // that has as the previous one.
    unsafe {
        let mut link = &raw mut pg_sys::error_context_stack;
        while !(*link).is_null() {
            if ptr::eq(*link, own) {
                return;
            }
            link = &raw mut (**link).previous;
        }
        *link = own;
    }
}

/// Called by the core for everything that is reported.
unsafe extern "C-unwind" fn on_report(_: *mut c_void) {
    // SAFETY: an error is being reported. This frame owns nothing.
    #[expect(ffi_unwind_calls, reason = "this frame owns nothing that an error could leave behind")]
    let code = unsafe { geterrcode() };
    if code == PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY as c_int {
        spend();
    }
}

/// Raises the error. What is needed to report it comes from the reserve.
fn raise(bytes: usize) -> ! {
    spend();
    raise_error(
        ErrorReport::new(PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY, "out of memory", "learned")
            .set_detail(format!("Failed on request of size {bytes}.")),
    )
}

/// Registers the error, and fills the reserve if there is the memory for it.
pub(crate) fn register() {
    on_exhaustion(raise);
    can_fill();
}
