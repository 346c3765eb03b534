//! Adding an entry to the delta tree.

use super::removal::{KeepAll, Table, remove_dead};
use super::split::make_room;
use crate::corruption::Result;
use crate::entry::{Block, Entry, Fence};
use crate::page::delta::{self, Span, Tree};
use crate::stop::{StopPoint, stop_at};
use crate::store::Update;
use crate::tree::attempt::{Attempt, Interruption, settled};
use crate::tree::directory::{Directory, Which};
use crate::tree::routes::OpenNode;
use crate::tree::transition::transition;

/// What became of an entry that was to be inserted.
pub(super) enum Append {
    Done,
    /// Its leaf is full.
    Full,
}

/// Adds an entry to the index. Returns whether the delta tree grew by a page, which is when it is
/// worth looking at its size.
pub fn insert<S: Update>(
    store: &S,
    directory: &mut Directory<S::Code>,
    entry: Entry<S::Code>,
) -> Result<bool> {
    insert_removing(store, directory, entry, false, &mut KeepAll)
}

/// The same, but takes out entries of dead rows rather than to split a leaf. `unchanged`: the row
/// is another version of one that has an entry with this key, so that there may be dead ones.
pub fn insert_removing<S: Update, T: Table<S::Code>>(
    store: &S,
    directory: &mut Directory<S::Code>,
    entry: Entry<S::Code>,
    unchanged: bool,
    table: &mut T,
) -> Result<bool> {
    let mut grew = false;
    loop {
        directory.refresh(store)?;
        let Some(tree) = directory.state().active else {
            open_tree(store, directory)?;
            continue;
        };
        let position = Fence::at(entry);
        match settled(append(store, directory, entry))? {
            Some(Append::Done) => return Ok(grew),
            Some(Append::Full) if remove_dead(store, directory, position, unchanged, table)? => {}
            Some(Append::Full) => {
                make_room(store, directory, tree, position)?;
                grew = true;
            }
            None => {}
        }
    }
}

fn append<S: Update>(
    store: &S,
    directory: &mut Directory<S::Code>,
    entry: Entry<S::Code>,
) -> Attempt<Append> {
    let word = directory.state().word;
    let Some(routes) = directory.delta(store, Which::Active)? else {
        return Err(Interruption::Changed);
    };
    let leaf = routes.lock_leaf(store, word, Fence::at(entry))?;
    stop_at(StopPoint::InsertUnderLock);
    Ok(append_to(store, leaf, entry))
}

/// Adds an entry to its leaf, and unlocks that.
pub(super) fn append_to<'s, S: Update>(
    store: &'s S,
    leaf: OpenNode<S::Exclusive<'s>, S::Code>,
    entry: Entry<S::Code>,
) -> Append {
    let edits = leaf.view().append(entry);
    let mut page = leaf.into_page();
    match edits {
        None => return Append::Full,
        Some((None, edit)) => store.change(&mut [(&mut page, &[edit])]),
        Some((Some(end), edit)) => store.change(&mut [(&mut page, &[end, edit])]),
    }
    Append::Done
}

/// Makes a delta tree with one empty leaf the active one, unless there is one by now.
pub(in crate::tree) fn open_tree<S: Update>(
    store: &S,
    directory: &mut Directory<S::Code>,
) -> Result<()> {
    let word = directory.state().word;
    let name = word + 1;
    let root = store.create(&delta::leaf::<S::Code>(name, Span::ALL, &[]));
    stop_at(StopPoint::OpenBeforeTransition);
    let opened = transition(store, |state| {
        (state.word == word && state.active.is_none()).then(|| {
            let mut next = *state;
            next.active = Some(Tree { root, name });
            next
        })
    })?;
    if opened.is_none() {
        give_back(store, root, name);
    }
    directory.refresh(store)
}

/// Frees a page that was made for a tree and never linked. If it is not the tree's any
/// more, a sweep was quicker.
pub(super) fn give_back<S: Update>(store: &S, block: Block, tree: u64) {
    store.free(block, |page| delta::belongs_to(page, tree));
}
