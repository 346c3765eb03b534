//! Replacing leaves by copy-on-write: new leaves and directory pages beside the old ones, made
//! current by one change of the metapage.
//!
//! Nothing that readers can reach changes before that, and all of it at once then. A crash in
//! between leaves pages that nothing refers to, which vacuum sweeps up. The session that rewrites
//! has the exclusion: no other session publishes, freezes, drops or marks dead entries meanwhile.
//! Others may insert, and may open a delta tree.

use super::attempt::{Attempt, settled};
use super::build::{BuildOptions, write_level, write_model};
use super::directory::{UpperLevels, read_children, read_meta, read_model_pages};
use super::leaf::{LeafRef, read_leaf};
use super::leaf_cutter::{LeafCutter, NewLeaf};
use super::tombstones::read_tombstones;
use super::transition::transition;
use crate::corruption::{Corruption, Result};
use crate::entries::Entries;
use crate::entry::{Block, Entry, Fence};
use crate::fault::{Fault, cut_off, injected};
use crate::key::{Code, NullClass, Word};
use crate::memory::{Add, Room, listed, with_room};
use crate::model::{Model, ModelChoice};
use crate::page::PageBytes;
use crate::page::directory::{self, Child};
use crate::page::history::Training;
use crate::page::meta::{Identity, NOTHING_STALE, State};
use crate::stop::{StopPoint, stop_at};
use crate::store::{Hint, Store, Update};

/// A model is trained anew once the number of leaves has changed by one in this many.
const MODEL_DRIFT: u32 = 32;

/// A directory page with fewer children goes together with the next one.
const fn small_page<C>() -> usize {
    directory::capacity::<C>() / 4
}

/// A store as the session with the exclusion sees it: the state does not change under it, for what
/// others may do (open a delta tree) touches nothing that is read through this.
pub(super) struct Excluded<'a, S> {
    pub(super) store: &'a S,
    pub(super) word: u64,
}

impl<S: Store> Store for Excluded<'_, S> {
    type Code = S::Code;
    type Page<'s>
        = S::Page<'s>
    where
        Self: 's;
    type Pin = S::Pin;

    fn word(&self) -> u64 {
        self.word
    }

    fn read(&self, block: Block, hint: Hint) -> S::Page<'_> {
        self.store.read(block, hint)
    }

    fn hint(page: &S::Page<'_>) -> Hint {
        S::hint(page)
    }

    fn pin(page: S::Page<'_>) -> S::Pin {
        S::pin(page)
    }

    fn lock_again(&self, pin: S::Pin) -> S::Page<'_> {
        self.store.lock_again(pin)
    }

    fn unpin(&self, pin: S::Pin) {
        self.store.unpin(pin);
    }

    fn prefetch(&self, block: Block) -> Hint {
        self.store.prefetch(block)
    }

    fn blocks(&self) -> Block {
        self.store.blocks()
    }
}

/// What was read under the exclusion cannot have been interrupted.
pub(super) fn undisturbed<T>(attempt: Attempt<T>) -> Result<T> {
    settled(attempt)?.ok_or(Corruption::not("a state that no other session changes").at(0))
}

/// New leaves in the making.
pub(super) struct Rewrite<'a, S: Store> {
    store: &'a S,
    pub(super) identity: Identity,
    pub(super) state: State<S::Code>,
    options: BuildOptions,
    upper: UpperLevels<S::Code>,
    /// How many leaves stand before each directory page of the lowest level.
    firsts: Vec<usize>,
    /// The directory page that was read last.
    current: Option<(usize, Vec<Child<S::Code>>)>,
    runs: Vec<Run<S::Code>>,
    /// Blocks that nobody refers to once this is published.
    replaced: Vec<Block>,
    /// Blocks known to be free.
    spare: &'a mut Vec<Block>,
    values: i64,
    nulls: i64,
    null_leaves: i64,
}

/// Leaves that stand next to each other, and what replaces them.
struct Run<C> {
    first: usize,
    count: usize,
    /// Where it ends.
    high: Fence<C>,
    leaves: Vec<Child<C>>,
}

/// The entries of a leaf that are alive, in order.
pub(super) struct Contents<C> {
    pub(super) low: Fence<C>,
    pub(super) high: Fence<C>,
    pub(super) entries: Entries<C>,
}

/// New leaves of one run.
pub(super) struct OpenRun<C> {
    first: usize,
    cutter: LeafCutter<C>,
    leaves: Vec<Child<C>>,
}

impl<'a, S: Update> Rewrite<'a, S> {
    /// Begins. The caller has the exclusion until this is published or dropped.
    pub(super) fn begin(
        store: &'a S,
        options: BuildOptions,
        spare: &'a mut Vec<Block>,
    ) -> Result<Rewrite<'a, S>> {
        let (identity, state) = read_meta(store, &mut 0)?;
        let excluded = Excluded { store, word: state.word };
        let upper = undisturbed(UpperLevels::read(&excluded, &state))?;
        let mut before = 0;
        let firsts = upper.pages.iter().map(|page| {
            before += page.leaves as usize;
            before - page.leaves as usize
        });
        let firsts = listed(firsts);
        Ok(Rewrite {
            store,
            identity,
            state,
            options,
            upper,
            firsts,
            current: None,
            runs: Vec::new(),
            replaced: Vec::new(),
            spare,
            values: 0,
            nulls: 0,
            null_leaves: 0,
        })
    }

    fn excluded(&self) -> Excluded<'a, S> {
        Excluded { store: self.store, word: self.state.word }
    }

    /// Number of leaves before this.
    pub(super) fn leaves(&self) -> usize {
        self.state.leaves as usize
    }

    fn children(&mut self, page: usize) -> Result<&[Child<S::Code>]> {
        if self.current.as_ref().is_none_or(|(current, _)| *current != page) {
            let parent = self.upper.pages[page];
            let children =
                undisturbed(read_children(&self.excluded(), self.state.word, parent, 0))?;
            self.current = Some((page, children));
        }
        Ok(self.current.as_ref().map_or(&[], |(_, children)| children))
    }

    /// The ordinal of the leaf that a position belongs to; 0 if there are no leaves.
    pub(super) fn ordinal_of(&mut self, position: Fence<S::Code>) -> Result<usize> {
        if self.leaves() == 0 {
            return Ok(0);
        }
        let pages = &self.upper.pages;
        let page = pages.partition_point(|page| page.low <= position).saturating_sub(1);
        let first = self.firsts[page];
        let children = self.children(page)?;
        let within = children.partition_point(|child| child.low <= position).saturating_sub(1);
        Ok(first + within)
    }

    fn child(&mut self, ordinal: usize) -> Result<Child<S::Code>> {
        let page = self.firsts.partition_point(|&first| first <= ordinal).saturating_sub(1);
        let within = ordinal - self.firsts[page];
        let found = self.children(page)?.get(within).copied();
        found.ok_or(Corruption::not("a leaf in the directory"))
    }

    /// Begins a run with the `first`-th leaf, whose low fence is `low`.
    pub(super) fn begin_run(&self, first: usize, low: Fence<S::Code>) -> OpenRun<S::Code> {
        let class = match low.class {
            0 if self.identity.nulls_first() => NullClass::NullsFirst,
            2 => NullClass::NullsLast,
            _ => NullClass::Value,
        };
        let birth = self.state.epoch + 1;
        let cutter = LeafCutter::new(self.options.fillfactor, class, low, birth);
        OpenRun { first, cutter, leaves: Vec::new() }
    }

    /// Reads the `ordinal`-th leaf, which will be replaced. Of an index without leaves: an empty
    /// one over everything.
    pub(super) fn take_leaf(&mut self, ordinal: usize) -> Result<Contents<S::Code>> {
        if self.leaves() == 0 {
            return Ok(Contents { low: Fence::MIN, high: Fence::MAX, entries: Entries::default() });
        }
        let child = self.child(ordinal)?;
        self.replaced.add(child.block);
        self.read_leaf(LeafRef::unknown(ordinal, &child), child.low)
    }

    fn read_leaf(&mut self, at: LeafRef, low: Fence<S::Code>) -> Result<Contents<S::Code>> {
        let excluded = self.excluded();
        let open = undisturbed(read_leaf(&excluded, excluded.word, at))?;
        let leaf = open.view();
        leaf.ensure_that(leaf.low() == low, "the directory's fence")?;
        let mut entries = leaf.entries_between(0, leaf.entries())?;
        let all = entries.len() == leaf.entries();
        leaf.ensure(all, "as many entries as slots", entries.len() as u64)?;
        let dead = undisturbed(read_tombstones(&excluded, excluded.word, &leaf))?.slots();
        let (mut dead, mut slots) = (dead.into_iter().peekable(), 0u16..);
        entries.keep_from(0, |_| {
            let slot = slots.next();
            dead.next_if(|&dead| Some(dead) == slot).is_none()
        });
        self.replaced.add_all(leaf.tombstone_page());
        if leaf.class() == NullClass::Value {
            self.values -= leaf.entries() as i64;
        } else {
            self.nulls -= leaf.entries() as i64;
            self.null_leaves -= 1;
        }
        Ok(Contents { low: leaf.low(), high: leaf.high(), entries })
    }

    /// Adds an entry to a run, behind all others.
    pub(super) fn push(&mut self, run: &mut OpenRun<S::Code>, entry: Entry<S::Code>) {
        let class = entry.key.class;
        if class != run.cutter.class() {
            let boundary = Fence::start_of(class);
            if !run.cutter.is_empty() {
                self.finish_class(run, boundary);
            } else if class != NullClass::Value && run.cutter.low() < boundary {
                // Leaves never hold positions of values in front of NULLs: routing among the
                // leaves of values relies on that.
                self.write_empty(run, NullClass::Value, boundary);
            }
            let low = if run.leaves.is_empty() { run.cutter.low() } else { boundary };
            run.cutter.begin(class, low);
        }
        let mut written = std::mem::take(&mut run.leaves);
        run.cutter.push(entry.key.code, entry.tid, |leaf| self.add_leaf(&mut written, leaf));
        run.leaves = written;
    }

    fn finish_class(&mut self, run: &mut OpenRun<S::Code>, end: Fence<S::Code>) {
        let mut written = std::mem::take(&mut run.leaves);
        run.cutter.finish(end, |leaf| self.add_leaf(&mut written, leaf));
        run.leaves = written;
    }

    fn write_empty(&mut self, run: &mut OpenRun<S::Code>, class: NullClass, end: Fence<S::Code>) {
        let mut written = std::mem::take(&mut run.leaves);
        run.cutter.write_empty(class, end, |leaf| self.add_leaf(&mut written, leaf));
        run.leaves = written;
    }

    fn add_leaf(&mut self, leaves: &mut Vec<Child<S::Code>>, leaf: NewLeaf<S::Code>) {
        let block = write_page(self.store, self.spare, &leaf.page);
        leaves.add(leaf.child(block));
        if leaf.class == NullClass::Value {
            self.values += leaf.entries as i64;
        } else {
            self.nulls += leaf.entries as i64;
            self.null_leaves += 1;
        }
    }

    /// Ends a run, which replaces `count` leaves and ends at `high`.
    pub(super) fn finish_run(
        &mut self,
        mut run: OpenRun<S::Code>,
        count: usize,
        high: Fence<S::Code>,
    ) {
        let values = Fence::start_of(NullClass::Value);
        if run.cutter.class() == NullClass::NullsFirst && high > values {
            if !run.cutter.is_empty() {
                self.finish_class(&mut run, values);
            }
            self.write_empty(&mut run, NullClass::Value, high);
        } else if run.cutter.is_empty() {
            let class = run.cutter.class();
            self.write_empty(&mut run, class, high);
        } else {
            self.finish_class(&mut run, high);
        }
        self.runs.add(Run { first: run.first, count, high, leaves: run.leaves });
    }

    /// Makes the runs current. `train_model` trains a new model whatever the old one is like;
    /// `change` alters what else belongs to the new state, which is returned.
    pub(super) fn publish(
        mut self,
        train_model: bool,
        change: impl FnOnce(&mut State<S::Code>),
    ) -> Result<State<S::Code>> {
        let birth = self.state.epoch + 1;
        let mut next = self.state;
        next.epoch = birth;
        next.values = next.values.saturating_add_signed(self.values);
        next.nulls = next.nulls.saturating_add_signed(self.nulls);
        next.null_leaves = (i64::from(next.null_leaves) + self.null_leaves) as u32;
        for run in &self.runs {
            let word = |position: Fence<S::Code>, none: Word| match position.class {
                1 => position.code.word(),
                _ => none,
            };
            let low = run.leaves.first().map_or(0, |leaf| word(leaf.low, 0));
            next.stale = (next.stale.0.min(low), next.stale.1.max(word(run.high, Word::MAX)));
        }
        stop_at(StopPoint::RewriteBeforeDirectory);
        if !self.runs.is_empty() {
            let pages = self.replace_pages(birth)?;
            next.leaves = pages.iter().map(|page| page.leaves).sum();
            next.directory_root = self.write_upper_levels(&pages, birth);
            self.upper.pages = pages;
        }
        let value_leaves = next.leaves - next.null_leaves;
        let drift = value_leaves.abs_diff(next.model_leaves);
        if train_model || drift.saturating_mul(MODEL_DRIFT) > next.model_leaves {
            self.train(&mut next, value_leaves)?;
        }
        change(&mut next);
        // Not after the publish, where an error would leave the replaced blocks to vacuum.
        self.spare.make_room(self.replaced.len());
        if injected(Fault::FreeBeforePublish) {
            self.free_replaced();
        }
        stop_at(StopPoint::PublishBeforeTransition);
        let published = transition(self.store, |state| {
            // Others may have opened a delta tree meanwhile.
            next.active = state.active;
            Some(next)
        })?;
        stop_at(StopPoint::PublishedBeforeFree);
        self.free_replaced();
        Ok(published.unwrap_or(next))
    }

    /// No session reaches these under the new state; one that still reads such a page has it
    /// locked.
    fn free_replaced(&mut self) {
        for block in std::mem::take(&mut self.replaced) {
            if cut_off() {
                break;
            }
            self.store.free(block, |_| true);
            stop_at(StopPoint::FreedOne);
            self.spare.push(block);
        }
    }

    /// The new lowest level of the directory: pages without a replaced leaf stay.
    fn replace_pages(&mut self, birth: u64) -> Result<Vec<Child<S::Code>>> {
        let mut runs = std::mem::take(&mut self.runs).into_iter().peekable();
        let old = listed(self.upper.pages.iter().copied());
        let mut pages: Vec<Child<S::Code>> = with_room(old.len() + 1);
        let mut page = 0;
        while page < old.len() || runs.peek().is_some() {
            let first = self.firsts.get(page).copied().unwrap_or(0);
            let mut end = first + old.get(page).map_or(0, |page| page.leaves as usize);
            if page < old.len() && runs.peek().is_none_or(|run| run.first >= end) {
                pages.add(old[page]);
                page += 1;
                continue;
            }
            // What takes the place of the pages from `page` to `taken`, whose leaves end at `end`.
            let mut group: Vec<Child<S::Code>> = Vec::new();
            let mut at = first;
            let mut taken = page;
            // Runs that begin in the group, which grows by the pages that they end in.
            while let Some(run) = runs.next_if(|run| run.first < end || old.is_empty()) {
                while run.first + run.count > end {
                    taken += 1;
                    end += old.get(taken).map_or(run.count, |page| page.leaves as usize);
                }
                for ordinal in at..run.first {
                    group.add(self.child(ordinal)?);
                }
                group.add_all(run.leaves);
                at = run.first + run.count;
            }
            for ordinal in at..end {
                group.add(self.child(ordinal)?);
            }
            // A page that has become small goes together with the next one.
            let small = group.len() < small_page::<S::Code>();
            if small && taken + 1 < old.len() && runs.peek().is_none() {
                taken += 1;
                for ordinal in end..end + old[taken].leaves as usize {
                    group.add(self.child(ordinal)?);
                }
            }
            self.replaced.add_all(old.iter().take(taken + 1).skip(page).map(|page| page.block));
            pages.add_all(self.write_group(&group, 0, birth));
            page = taken + 1;
        }
        Ok(pages)
    }

    fn write_group(
        &mut self,
        children: &[Child<S::Code>],
        level: u16,
        birth: u64,
    ) -> Vec<Child<S::Code>> {
        let (store, spare) = (self.store, &mut *self.spare);
        write_level(children, level, birth, |page| write_page(store, spare, page))
    }

    fn write_upper_levels(&mut self, pages: &[Child<S::Code>], birth: u64) -> Block {
        let old = std::mem::take(&mut self.upper.blocks);
        self.replaced.add_all(old);
        let mut children = listed(pages.iter().copied());
        let mut level = 1;
        while children.len() > 1 {
            children = self.write_group(&children, level, birth);
            level += 1;
        }
        children.first().map_or(0, |root| root.block)
    }

    /// Trains a model over the fences of the new directory.
    fn train(&mut self, next: &mut State<S::Code>, value_leaves: u32) -> Result<()> {
        let begun = self.store.now();
        let fences = self.fences(next)?;
        let (known, old) = undisturbed(read_model_pages(&self.excluded(), &self.state))?;
        // Another kind only once there is much more or much less to learn.
        let trained = next.model_leaves;
        let same_size = value_leaves / 2 < trained && trained < value_leaves.saturating_mul(2);
        let same_kind = match self.options.model {
            ModelChoice::Auto => same_size,
            chosen => ModelChoice::from(known.kind()) == chosen,
        };
        let model = match same_kind {
            true => known.retrain(&fences, &(next.stale.0..=next.stale.1)),
            false => Model::train(self.options.model, &fences),
        };
        let (store, spare) = (self.store, &mut *self.spare);
        let (root, len) =
            write_model(&model.to_bytes(), next.epoch, |page| write_page(store, spare, page));
        self.replaced.add_all(old);
        next.model_root = root;
        next.model_len = len;
        next.model_kind = model.kind() as u8;
        next.model_birth = next.epoch;
        next.model_leaves = value_leaves;
        next.stale = NOTHING_STALE;
        next.history.training = Training::between(begun, store.now());
        Ok(())
    }

    /// The codes at which the leaves of values begin.
    fn fences(&mut self, next: &State<S::Code>) -> Result<Vec<Word>> {
        let excluded = self.excluded();
        let values = self.identity.value_leaves(next);
        let mut fences = with_room(values.len());
        let mut ordinal = 0;
        for &page in &self.upper.pages {
            for child in undisturbed(read_children(&excluded, self.state.word, page, 0))? {
                if values.contains(&ordinal) {
                    // The first leaf begins at minus infinity, which is far from its first entry.
                    let first = ordinal == values.start;
                    fences.push(if first {
                        self.first_code(child)?
                    } else {
                        child.low.code.word()
                    });
                }
                ordinal += 1;
            }
        }
        Ok(fences)
    }

    fn first_code(&self, child: Child<S::Code>) -> Result<Word> {
        let (excluded, at) = (self.excluded(), LeafRef::unknown(0, &child));
        let open = undisturbed(read_leaf(&excluded, excluded.word, at))?;
        Ok(open.view().first_code().unwrap_or(child.low.code).word())
    }
}

/// Writes a page to a block that is known to be free, or to another one.
fn write_page<S: Update>(store: &S, spare: &mut Vec<Block>, page: &PageBytes) -> Block {
    while let Some(block) = spare.pop() {
        if store.reuse(block, page) {
            return block;
        }
    }
    store.create(page)
}
