//! Transitions: the index goes from one state to the next by one change of the metapage.

use crate::corruption::Result;
use crate::page::meta::{self, State};
use crate::store::Update;

/// Makes `next` of the current state the new one, under another word. Nothing happens where the
/// answer is `None`. Must not be called with a page locked: the metapage is locked last and alone.
pub(super) fn transition<S: Update>(
    store: &S,
    next: impl FnOnce(&State<S::Code>) -> Option<State<S::Code>>,
) -> Result<Option<State<S::Code>>> {
    let mut page = store.lock(0, 0);
    let (_, state) = meta::decode(&page).map_err(|corruption| corruption.at(0))?;
    let Some(mut next) = next(&state) else { return Ok(None) };
    next.word = state.word + 1;
    let edits = meta::change(&page, &next);
    store.change(&mut [(&mut page, &edits)]);
    Ok(Some(next))
}
