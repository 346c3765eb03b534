//! An allocator with a limit, for one thread: what is larger than [`SMALL`] counts, and fails where
//! all of it together would pass the limit.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use learned_index::memory::{OutOfMemory, SMALL};

thread_local! {
    static LIMIT: Cell<isize> = const { Cell::new(isize::MAX) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

struct Limited;

#[global_allocator]
static ALLOCATOR: Limited = Limited;

fn counted(bytes: usize) -> isize {
    if bytes > SMALL { bytes as isize } else { 0 }
}

/// Counts bytes as allocated, unless they are too many.
fn take(bytes: usize) -> bool {
    let bytes = counted(bytes);
    let live = LIVE.get() + bytes;
    if bytes > 0 && live > LIMIT.get() {
        return false;
    }
    LIVE.set(live);
    MOST.set(MOST.get().max(live));
    true
}

fn give_back(bytes: usize) {
    LIVE.set(LIVE.get() - counted(bytes));
}

// SAFETY: all of it is the system's, but for what is refused.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by contract.
        if take(layout.size()) { unsafe { System.alloc(layout) } } else { std::ptr::null_mut() }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: by contract.
        unsafe { System.dealloc(at, layout) }
    }

    // Growing is allocating, copying and freeing: both are there for a moment.
}

/// Does something with at most so many bytes, in large pieces and beyond what is there.
pub(crate) fn with_at_most<T>(bytes: isize, action: impl FnOnce() -> T) -> Result<T, OutOfMemory> {
    LIMIT.set(LIVE.get().saturating_add(bytes));
    let outcome = catch_unwind(AssertUnwindSafe(action));
    LIMIT.set(isize::MAX);
    outcome.map_err(|payload| match payload.downcast::<OutOfMemory>() {
        Ok(raised) => *raised,
        Err(other) => std::panic::resume_unwind(other),
    })
}

/// Does something, and tells the most bytes that it held in large pieces.
pub(crate) fn measured<T>(action: impl FnOnce() -> T) -> (T, isize) {
    let before = LIVE.get();
    MOST.set(before);
    let done = action();
    (done, MOST.get() - before)
}
