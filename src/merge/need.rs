//! How much an index needs to be merged.

use learned_index::corruption::Result;
use learned_index::tree::merge::delta_entries;

use crate::column::code::IndexCode;
use crate::storage::buffers::IndexStore;
use crate::storage::session;

/// Whether an index is to be merged now. `known`: what this session knows of the delta trees is
/// enough.
pub(crate) fn is_due<C: IndexCode>(store: &IndexStore<C>, known: bool) -> Result<bool> {
    // A merge that has begun goes on to its end.
    let begun = session::directory_of(store)?.borrow().state().frozen.is_some();
    Ok(begun || need_of(store, known)? >= 1.0)
}

/// How much an index needs to be merged: from 1 on it is due. `known` as in [`is_due`].
pub(crate) fn need_of<C: IndexCode>(store: &IndexStore<C>, known: bool) -> Result<f64> {
    let directory = session::directory_of(store)?;
    let mut directory = directory.borrow_mut();
    let waits = if known { directory.delta_entries() } else { delta_entries(store)? };
    let entries = directory.state().values + directory.state().nulls;
    store.index().options().need(entries, waits, || directory.leaves_to_merge(store))
}

/// How many rows wait when they are merged, as far as those that wait now tell.
pub(crate) fn merged_at<C: IndexCode>(store: &IndexStore<C>) -> Result<u64> {
    let directory = session::directory_of(store)?;
    let mut directory = directory.borrow_mut();
    let entries = directory.state().values + directory.state().nulls;
    store.index().options().merged_at(entries, || directory.leaves_to_merge(store))
}
