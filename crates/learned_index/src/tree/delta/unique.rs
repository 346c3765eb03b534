//! Adding an entry to the delta tree of a unique index.

use std::ops::ControlFlow;

use super::insert::{Append, append_to, open_tree};
use super::look::{Look, Looked, Row};
use super::removal::{KeepAll, Table, remove_dead};
use super::split::make_room;
use crate::corruption::Result;
use crate::entry::{Block, Entry, Fence, HeapTid};
use crate::fault::{Fault, injected};
use crate::key::Code;
use crate::page::delta::Delta;
use crate::stop::{StopPoint, stop_at};
use crate::store::Update;
use crate::tree::attempt::{Attempt, Interruption, settled};
use crate::tree::directory::{Directory, Which};
use crate::tree::routes::{OpenNode, lock_node};

/// What a unique index says of an entry that was to be inserted.
pub enum Unique<B> {
    /// It is in. Whether the tree grew.
    Inserted(bool),
    /// It was not to be inserted, and nothing stands in its way.
    Checked,
    /// `look` stopped here. No lock is held.
    Stopped(B),
}

/// Looks at every entry with the same key, and adds the entry (unless `insert` is false) if `look`
/// stopped at none of them.
///
/// First come the frozen tree and the leaves, without a lock: as long as the state stays the same
/// no entry is added there. Then all inserts of one key meet at one lock: that of the left-most
/// leaf of the active tree that can hold the key. If the state is still the same under it, the
/// entries of the active tree are looked at, and the lock is held until the new one is in. Where
/// more than a few are to be looked at, they are looked at without the lock before.
///
/// Nothing below the active tree is read under that lock. What a state says of a block may be out
/// of date before the block is locked: it could be a leaf by then that another insert has locked,
/// which waits for this one.
///
/// No TID is reused between the moment in which it was read and the end of `look`, whose verdict
/// that a row is in nobody's way must hold until the check is over. `look` is called under pins, or
/// under that lock and maybe another of the same index.
pub fn insert_unique<S: Update, B>(
    store: &S,
    directory: &mut Directory<S::Code>,
    entry: Entry<S::Code>,
    insert: bool,
    mut look: impl FnMut(HeapTid) -> ControlFlow<B>,
) -> Result<Unique<B>> {
    let look = |tid| look(tid).map_continue(|()| Row::Gone);
    insert_unique_removing(store, directory, entry, insert, false, &mut KeepAll, look)
}

/// The same, but takes out entries of dead rows rather than to split a leaf, and where many of the
/// key are dead. `unchanged` as in [`super::insert_removing`].
pub fn insert_unique_removing<S: Update, T: Table<S::Code>, B>(
    store: &S,
    directory: &mut Directory<S::Code>,
    entry: Entry<S::Code>,
    insert: bool,
    unchanged: bool,
    table: &mut T,
    look: impl FnMut(HeapTid) -> ControlFlow<B, Row>,
) -> Result<Unique<B>> {
    let mut look = Look::new(directory.identity().equality::<S::Code>().range_of(entry.key), look);
    let position = Fence::at(entry);
    let mut grew = false;
    loop {
        directory.refresh(store)?;
        let Some(tree) = directory.state().active else {
            open_tree(store, directory)?;
            continue;
        };
        match settled(check_and_append(store, directory, entry, insert, &mut look))? {
            Some(CheckedAppend::Done) => {
                if let Some(first) = look.many_dead {
                    remove_dead(store, directory, first, false, table)?;
                }
                return Ok(if insert { Unique::Inserted(grew) } else { Unique::Checked });
            }
            Some(CheckedAppend::Stopped(why)) => return Ok(Unique::Stopped(why)),
            Some(CheckedAppend::Full) => {
                let has_room = remove_dead(store, directory, position, unchanged, table)?;
                if !has_room {
                    make_room(store, directory, tree, position)?;
                    grew = true;
                }
            }
            Some(CheckedAppend::TooMany) => {
                if let Some(Some(why)) = settled(look.ahead_of_lock(store, directory))? {
                    return Ok(Unique::Stopped(why));
                }
            }
            None => {}
        }
    }
}

enum CheckedAppend<B> {
    Done,
    Full,
    Stopped(B),
    /// More rows of the active tree are to be looked at than may be under the lock.
    TooMany,
}

fn check_and_append<S: Update, B, L: FnMut(HeapTid) -> ControlFlow<B, Row>>(
    store: &S,
    directory: &mut Directory<S::Code>,
    entry: Entry<S::Code>,
    insert: bool,
    look: &mut Look<L, S::Code>,
) -> Attempt<CheckedAppend<B>> {
    let (low, high) = look.range();
    let word = directory.state().word;
    if let Some(why) = look.below_active(store, directory)? {
        return Ok(CheckedAppend::Stopped(why));
    }
    let Some(routes) = directory.delta(store, Which::Active)? else {
        return Err(Interruption::Changed);
    };
    let tree = routes.tree();
    let place = if injected(Fault::UniqueLocksOwnLeaf) { Fence::at(entry) } else { low };
    stop_at(StopPoint::UniqueBeforeLock);
    let first = routes.lock_leaf(store, word, place)?;
    look.begin_under_lock();
    let killed = directory.killed();
    let mut looked = look.under_lock(killed, &first.view(), None)?;
    // To the right, one more lock at a time, as long as the key may go on. No merge gets past the
    // first leaf, so these are pages of the tree even if it is frozen meanwhile.
    loop {
        match looked {
            Looked::Stopped(why) => return Ok(CheckedAppend::Stopped(why)),
            Looked::TooMany => return Ok(CheckedAppend::TooMany),
            Looked::Until(end, _) if end >= high => break,
            Looked::Until(end, right) => {
                check_is_other(right, &first.view())?;
                let next = OpenNode::check(store.read(right, 0), tree.name, right)?;
                looked = look.under_lock(killed, &next.view(), Some(end))?;
            }
        }
    }
    if !insert {
        return Ok(CheckedAppend::Done);
    }
    stop_at(StopPoint::UniqueUnderLock);
    let appended = if Fence::at(entry) < first.view().high() {
        append_to(store, first, entry)
    } else {
        append_right_of(store, word, &first, entry)?
    };
    // A tree frozen by now may still have taken the entry: its leaf was locked all the time, and
    // a session that merges it or looks for the key there waits for that lock.
    Ok(match appended {
        Append::Done => CheckedAppend::Done,
        Append::Full => CheckedAppend::Full,
    })
}

/// Adds an entry to its leaf, right of one that is locked and stays locked. No merge gets past that
/// one, so this leaf would be the right one even in a tree that was frozen meanwhile; the word is
/// loaded all the same, so that nothing rests on the order in which merges read leaves.
fn append_right_of<'s, S: Update>(
    store: &'s S,
    word: u64,
    first: &OpenNode<S::Exclusive<'s>, S::Code>,
    entry: Entry<S::Code>,
) -> Attempt<Append> {
    let first = first.view();
    let (mut block, mut low) = (first.right(), first.high());
    loop {
        check_is_other(block, &first)?;
        let open = lock_node(store, word, first.tree(), block, 0)?;
        let node = open.view();
        node.verify()?;
        node.ensure_that(node.low() == low, "the neighbour's fence")?;
        if Fence::at(entry) < node.high() {
            return Ok(append_to(store, open, entry));
        }
        (block, low) = (node.right(), node.high());
    }
}

/// Checks that a right neighbour is not the page that is locked: nobody could end a wait for that.
fn check_is_other<C: Code>(right: Block, locked: &Delta<'_, C>) -> Result<()> {
    locked.ensure(right != 0 && right != locked.at(), "a right neighbour", right.into())
}
