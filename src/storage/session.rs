//! What this session remembers of the indexes that it used: directories and models.
//!
//! Nothing here is trusted. Each scan reads the metapage once and drops what was remembered of
//! another build of the index or of another state of it.
//!
//! All of it together takes no more memory than the session may use for it: what grows takes from a
//! budget, and when that is spent, the directories that were not used for longest are forgotten. A
//! scan that has one open keeps it, empty, and reads it through shared buffers from then on.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use learned_index::corruption::Result;
use learned_index::key::Code;
use learned_index::memory::listed;
use learned_index::store::Hint;
use learned_index::tree::budget::Budget;
use learned_index::tree::directory::Directory;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};

use super::buffers::IndexStore;
use crate::column::KeyColumns;
use crate::column::code::IndexCode;
use crate::relation::File;

/// Memory for all directories of a session, in kilobytes.
static DIRECTORY_MEMORY: GucSetting<i32> = GucSetting::<i32>::new(64 * 1024);

/// Makes the settings known.
pub(crate) fn register_settings() {
    GucRegistry::define_int_guc(
        c"omendb_learned.directory_memory",
        c"Memory in which a session keeps the directories and models of learned indexes.",
        c"The session forgets those that it has not used for longest. It reads a larger directory \
          through shared buffers at each lookup.",
        &DIRECTORY_MEMORY,
        0,
        i32::MAX / 2,
        GucContext::Userset,
        GucFlags::UNIT_KB,
    );
}

/// Memory that directories may take, in bytes.
pub(crate) fn directory_memory() -> usize {
    DIRECTORY_MEMORY.get() as usize * 1024
}

/// A directory of an index with codes of some kind: [`RefCell`] of a [`Directory`].
trait AnyDirectory: Any {
    /// Forgets what it knows, unless it is being used this moment.
    fn try_forget(&self);
}

impl<C: Code> AnyDirectory for RefCell<Directory<C>> {
    fn try_forget(&self) {
        if let Ok(mut directory) = self.try_borrow_mut() {
            directory.forget();
        }
    }
}

/// The directory of the index that was used last.
type Last = Option<(File, Rc<dyn AnyDirectory>, Hint)>;

struct Known {
    meta_hint: Hint,
    directory: Rc<dyn AnyDirectory>,
    used: u64,
}

/// At most so many directories are kept by a session, however small they are.
const MOST_DIRECTORIES: usize = 1000;
/// One in so many bytes and directories is forgotten in addition, so that not every lookup has to
/// make room.
const FORGOTTEN_AHEAD: usize = 8;
/// Lookups before room is looked for again where there was none.
const BETWEEN_RECLAIMS: u64 = 1000;

thread_local! {
    static KNOWN: RefCell<HashMap<File, Known>> = RefCell::new(HashMap::new());
    /// The one that was used last.
    static LAST: RefCell<Last> = const { RefCell::new(None) };
    static CLOCK: Cell<u64> = const { Cell::new(0) };
    /// What all of them take.
    static BUDGET: Rc<Budget> = Budget::shared(directory_memory(), reclaim);
    /// When room is looked for again.
    static NEXT_RECLAIM: Cell<u64> = const { Cell::new(0) };
}

/// The directory of an index, in its current state.
pub(crate) fn directory_of<C: IndexCode>(
    store: &IndexStore<C>,
) -> Result<Rc<RefCell<Directory<C>>>> {
    let key = store.index().file();
    let now = CLOCK.replace(CLOCK.get() + 1);
    BUDGET.with(|budget| keep_within(budget, directory_memory()));
    if let Some((directory, meta_hint)) = recall(&key, now)
        && let Ok(directory) = (directory as Rc<dyn Any>).downcast::<RefCell<Directory<C>>>()
    {
        store.set_metapage_hint(meta_hint);
        let incarnation = directory.borrow().identity().incarnation;
        if incarnation == store.incarnation() {
            directory.borrow_mut().refresh(store)?;
            return Ok(directory);
        }
    }
    let budget = BUDGET.with(Rc::clone);
    let opened = Directory::open_within(store, &budget)?;
    C::Columns::of_index(store.index()).check_identity(opened.identity())?;
    let directory = Rc::new(RefCell::new(opened));
    let meta_hint = store.metapage_hint();
    LAST.set(None);
    let known = KNOWN.with_borrow_mut(|known| {
        known.insert(key, Known { meta_hint, directory: directory.clone(), used: now });
        known.len()
    });
    // What a directory takes in any case was not asked for.
    if budget.used() > budget.limit() || known > MOST_DIRECTORIES {
        forget_least_used(&budget, 0, false);
    }
    Ok(directory)
}

/// The directory of an open index, looked up once: as long as the index is open it is not rebuilt.
#[inline]
pub(crate) fn directory_once<C: IndexCode>(
    known: &mut Option<Rc<RefCell<Directory<C>>>>,
    store: &IndexStore<C>,
) -> Result<Rc<RefCell<Directory<C>>>> {
    if let Some(directory) = known {
        return Ok(directory.clone());
    }
    Ok(known.insert(directory_of(store)?).clone())
}

/// What is known of an index, and that it was used now.
#[inline]
fn recall(key: &File, now: u64) -> Option<(Rc<dyn AnyDirectory>, Hint)> {
    // One index after the other, row after row: that is how inserts and nested loops go.
    let last = LAST.with_borrow(|last| {
        let (known, directory, hint) = last.as_ref()?;
        (known == key).then(|| (directory.clone(), *hint))
    });
    if last.is_some() {
        return last;
    }
    let found = KNOWN.with_borrow_mut(|known| {
        let known = known.get_mut(key)?;
        known.used = now;
        Some((known.directory.clone(), known.meta_hint))
    });
    LAST.set(found.as_ref().map(|(directory, hint)| (*key, directory.clone(), *hint)));
    found
}

/// Follows a change of the setting, and makes room that was missed with a page locked.
#[inline]
fn keep_within(budget: &Budget, limit: usize) {
    if budget.limit() != limit {
        budget.set_limit(limit);
        forget_least_used(budget, 0, true);
    }
    let missed = budget.take_missed();
    if missed > 0 && CLOCK.get() >= NEXT_RECLAIM.get() {
        // Not the one that has missed it.
        if !forget_least_used(budget, missed, false) {
            NEXT_RECLAIM.set(CLOCK.get() + BETWEEN_RECLAIMS);
        }
    }
}

/// Makes room for so many bytes more than there are, as far as that is possible.
#[cold]
fn reclaim(bytes: usize) {
    BUDGET.with(|budget| forget_least_used(budget, bytes, true));
}

/// Forgets directories, the least recently used first, until so many bytes more fit the budget, and
/// then some; `newest` says whether the last one may go too. One that is being used this moment is
/// borrowed, and stays as it is; one that a scan has open stays in its place, empty. Returns
/// whether the bytes fit.
#[cold]
fn forget_least_used(budget: &Budget, bytes: usize, newest: bool) -> bool {
    let limit = budget.limit();
    let fits = |limit: usize| budget.used().saturating_add(bytes) <= limit;
    LAST.set(None);
    KNOWN.with(|known| {
        let Ok(mut known) = known.try_borrow_mut() else { return };
        if fits(limit) && known.len() <= MOST_DIRECTORIES {
            return;
        }
        let mut by_age: Vec<(u64, File)> =
            listed(known.iter().map(|(&key, known)| (known.used, key)));
        by_age.sort_unstable_by_key(|&(used, _)| used);
        let last = by_age.pop().filter(|_| newest);
        for (_, key) in by_age {
            let few = known.len() <= MOST_DIRECTORIES - MOST_DIRECTORIES / FORGOTTEN_AHEAD;
            if few && fits(limit - limit / FORGOTTEN_AHEAD) {
                break;
            }
            forget(&mut known, key);
        }
        if let Some((_, key)) = last.filter(|_| !fits(limit)) {
            forget(&mut known, key);
        }
    });
    fits(limit)
}

fn forget(known: &mut HashMap<File, Known>, key: File) {
    let Some(found) = known.get(&key) else { return };
    found.directory.try_forget();
    if Rc::strong_count(&found.directory) == 1 {
        known.remove(&key);
    }
}
