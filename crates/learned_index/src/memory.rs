//! Memory that grows with the data, and what happens when there is none.
//!
//! Rust ends the process when an allocation fails, and PostgreSQL then restarts all others. So
//! whatever can become larger than [`SMALL`] is allocated through this module, which raises
//! instead: a panic that unwinds to the caller of this crate. The extension makes an ERROR of it,
//! by the handler that it registers. Raising is right wherever an error may be returned: also under
//! page locks, which the store's guards leave to the code that catches the panic, and between two
//! changes of pages, whose traces are those of a crash there. No change of pages allocates on its
//! way.
//!
//! What is smaller than that is allocated as usual: the extension's allocator keeps a reserve for
//! it.

use std::collections::{HashMap, HashSet, TryReserveError};
use std::hash::{BuildHasher, Hash};
use std::sync::OnceLock;

/// Bytes that may be asked for at once in the usual way, without expecting a failure.
pub const SMALL: usize = 32 * 1024;

/// What is raised without a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Bytes that were asked for, about.
    pub bytes: usize,
}

/// Raises an error that says how many bytes could not be had.
pub type Handler = fn(bytes: usize) -> !;

static HANDLER: OnceLock<Handler> = OnceLock::new();

/// Says who raises the error; the first one stays. Without any, the panic's payload is an
/// [`OutOfMemory`].
pub fn on_exhaustion(handler: Handler) {
    HANDLER.get_or_init(|| handler);
}

#[cold]
#[inline(never)]
fn raise(bytes: usize) -> ! {
    match HANDLER.get() {
        Some(handler) => handler(bytes),
        // Without the hook, which would report a panic that is an answer.
        None => std::panic::resume_unwind(Box::new(OutOfMemory { bytes })),
    }
}

#[inline]
fn must(reserved: Result<(), TryReserveError>, bytes: usize) {
    if reserved.is_err() {
        raise(bytes);
    }
}

/// Collections that raise where there is no memory to grow.
pub trait Room {
    /// Makes room for so many elements more.
    fn make_room(&mut self, more: usize);
}

impl<T> Room for Vec<T> {
    #[inline]
    fn make_room(&mut self, more: usize) {
        if self.capacity() - self.len() < more {
            // As many as `try_reserve` asks for.
            let room = self.len().saturating_add(more).max(2 * self.capacity());
            must(self.try_reserve(more), room.saturating_mul(size_of::<T>()));
        }
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> Room for HashMap<K, V, S> {
    fn make_room(&mut self, more: usize) {
        let bytes = self.len().saturating_add(more).saturating_mul(size_of::<(K, V)>() + 1);
        must(self.try_reserve(more), bytes);
    }
}

impl<T: Eq + Hash, S: BuildHasher> Room for HashSet<T, S> {
    fn make_room(&mut self, more: usize) {
        let bytes = self.len().saturating_add(more).saturating_mul(size_of::<T>() + 1);
        must(self.try_reserve(more), bytes);
    }
}

/// Elements added one by one, or many at a time.
pub trait Add<T>: Room {
    /// Adds an element.
    fn add(&mut self, element: T);

    /// Adds all elements.
    fn add_all(&mut self, elements: impl IntoIterator<Item = T>) {
        let elements = elements.into_iter();
        self.make_room(elements.size_hint().0);
        elements.for_each(|element| self.add(element));
    }
}

impl<T> Add<T> for Vec<T> {
    #[inline]
    fn add(&mut self, element: T) {
        self.make_room(1);
        self.push(element);
    }
}

impl<T: Eq + Hash, S: BuildHasher> Add<T> for HashSet<T, S> {
    fn add(&mut self, element: T) {
        self.make_room(1);
        self.insert(element);
    }
}

/// An empty list with room for so many elements.
pub fn with_room<T>(elements: usize) -> Vec<T> {
    let mut list = Vec::new();
    let bytes = elements.saturating_mul(size_of::<T>());
    must(list.try_reserve_exact(elements), bytes);
    list
}

/// A list of all elements.
pub fn listed<T>(elements: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut list = Vec::new();
    list.add_all(elements);
    list
}

/// Raises unless so many bytes could be allocated, in one piece: for steps whose allocations, all
/// taken together, stay below that.
pub fn require_available(bytes: usize) {
    if bytes > SMALL {
        // Unused as it is, it must be allocated.
        drop(std::hint::black_box(with_room::<u8>(bytes)));
    }
}
