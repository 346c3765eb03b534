//! The short way to one key, which most lookups go: to one leaf, when nothing waits in a delta tree.

use super::dead::may_have_dead;
use super::portion::open_leaf;
use super::{Direction, Scan};
use crate::corruption::{Corruption, ensure};
use crate::entry::Fence;
use crate::key::{Interval, NullClass};
use crate::page;
use crate::stop::{StopPoint, stop_at};
use crate::store::Store;
use crate::tree::attempt::{Attempt, read_current};
use crate::tree::directory::Directory;

impl<P> Scan<P> {
    /// Copies all entries of the only key that is asked for; returns whether there are any. `None` if they
    /// have to be gathered from several pages: nothing was copied then.
    #[inline(always)]
    pub(super) fn copy_point<S: Store<Pin = P>>(
        &mut self,
        store: &S,
        directory: &mut Directory,
    ) -> Attempt<Option<bool>> {
        let &[Interval { low: key, high }] = self.intervals.as_slice() else { return Ok(None) };
        let state = directory.state();
        if key != high || key.class != NullClass::Value || state.has_delta() {
            return Ok(None);
        }
        let word = state.word;
        let from = Fence::before(key);
        let Some(at) = directory.route(store, from)? else { return Ok(None) };
        directory.warm(store, at, key.code);
        stop_at(StopPoint::ScanBeforeLeaf);
        let page = read_current(store, word, at.block, at.hint)?;
        let named = |corruption: Corruption| corruption.at(at.block);
        let leaf = open_leaf::<S>(at, &page).map_err(named)?;
        let high = leaf.high();
        ensure(leaf.low() <= from && from < high, "a leaf that holds the key", page::birth(&page))
            .map_err(named)?;
        // Without any value a leaf of NULLs has the positions of all values.
        if high < Fence::after(key) || leaf.class() != key.class {
            return Ok(None);
        }
        let (slots, more) = leaf
            .copy_run(key.code, self.portion, &mut self.codes, &mut self.tids)
            .map_err(named)?;
        if more {
            self.codes.clear();
            self.tids.clear();
            return Ok(None);
        }
        let copied = self.tids.len();
        ensure(copied == slots.len(), "as many entries as slots", copied as u64).map_err(named)?;
        self.class = key.class;
        let hint = S::hint(&page);
        directory.remember(at, hint, &leaf);
        let dead = leaf.tombstones();
        if !slots.is_empty() && may_have_dead(directory, &leaf, at) {
            self.ranges.clear();
            self.ranges.push((slots.start, slots.end));
            self.drop_dead(store, directory, &leaf, at, 0)?;
        }
        self.exhausted = Some(Direction::Forward);
        let found = !self.tids.is_empty();
        if found {
            self.keep_leaf::<S>(page, dead);
        }
        Ok(Some(found))
    }
}
