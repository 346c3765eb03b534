//! A model of a table: which rows there were, and when.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Mutex;

use crate::entry::{Entry, HeapTid};
use crate::fault::{Fault, injected};
use crate::key::{Code, Key};
use crate::tree::count::{BLOCKS_OF_PAGE, MapBytes};

/// A point in time: one for each thing that happened to the table.
pub(super) type Time = u64;

const NEVER: Time = Time::MAX;

/// What became of a row so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Its transaction runs.
    Running,
    Alive,
    Dead,
}

#[derive(Clone, Copy, Debug)]
struct Row<C> {
    entry: Entry<C>,
    committed: Time,
    /// Deleted, or its transaction failed.
    dead: Time,
    /// Vacuum was through, and gave the TID away.
    recycled: Time,
    /// Whether its insert had come to its end in the index.
    indexed: bool,
    /// Whether an insert took its entry out again.
    removed: bool,
}

impl<C> Row<C> {
    fn status(&self) -> Status {
        match (self.dead, self.committed) {
            (NEVER, NEVER) => Status::Running,
            (NEVER, _) => Status::Alive,
            _ => Status::Dead,
        }
    }
}

/// The table. Nothing in it is a point where another thread may go on.
pub(super) struct Heap<C> {
    state: Mutex<State<C>>,
}

#[derive(Clone)]
struct State<C> {
    now: Time,
    rows: Vec<Row<C>>,
    /// The row that has each TID, or had it last.
    latest: BTreeMap<HeapTid, usize>,
    free: Vec<HeapTid>,
    tids: u64,
    snapshots: Vec<Time>,
    /// Blocks of which the visibility map says that all rows are visible to everybody.
    all_visible: HashSet<u32>,
}

impl<C> State<C> {
    /// Rows that died up to here are seen by nobody.
    fn horizon(&self) -> Time {
        self.snapshots.iter().copied().min().unwrap_or(NEVER - 1)
    }
}

impl<C: Clone> Clone for Heap<C> {
    fn clone(&self) -> Heap<C> {
        Heap { state: Mutex::new(self.state.lock().unwrap().clone()) }
    }
}

impl<C> Default for Heap<C> {
    fn default() -> Heap<C> {
        let state = State {
            now: 0,
            rows: Vec::new(),
            latest: BTreeMap::new(),
            free: Vec::new(),
            tids: 0,
            snapshots: Vec::new(),
            all_visible: HashSet::new(),
        };
        Heap { state: Mutex::new(state) }
    }
}

impl<C: Code> Heap<C> {
    /// A new row, which no other session sees yet. TIDs that were recycled are given out first.
    pub(super) fn begin(&self, key: Key<C>) -> Entry<C> {
        let mut state = self.state.lock().unwrap();
        state.now += 1;
        let tid = match state.free.pop() {
            Some(tid) => tid,
            None => {
                state.tids += 1;
                // Far apart, so that they take space in leaves.
                let block = (state.tids.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u32;
                HeapTid::new(block, (state.tids % 50) as u16 + 1)
            }
        };
        let entry = Entry { key, tid };
        let (committed, dead, recycled) = (NEVER, NEVER, NEVER);
        state.rows.push(Row { entry, committed, dead, recycled, indexed: false, removed: false });
        let row = state.rows.len() - 1;
        state.latest.insert(tid, row);
        state.all_visible.remove(&tid.block());
        entry
    }

    fn at(&self, tid: HeapTid, change: impl FnOnce(&mut Row<C>, Time)) {
        let mut state = self.state.lock().unwrap();
        state.now += 1;
        let (now, row) = (state.now, state.latest[&tid]);
        change(&mut state.rows[row], now);
    }

    /// The entry is in the index.
    pub(super) fn indexed(&self, tid: HeapTid) {
        self.at(tid, |row, _| row.indexed = true);
    }

    pub(super) fn commit(&self, tid: HeapTid) {
        self.at(tid, |row, now| row.committed = now);
    }

    /// The row's transaction failed, or it is deleted.
    pub(super) fn kill(&self, tid: HeapTid) {
        self.at(tid, |row, now| row.dead = now);
        self.state.lock().unwrap().all_visible.remove(&tid.block());
    }

    /// A row that never came into the index goes.
    pub(super) fn forget(&self, tid: HeapTid) {
        self.at(tid, |row, now| (row.dead, row.recycled) = (now, now));
        self.state.lock().unwrap().free.push(tid);
    }

    pub(super) fn status(&self, tid: HeapTid) -> Status {
        let state = self.state.lock().unwrap();
        state.rows[state.latest[&tid]].status()
    }

    /// A row with a TID as the index tells them: the TID was not given away since.
    pub(super) fn has(&self, entry: Entry<C>) -> bool {
        self.has_key(entry.tid, |key| key == entry.key)
    }

    /// A row with a TID that has one of some keys.
    pub(super) fn has_key(&self, tid: HeapTid, is: impl Fn(Key<C>) -> bool) -> bool {
        let state = self.state.lock().unwrap();
        let row = state.latest.get(&tid).map(|&row| state.rows[row]);
        row.is_some_and(|row| is(row.entry.key) && row.recycled == NEVER)
    }

    /// Rows alive with one of some keys.
    pub(super) fn alive_with(&self, is: impl Fn(Key<C>) -> bool) -> usize {
        let state = self.state.lock().unwrap();
        let alive = |row: &&Row<C>| is(row.entry.key) && row.status() == Status::Alive;
        state.rows.iter().filter(alive).count()
    }

    pub(super) fn now(&self) -> Time {
        self.state.lock().unwrap().now
    }

    /// Rows that died after this are not vacuumed until the snapshot is released.
    pub(super) fn take_snapshot(&self) -> Time {
        let mut state = self.state.lock().unwrap();
        let now = state.now;
        state.snapshots.push(now);
        now
    }

    pub(super) fn release_snapshot(&self, snapshot: Time) {
        let mut state = self.state.lock().unwrap();
        let at = state.snapshots.iter().position(|&other| other == snapshot);
        state.snapshots.swap_remove(at.unwrap());
    }

    /// The entries of rows that were alive from one time to another.
    pub(super) fn alive_between(&self, start: Time, end: Time) -> BTreeSet<Entry<C>> {
        let state = self.state.lock().unwrap();
        let alive = state.rows.iter().filter(|row| row.committed <= start && row.dead > end);
        alive.map(|row| row.entry).collect()
    }

    /// Whether an entry may have been in the index at some time since `start`.
    pub(super) fn had(&self, entry: Entry<C>, start: Time) -> bool {
        let state = self.state.lock().unwrap();
        state.rows.iter().any(|row| row.entry == entry && row.recycled > start)
    }

    /// TIDs of rows that are alive.
    pub(super) fn alive(&self) -> Vec<HeapTid> {
        let state = self.state.lock().unwrap();
        let alive = state.rows.iter().filter(|row| row.status() == Status::Alive);
        alive.map(|row| row.entry.tid).collect()
    }

    /// TIDs of dead rows that no snapshot sees and whose entries are in the index.
    pub(super) fn dead(&self) -> HashSet<HeapTid> {
        let state = self.state.lock().unwrap();
        let horizon = state.horizon();
        let dead = |row: &&Row<C>| row.dead <= horizon && row.recycled == NEVER && row.indexed;
        state.rows.iter().filter(dead).map(|row| row.entry.tid).collect()
    }

    /// Whether a row is dead, and no snapshot sees it; or, as a fault, whether it is dead.
    pub(super) fn is_removable(&self, tid: HeapTid) -> bool {
        let state = self.state.lock().unwrap();
        let horizon = match injected(Fault::RemoveWhatSnapshotsSee) {
            true => NEVER - 1,
            false => state.horizon(),
        };
        state.rows[state.latest[&tid]].dead <= horizon
    }

    /// Whether no row has a TID: the core calls an index damaged that has an entry with it.
    pub(super) fn is_free(&self, tid: HeapTid) -> bool {
        let state = self.state.lock().unwrap();
        state.rows[state.latest[&tid]].recycled != NEVER
    }

    /// The entry of a row is taken out by an insert.
    pub(super) fn removed(&self, tid: HeapTid) {
        self.at(tid, |row, _| row.removed = true);
    }

    /// Whether an insert took the entry of a row out.
    pub(super) fn was_removed(&self, tid: HeapTid) -> bool {
        let state = self.state.lock().unwrap();
        state.rows[state.latest[&tid]].removed
    }

    /// After vacuum: other rows may have these TIDs.
    pub(super) fn recycle(&self, tids: &HashSet<HeapTid>) {
        for &tid in tids {
            self.at(tid, |row, now| row.recycled = now);
        }
        let mut state = self.state.lock().unwrap();
        let mut tids: Vec<HeapTid> = tids.iter().copied().collect();
        tids.sort_unstable();
        state.free.extend(tids);
    }

    /// What vacuum does at last: blocks that have nothing but rows that all snapshots see, and free
    /// TIDs, are marked in the visibility map.
    pub(super) fn mark_visible(&self) {
        let mut state = self.state.lock().unwrap();
        let horizon = state.snapshots.iter().copied().min().unwrap_or(state.now);
        let hidden = |row: &Row<C>| {
            row.recycled == NEVER && !(row.committed <= horizon && row.dead == NEVER)
        };
        let State { rows, latest, .. } = &*state;
        let mut visible: HashSet<u32> = latest.keys().map(|tid| tid.block()).collect();
        for (tid, _) in latest.iter().filter(|&(_, &row)| hidden(&rows[row])) {
            visible.remove(&tid.block());
        }
        state.all_visible = visible;
    }

    pub(super) fn is_all_visible(&self, block: u32) -> bool {
        self.state.lock().unwrap().all_visible.contains(&block)
    }

    /// How many blocks the table has.
    pub(super) fn blocks(&self) -> u32 {
        let last = self.state.lock().unwrap().latest.keys().last().copied();
        last.map_or(0, |tid| tid.block() + 1)
    }

    /// A page of the visibility map, as it is stored. Blocks that have no rows are all-visible.
    pub(super) fn read_map(&self, page: u32, bytes: &mut MapBytes) {
        let state = self.state.lock().unwrap();
        bytes.fill(0xFF);
        let start = page * BLOCKS_OF_PAGE;
        let tids = HeapTid::new(start, 0)..HeapTid::new(start + BLOCKS_OF_PAGE, 0);
        for block in state.latest.range(tids).map(|(tid, _)| tid.block()) {
            if !state.all_visible.contains(&block) {
                let place = block - start;
                bytes[(place / 4) as usize] &= !(1 << (2 * (place % 4)));
            }
        }
    }

    /// Whether a snapshot sees the row that has a TID now.
    pub(super) fn sees(&self, snapshot: Time, tid: HeapTid) -> bool {
        let state = self.state.lock().unwrap();
        state.latest.get(&tid).is_some_and(|&row| {
            let row = &state.rows[row];
            row.recycled == NEVER && row.committed <= snapshot && row.dead > snapshot
        })
    }

    /// What the index must have when nothing runs.
    pub(super) fn indexed_entries(&self) -> BTreeSet<Entry<C>> {
        let state = self.state.lock().unwrap();
        let has_entry = |row: &&Row<C>| row.indexed && row.recycled == NEVER && !row.removed;
        let indexed = state.rows.iter().filter(has_entry);
        indexed.map(|row| row.entry).collect()
    }
}
