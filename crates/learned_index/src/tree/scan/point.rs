//! The short way to one key, which most lookups go: to one leaf, when nothing waits in a delta
//! tree.

use super::dead::may_have_dead;
use super::{Direction, Scan};
use crate::entry::{Fence, Side};
use crate::key::{Code, Interval, NullClass};
use crate::stop::{StopPoint, stop_at};
use crate::store::Store;
use crate::tree::attempt::Attempt;
use crate::tree::directory::Directory;
use crate::tree::leaf::read_leaf;

impl<C: Code, P> Scan<P, C> {
    /// Copies all entries of the only key that is asked for; returns whether there are any. `None`
    /// if they have to be gathered from several pages: nothing was copied then.
    #[inline(always)]
    pub(super) fn copy_point<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
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
        let open = read_leaf(store, word, at)?;
        open.check_holds(Side::At, from)?;
        self.work.read(at.routed);
        let leaf = open.view();
        // Without any value a leaf of NULLs has the positions of all values.
        if leaf.high() < Fence::after(key) || leaf.class() != key.class {
            return Ok(None);
        }
        let (slots, more) = leaf.copy_run(key.code, self.portion, &mut self.copied)?;
        if more {
            self.copied.clear();
            return Ok(None);
        }
        let copied = self.copied.len();
        leaf.ensure(copied == slots.len(), "as many entries as slots", copied as u64)?;
        self.copied.set_class(key.class);
        directory.remember(open.at, &leaf);
        let dead = leaf.tombstones();
        if !slots.is_empty() && may_have_dead(directory, &leaf, open.at) {
            self.ranges.clear();
            self.ranges.push((slots.start, slots.end));
            self.drop_dead(store, directory, &leaf, open.at, 0)?;
        }
        self.exhausted = Some(Direction::Forward);
        let found = !self.copied.is_empty();
        if found {
            self.keep_leaf::<S>(open.into_page(), dead);
        }
        Ok(Some(found))
    }
}
