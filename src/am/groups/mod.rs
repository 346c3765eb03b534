//! Groups of rows whose keys begin alike, one after the other, in the order of the index.
//!
//! A group is found by its first entry. Then it is known where it ends: behind the last key that
//! begins like that, or, in groups of a function's values ([`Buckets`]), where the function has
//! another one. What is between is counted (`count`), and the next group is looked for from there
//! on. So a group takes as long as a few searches, however many rows it has. Where everybody sees
//! all rows of a leaf, the searches are in a copy of it (`seen`).

mod seen;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use learned_index::corruption::Result;
use learned_index::entry::{Entry, Fence};
use learned_index::key::{Interval, Intervals, Key, NullClass, Word};
use learned_index::page::meta::NO_COLUMN;
use learned_index::tree::count::{CodeFilter, Count, Counted};
use learned_index::tree::directory::Directory;
use learned_index::tree::scan::{Direction, Guard, Rows, Scan};
use pgrx::check_for_interrupts;
use pgrx::prelude::*;

use super::aggregate::{Aggregate, Aggregates};
use super::buckets::{Buckets, SAFE};
use super::count::{CountedHeap, count_once, rows_at_once};
use super::scan::quals::{Filter, QualCode};
use super::selected::Selected;
use super::serializable::lock_table_if_serializable;
use crate::column::code::{IndexCode, with_code};
use crate::column::columns::Columns;
use crate::column::key_type::KeyType;
use crate::column::{Column, KeyColumns};
use crate::counters::place_of;
use crate::relation::{OpenIndex, OpenTable};
use crate::storage::buffers::{IndexStore, Pin};
use crate::storage::session;
use seen::{Seen, Source};

/// What a group is asked for besides its first columns.
#[derive(Clone)]
pub(crate) enum Wanted {
    /// How many rows it has.
    Rows,
    /// How many of them a set of keys selects.
    Count(Vec<pg_sys::ScanKeyData>),
    /// The first value of a column, from 0, of the rows that a set of keys selects; or the last.
    Value(Vec<pg_sys::ScanKeyData>, usize, Direction),
    /// An aggregate over a column, from 0.
    Aggregate(usize, Aggregate),
}

/// A group. What Datums point to is in the memory context that was current.
pub(crate) struct Group {
    /// The values of the columns of its first entry, `None` for NULL.
    pub(crate) values: Vec<Option<pg_sys::Datum>>,
    /// The value of the function that tells the groups apart, if there is one.
    pub(crate) bucket: Option<pg_sys::Datum>,
    /// An answer for all that is wanted: `None` for NULL.
    pub(crate) answers: Vec<Option<pg_sys::Datum>>,
}

/// Groups of the rows of a table.
pub(crate) trait Groups {
    /// The next one; `None` behind the last. No group comes twice.
    ///
    /// # Safety
    /// The relations are open still, and the snapshot is valid.
    unsafe fn next(&mut self, buckets: Option<&mut Buckets<'_>>) -> Option<Group>;
    /// What was counted so far.
    fn counted(&self) -> Counted;
    /// Gives back what is held.
    fn end(self: Box<Self>);
}

/// What the rows of all groups meet, and how they are told apart.
pub(crate) struct Grouping {
    /// What all rows meet.
    pub(crate) keys: Vec<pg_sys::ScanKeyData>,
    /// How many columns of the index a group's rows have in common.
    pub(crate) columns: usize,
    /// Whether a function of the next column tells the groups apart that have these in common.
    pub(crate) by_function: bool,
    pub(crate) wanted: Vec<Wanted>,
}

/// Begins to look for groups.
///
/// # Safety
/// As [`super::count::counter_of`].
pub(crate) unsafe fn groups_of(
    index: OpenIndex,
    table: OpenTable,
    snapshot: pg_sys::Snapshot,
    grouping: &Grouping,
) -> Box<dyn Groups> {
    // SAFETY: by contract.
    unsafe {
        lock_table_if_serializable(index, table, snapshot);
        count_once(index, place_of(index));
        with_code!(index, C => Box::new(Grouper::<C>::new(index, table, snapshot, grouping)))
    }
}

/// A code of whose columns some can be changed.
pub(crate) trait GroupCode: QualCode {
    /// The least code with equal values in the first columns.
    fn first_alike(self, columns: &Self::Columns, count: usize) -> Self;
    /// The greatest code with equal values in the first columns.
    fn last_alike(self, columns: &Self::Columns, count: usize) -> Self;
    /// The least code with the same values before a column, from 0, and this one in it.
    ///
    /// # Safety
    /// The Datum is one of the column's type.
    unsafe fn with_value(
        self,
        columns: &Self::Columns,
        column: usize,
        value: pg_sys::Datum,
    ) -> Self;
}

impl GroupCode for Word {
    fn first_alike(self, column: &Column, count: usize) -> Word {
        if count == 0 { Word::MIN } else { column.equal(self).0 }
    }

    fn last_alike(self, column: &Column, count: usize) -> Word {
        if count == 0 { Word::MAX } else { column.equal(self).1 }
    }

    unsafe fn with_value(self, column: &Column, _: usize, value: pg_sys::Datum) -> Word {
        // SAFETY: by contract.
        unsafe { column.code(value) }
    }
}

impl<const L: usize> GroupCode for [Word; L] {
    fn first_alike(mut self, columns: &Columns<L>, count: usize) -> [Word; L] {
        let Some(last) = columns.parts()[..count].last() else { return [Word::MIN; L] };
        last.put(last.equal(last.take(&self)).0, &mut self);
        self[last.end()..].fill(Word::MIN);
        self
    }

    fn last_alike(mut self, columns: &Columns<L>, count: usize) -> [Word; L] {
        let Some(last) = columns.parts()[..count].last() else { return [Word::MAX; L] };
        last.put(last.equal(last.take(&self)).1, &mut self);
        self[last.end()..].fill(Word::MAX);
        self
    }

    unsafe fn with_value(
        mut self,
        columns: &Columns<L>,
        column: usize,
        value: pg_sys::Datum,
    ) -> [Word; L] {
        let part = columns.parts()[column];
        // SAFETY: by contract.
        part.put(unsafe { part.of_value(value) }, &mut self);
        self[part.end()..].fill(Word::MIN);
        self
    }
}

/// What is wanted of each group.
enum Task<C: QualCode> {
    Rows,
    Count(Selected<C>),
    Value(Selected<C>, usize, Direction, Box<Scan<Pin, C>>),
    /// The next one of the aggregates.
    Aggregate,
}

/// What was found of a group, or of a piece of one.
struct Piece<C> {
    /// The first key.
    first: Key<C>,
    bucket: Option<i64>,
    answers: Vec<Answer<C>>,
    /// Where its keys are.
    spans: Vec<Interval<C>>,
}

/// What was found of a group.
#[derive(Clone, Copy)]
enum Answer<C> {
    Rows(u64),
    /// The key that has the value of a column.
    Key(Option<Key<C>>, usize, Direction),
    /// The next one of the aggregates, once the group is complete: their order matters.
    Aggregate,
}

impl<C: Copy> Piece<C> {
    /// Adds a later piece of the same group.
    fn add(&mut self, later: &Piece<C>) {
        self.spans.extend_from_slice(&later.spans);
        for (own, later) in self.answers.iter_mut().zip(&later.answers) {
            match (own, *later) {
                (Answer::Rows(own), Answer::Rows(later)) => *own += later,
                (Answer::Key(own, _, way), Answer::Key(later, ..)) => {
                    *own = if *way == Direction::Forward { own.or(later) } else { later.or(*own) };
                }
                _ => {}
            }
        }
    }
}

/// See the file.
struct Grouper<C: GroupCode> {
    store: IndexStore<C>,
    directory: Option<Rc<RefCell<Directory<C>>>>,
    columns: C::Columns,
    heap: CountedHeap,
    /// All rows.
    selected: Selected<C>,
    scan: Scan<Pin, C>,
    count: Count<C>,
    seen: Seen<C>,
    counted: Counted,
    /// The part of the intervals that is counted: memory kept from group to group.
    part: Intervals<C>,
    /// How many columns the rows of a group have in common.
    alike: usize,
    /// The least and the greatest finite value of the column behind these, if it is one of numbers.
    finite: (i64, i64),
    /// Whether the function of that column may fail for some values.
    may_fail: bool,
    /// What the group before began with.
    prefix: Option<C>,
    tasks: Vec<Task<C>>,
    /// If there are any among the tasks.
    aggregates: Option<Aggregates<C>>,
    /// Where the next group begins; `None` behind the last.
    reached: Option<Fence<C>>,
    /// Groups of which pieces may follow, ascending.
    pending: VecDeque<Piece<C>>,
    /// How many of them are complete, from the first on.
    complete: usize,
}

impl<C: GroupCode> Grouper<C> {
    /// # Safety
    /// As [`groups_of`].
    unsafe fn new(
        index: OpenIndex,
        table: OpenTable,
        snapshot: pg_sys::Snapshot,
        grouping: &Grouping,
    ) -> Grouper<C> {
        // SAFETY: by contract.
        unsafe {
            let columns = <C as IndexCode>::Columns::of_index(index);
            let column = columns.columns().get(grouping.columns).copied().unwrap_or(NO_COLUMN);
            let key_type = KeyType::of_number(column.key_type).filter(|_| grouping.by_function);
            let store: IndexStore<C> = IndexStore::new(index);
            store.read_under(snapshot);
            let selected = Selected::by(index, &grouping.keys, &columns);
            let task = |wanted: &Wanted| match wanted {
                Wanted::Rows => Task::Rows,
                Wanted::Count(keys) => Task::Count(Selected::by(index, keys, &columns)),
                Wanted::Value(keys, column, direction) => {
                    let selected = Selected::by(index, keys, &columns);
                    let scan = Box::new(scan_of(&store, &selected));
                    Task::Value(selected, *column, *direction, scan)
                }
                Wanted::Aggregate(..) => Task::Aggregate,
            };
            let aggregate = |wanted: &Wanted| match wanted {
                Wanted::Aggregate(column, aggregate) => Some((*column, *aggregate)),
                _ => None,
            };
            let aggregates: Vec<_> = grouping.wanted.iter().filter_map(aggregate).collect();
            let all_rows = || Selected::by(index, &grouping.keys, &columns);
            let aggregates = (!aggregates.is_empty())
                .then(|| Aggregates::new(&columns, &aggregates, all_rows(), &store));
            let tasks = grouping.wanted.iter().map(task).collect();
            Grouper {
                directory: None,
                heap: CountedHeap::new(table, snapshot),
                scan: scan_of(&store, &selected),
                selected,
                count: Count::looking_up(rows_at_once()),
                seen: Seen::nothing(),
                counted: Counted::default(),
                part: Intervals::new(),
                alike: grouping.columns,
                finite: finite_of(key_type),
                may_fail: matches!(key_type, Some(KeyType::Timestamp | KeyType::TimestampTz)),
                prefix: None,
                tasks,
                aggregates,
                reached: Some(Fence::MIN),
                pending: VecDeque::new(),
                complete: 0,
                store,
                columns,
            }
        }
    }

    /// The first key at or after a position that the conditions select, or, backward, the last
    /// before it. The snapshot need not see its row, unless the function that tells groups apart
    /// could fail for its value.
    fn key_from(
        &mut self,
        directory: &mut Directory<C>,
        position: Fence<C>,
        direction: Direction,
    ) -> Result<Option<Key<C>>> {
        if direction == Direction::Forward && !self.selected.filter.asks() {
            let Grouper { store, count, heap, .. } = self;
            let source = Source { store, directory, count, heap };
            let intervals = self.selected.intervals.as_slice();
            if let Some(found) = self.seen.key_from(source, intervals, position)? {
                return Ok(found);
            }
        }
        self.scan.seek(&self.store, direction, position);
        loop {
            let Grouper { store, scan, selected, .. } = self;
            let found = next_passing(scan, &selected.filter, store, directory, direction)?;
            let Some(entry) = found else { return Ok(None) };
            if self.is_safe(entry.key) || self.heap.sees(entry.tid) {
                return Ok(Some(entry.key));
            }
            check_for_interrupts!();
        }
    }

    /// Whether the function that tells groups apart, if there is one, can be asked for a key.
    fn is_safe(&self, key: Key<C>) -> bool {
        !self.may_fail
            || self
                .argument_of(key)
                .is_none_or(|argument| SAFE.contains(&argument) || self.is_infinite(argument))
    }

    /// The next group, or piece of one, that may have rows: its first key, its last key, and the
    /// function's value.
    fn find(
        &mut self,
        directory: &mut Directory<C>,
        buckets: Option<&mut Buckets<'_>>,
    ) -> Result<Option<(Interval<C>, Option<i64>)>> {
        let Some(reached) = self.reached else { return Ok(None) };
        let found = self.key_from(directory, reached, Direction::Forward)?;
        let Some(key) = found else {
            self.reached = None;
            return Ok(None);
        };
        let alike = |columns| match key.class {
            NullClass::Value => Key::value(key.code.last_alike(&self.columns, columns)),
            _ => key,
        };
        let (last, bucket) = match buckets {
            None => (alike(self.alike), None),
            Some(buckets) => match self.argument_of(key) {
                None => (alike(self.alike + 1), None),
                Some(infinite) if self.is_infinite(infinite) => {
                    (alike(self.alike + 1), Some(buckets.value(infinite)))
                }
                Some(argument) => {
                    let (last, bucket) = self.bucket_of(directory, key, argument, buckets)?;
                    (last, Some(bucket))
                }
            },
        };
        self.reached = Some(Fence::after(last));
        Ok(Some((Interval { low: key, high: last }, bucket)))
    }

    /// The argument of the function that tells groups apart; `None` for NULL.
    fn argument_of(&self, key: Key<C>) -> Option<i64> {
        match key.class {
            NullClass::Value => self.columns.numbers(self.alike).of(key.code.words()),
            _ => None,
        }
    }

    fn is_infinite(&self, argument: i64) -> bool {
        let (least, greatest) = self.finite;
        !(least..=greatest).contains(&argument)
    }

    /// Of the group of a function's values that an argument is in: its last key, and the value.
    fn bucket_of(
        &mut self,
        directory: &mut Directory<C>,
        key: Key<C>,
        argument: i64,
        buckets: &mut Buckets<'_>,
    ) -> Result<(Key<C>, i64)> {
        let (column, columns, code) = (self.alike, self.columns, key.code);
        // SAFETY: the value is one of the column's type.
        let at =
            |value: i64| unsafe { code.with_value(&columns, column, pg_sys::Datum::from(value)) };
        let behind = |value: i64| Key::value(at(value).last_alike(&columns, column + 1));
        let greatest = behind(self.finite.1);
        if self.is_first_of_prefix(key) {
            buckets.begin();
        }
        let mut look = |from: Option<i64>| {
            let key = match from {
                Some(from) if self.is_infinite(from) => return Ok(None),
                Some(from) => {
                    let position = Fence::before(Key::value(at(from)));
                    self.key_from(directory, position, Direction::Forward)?
                }
                None => {
                    let position = Fence::after(greatest);
                    self.key_from(directory, position, Direction::Backward)?
                }
            };
            let same = key.filter(|key| *key <= greatest);
            Ok(same.and_then(|key| self.argument_of(key)))
        };
        let (bucket, end) = buckets.group_of(argument, &mut look)?;
        let last = match end {
            Some(end) => at(end).previous().map_or(key, Key::value),
            None => greatest,
        };
        self.prefix = Some(code.last_alike(&columns, column));
        Ok((last, bucket))
    }

    /// Whether a key begins otherwise than the one before.
    fn is_first_of_prefix(&self, key: Key<C>) -> bool {
        self.prefix != Some(key.code.last_alike(&self.columns, self.alike))
    }

    /// What is wanted of the keys from one to another. `None` if the snapshot sees no row there.
    fn answers(
        &mut self,
        directory: &mut Directory<C>,
        group: Interval<C>,
    ) -> Result<Option<Vec<Answer<C>>>> {
        let rows = self.count_in(directory, group, None)?;
        if rows == 0 {
            return Ok(None);
        }
        let mut tasks = std::mem::take(&mut self.tasks);
        let mut answers = Vec::with_capacity(tasks.len());
        for task in &mut tasks {
            answers.push(match task {
                Task::Rows => Answer::Rows(rows),
                Task::Count(selected) => {
                    Answer::Rows(self.count_in(directory, group, Some(selected))?)
                }
                Task::Value(selected, column, way, scan) => {
                    let key = self.first_seen(directory, group, selected, scan, *way)?;
                    Answer::Key(key, *column, *way)
                }
                Task::Aggregate => Answer::Aggregate,
            });
        }
        self.tasks = tasks;
        Ok(Some(answers))
    }

    /// The next piece of a group in which the snapshot sees rows.
    fn piece(
        &mut self,
        directory: &mut Directory<C>,
        mut buckets: Option<&mut Buckets<'_>>,
    ) -> Result<Option<Piece<C>>> {
        loop {
            check_for_interrupts!();
            let found = self.find(directory, buckets.as_deref_mut())?;
            let Some((group, bucket)) = found else { return Ok(None) };
            if let Some(answers) = self.answers(directory, group)? {
                return Ok(Some(Piece { first: group.low, bucket, answers, spans: vec![group] }));
            }
        }
    }

    /// The next group: complete, when no piece of it can follow.
    fn group(
        &mut self,
        directory: &mut Directory<C>,
        mut buckets: Option<&mut Buckets<'_>>,
    ) -> Result<Option<Piece<C>>> {
        while self.complete == 0 {
            let Some(piece) = self.piece(directory, buckets.as_deref_mut())? else {
                self.complete = self.pending.len();
                break;
            };
            match buckets.as_deref_mut() {
                Some(buckets) if buckets.come_in_pieces() => self.put_in_place(piece, buckets),
                _ => return Ok(Some(piece)),
            }
        }
        self.complete = self.complete.saturating_sub(1);
        Ok(self.pending.pop_front())
    }

    /// Puts a piece among the groups that wait for others, and sees which of these wait no more.
    fn put_in_place(&mut self, piece: Piece<C>, buckets: &mut Buckets<'_>) {
        let alike = |piece: &Piece<C>| {
            let Key { class, code } = piece.first;
            (class, code.last_alike(&self.columns, self.alike))
        };
        let argument = self.argument_of(piece.first).filter(|value| !self.is_infinite(*value));
        let is_settled = argument.is_none_or(|argument| buckets.are_settled_at(argument));
        let (own, bucket) = (alike(&piece), piece.bucket);
        // NULLs are a group of their own, before all others or behind them.
        let is_before = |other: &Piece<C>| match (other.bucket, bucket) {
            (Some(other), Some(bucket)) => other < bucket,
            _ => true,
        };
        let is_complete = |other: &&Piece<C>| {
            let by_null = other.bucket.is_none() || bucket.is_none();
            alike(other) != own || by_null || (is_settled && is_before(other))
        };
        self.complete = self.pending.iter().take_while(is_complete).count();
        let place = self.pending.partition_point(|other| alike(other) != own || is_before(other));
        match self.pending.get_mut(place).filter(|other| other.bucket == bucket) {
            Some(same) => same.add(&piece),
            None => self.pending.insert(place, piece),
        }
    }

    /// How many rows the snapshot sees of some keys; of all, or of those that are selected.
    fn count_in(
        &mut self,
        directory: &mut Directory<C>,
        group: Interval<C>,
        selected: Option<&Selected<C>>,
    ) -> Result<u64> {
        let selected = selected.unwrap_or(&self.selected);
        self.part.set_intersection(&group, &selected.intervals);
        let passes = |code: &C| selected.filter.passes(code);
        let next = |code: C| selected.filter.next_to(code, Direction::Forward);
        let filter = CodeFilter { passes: &passes, next: &next };
        let filter = selected.filter.asks().then_some(filter);
        let (part, heap) = (self.part.as_slice(), &mut self.heap);
        let mut seen = 0;
        self.count.restart();
        if filter.is_none() {
            let (store, count) = (&self.store, &mut self.count);
            let source = Source { store, directory, count, heap };
            let (rows, rest) = self.seen.count(source, part)?;
            let Some(position) = rest else { return Ok(rows) };
            self.count.restart_from(position);
            seen = rows;
        }
        while self.count.step(&self.store, directory, part, filter, heap)? {
            check_for_interrupts!();
        }
        let counted = self.count.counted();
        self.counted.leaves += counted.leaves;
        self.counted.decoded += counted.decoded;
        self.counted.looked_up += counted.looked_up;
        Ok(seen + counted.rows)
    }

    /// The results of the aggregates over a group.
    fn aggregate(
        &mut self,
        directory: &mut Directory<C>,
        group: &Piece<C>,
    ) -> Result<Vec<Option<pg_sys::Datum>>> {
        let Some(aggregates) = &mut self.aggregates else { return Ok(Vec::new()) };
        let (decoded, looked_up) = (aggregates.decoded, self.heap.looked_up);
        let table = (&mut self.heap, &mut self.count);
        let results = aggregates.over(&self.store, directory, &group.spans, table)?;
        self.counted.decoded += aggregates.decoded - decoded;
        self.counted.looked_up += self.heap.looked_up - looked_up;
        Ok(results)
    }

    /// The first key, or the last, of those of a group, with a row that the snapshot sees.
    fn first_seen(
        &mut self,
        directory: &mut Directory<C>,
        group: Interval<C>,
        selected: &Selected<C>,
        scan: &mut Scan<Pin, C>,
        direction: Direction,
    ) -> Result<Option<Key<C>>> {
        if !selected.filter.asks() {
            self.part.set_intersection(&group, &selected.intervals);
            if let Some(found) = self.seen.first(&self.part, direction)? {
                return Ok(found);
            }
        }
        let position = match direction {
            Direction::Forward => Fence::before(group.low),
            Direction::Backward => Fence::after(group.high),
        };
        scan.seek(&self.store, direction, position);
        while let Some(entry) =
            next_passing(scan, &selected.filter, &self.store, directory, direction)?
        {
            if !group.contains(entry.key) {
                break;
            }
            self.counted.looked_up += 1;
            if self.heap.sees(entry.tid) {
                return Ok(Some(entry.key));
            }
        }
        Ok(None)
    }
}

/// The least and the greatest value of a type of numbers, infinities apart.
fn finite_of(key_type: Option<KeyType>) -> (i64, i64) {
    match key_type {
        Some(KeyType::Int2) => (i16::MIN.into(), i16::MAX.into()),
        Some(KeyType::Int4) => (i32::MIN.into(), i32::MAX.into()),
        Some(KeyType::Date) => (i64::from(i32::MIN) + 1, i64::from(i32::MAX) - 1),
        Some(KeyType::Timestamp | KeyType::TimestampTz) => (i64::MIN + 1, i64::MAX - 1),
        _ => (i64::MIN, i64::MAX),
    }
}

/// A scan of what is selected, of whose entries the table is asked.
fn scan_of<C: QualCode>(store: &IndexStore<C>, selected: &Selected<C>) -> Scan<Pin, C> {
    let mut scan = Scan::new();
    scan.restart(store, Guard::Nothing);
    scan.intervals_mut().set_union(selected.intervals.as_slice().iter().copied());
    scan
}

/// The next entry that passes a filter.
fn next_passing<C: QualCode>(
    scan: &mut Scan<Pin, C>,
    filter: &C::Filter,
    store: &IndexStore<C>,
    directory: &mut Directory<C>,
    direction: Direction,
) -> Result<Option<Entry<C>>> {
    loop {
        let Some(entry) = scan.next(store, directory, direction)? else { return Ok(None) };
        if !filter.asks() || filter.passes(&entry.key.code) {
            return Ok(Some(entry));
        }
        let Some(next) = filter.next_to(entry.key.code, direction) else { return Ok(None) };
        let position = match direction {
            Direction::Forward => Fence::before(Key::value(next)),
            Direction::Backward => Fence::after(Key::value(next)),
        };
        scan.seek(store, direction, position);
        check_for_interrupts!();
    }
}

impl<C: GroupCode> Groups for Grouper<C> {
    unsafe fn next(&mut self, buckets: Option<&mut Buckets<'_>>) -> Option<Group> {
        let found = session::directory_once(&mut self.directory, &self.store).and_then(|found| {
            let directory = &mut found.borrow_mut();
            let Some(group) = self.group(directory, buckets)? else { return Ok(None) };
            let results = self.aggregate(directory, &group)?;
            Ok(Some((group, results)))
        });
        self.store.rest();
        let found =
            found.unwrap_or_else(|corruption| self.store.index().raise_corruption(corruption));
        let (Piece { first, bucket, answers, .. }, results) = found?;
        let mut results = results.into_iter();
        let datum = |answer| match answer {
            Answer::Rows(rows) => Some(pg_sys::Datum::from(rows as i64)),
            Answer::Key(key, column, _) => key.and_then(|key| self.columns.values(key)[column]),
            Answer::Aggregate => results.next().flatten(),
        };
        Some(Group {
            values: self.columns.values(first),
            bucket: bucket.map(pg_sys::Datum::from),
            answers: answers.into_iter().map(datum).collect(),
        })
    }

    fn counted(&self) -> Counted {
        Counted { leaves: self.counted.leaves + self.seen.reads(), ..self.counted }
    }

    fn end(mut self: Box<Self>) {
        self.scan.release(&self.store);
        if let Some(aggregates) = &mut self.aggregates {
            aggregates.end(&self.store);
        }
        for task in &mut self.tasks {
            if let Task::Value(_, _, _, scan) = task {
                scan.release(&self.store);
            }
        }
        self.heap.finish();
        self.store.release();
    }
}
