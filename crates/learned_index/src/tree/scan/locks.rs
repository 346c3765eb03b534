//! What a scan of a serializable transaction does beside reading: it locks what it reads.
//!
//! How far a portion reaches is known when it is copied. So a portion is copied, the keys from its
//! beginning to its end are locked, and unless all of them had been locked before, it is copied
//! again. A portion that is returned was read after everything between its two ends was locked,
//! whether there are entries or not.

use super::{Direction, Guard, Scan, Stand, Unasked};
use crate::corruption::Result;
use crate::entry::Fence;
use crate::fault::{Fault, injected};
use crate::key::{Code, Interval, Key, NullClass};
use crate::predicate::{Held, Lock};
use crate::store::Store;
use crate::tree::directory::Directory;

/// Rows of a page of a B-tree on one column of eight bytes.
const ROWS_OF_PAGE: u128 = 366;
/// Entries that say well enough how dense keys are.
const ENOUGH_ENTRIES: usize = 32;

/// Takes predicate locks on an index for a transaction.
pub trait PredicateLocks {
    /// Whether it takes any.
    const LOCKS: bool;
    /// What the transaction has locked so far.
    fn held(&mut self) -> &mut Held;
    /// Takes a lock.
    fn lock(&mut self, lock: Lock);
}

/// For scans that lock nothing.
#[derive(Default)]
pub struct NoLocks(Held);

impl PredicateLocks for NoLocks {
    const LOCKS: bool = false;

    fn held(&mut self) -> &mut Held {
        &mut self.0
    }

    fn lock(&mut self, _lock: Lock) {}
}

impl<C: Code, P> Scan<P, C> {
    /// Locks the only key that is asked for before it is read, which saves reading it twice; and
    /// all keys that are asked for, if they have the same word.
    pub(super) fn lock_single_key(&self, locks: &mut impl PredicateLocks) {
        if let &[Interval { low, high }] = self.intervals.as_slice()
            && low.word() == high.word()
            && !locks.held().needs_density(low.word(), high.word())
            && !injected(Fault::LockAfterReading)
        {
            lock_rest(locks, low, high, || Ok(None)).unwrap_or_default();
        }
    }

    /// Locks what was read for the portion just copied. Whether anything of that was not locked
    /// before.
    pub(super) fn lock_read<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        direction: Direction,
        found: bool,
        locks: &mut impl PredicateLocks,
    ) -> Result<bool> {
        let to_end = !found || self.exhausted == Some(direction);
        let (from, to) = match (direction, self.stand) {
            // Nothing was read.
            (Direction::Forward, Stand::End) | (Direction::Backward, Stand::Start) => {
                return Ok(false);
            }
            (Direction::Forward, stand) => {
                let from =
                    if let Stand::At(entry) = stand { Fence::past(entry) } else { Fence::MIN };
                (from, if to_end { Fence::MAX } else { self.reached })
            }
            (Direction::Backward, stand) => {
                let to = if let Stand::At(entry) = stand { Fence::at(entry) } else { Fence::MAX };
                (if to_end { Fence::MIN } else { self.reached }, to)
            }
        };
        let nulls = directory.identity().null_class();
        // Of the other class of NULLs there are no keys.
        let classes = match nulls {
            NullClass::NullsFirst => [nulls, NullClass::Value],
            _ => [NullClass::Value, nulls],
        };
        let mut new = false;
        let first = self.intervals.as_slice().partition_point(|i| Fence::after(i.high) <= from);
        for interval in self.intervals.as_slice().get(first..).unwrap_or(&[]) {
            if locks.held().everything() || Fence::before(interval.low) >= to {
                break;
            }
            for class in classes {
                let Some((low, high)) = keys_between(interval, class, from, to) else { continue };
                let Some((low, high)) = self.without_gaps(low, high) else { continue };
                let page = || self.codes_of_page(store, directory, low, high);
                new |= lock_rest(locks, low, high, page)?;
            }
        }
        Ok(new && !injected(Fault::LockAfterReading))
    }

    /// The difference between the codes with which a page of a B-tree would begin and end about
    /// there.
    fn codes_of_page<S: Store<Pin = P, Code = C>>(
        &self,
        store: &S,
        directory: &mut Directory<C>,
        low: Key<C>,
        high: Key<C>,
    ) -> Result<Option<u64>> {
        // Of a list the portion has only some of the entries that are there.
        if self.intervals.as_slice().len() == 1 && self.copied.len() >= ENOUGH_ENTRIES {
            return Ok(page_of(self.copied.codes()));
        }
        let mut scan: Scan<P, C> = Scan::new();
        let sides = [
            (Direction::Forward, Key::value(low.code), Key::value(C::MAX)),
            (Direction::Backward, Key::value(C::MIN), Key::value(high.code)),
        ];
        let (mut page, mut most) = (None, 0);
        for (direction, low, high) in sides {
            scan.restart(store, Guard::Nothing);
            scan.intervals_mut().set(low, high);
            scan.next_portion(store, directory, direction, &mut NoLocks::default(), &mut Unasked)?;
            if scan.copied.len() > most {
                (page, most) = (page_of(scan.copied.codes()), scan.copied.len());
            }
            if most >= ENOUGH_ENTRIES {
                break;
            }
        }
        Ok(page)
    }

    /// What a scan locks that takes only entries for read.
    fn without_gaps(&self, low: Key<C>, high: Key<C>) -> Option<(Key<C>, Key<C>)> {
        if !injected(Fault::LockOnlyWhatWasFound) {
            return Some((low, high));
        }
        let low = Key { code: low.code.max(*self.copied.codes().first()?), ..low };
        let high = Key { code: high.code.min(*self.copied.codes().last()?), ..high };
        (low <= high).then_some((low, high))
    }
}

/// Locks what is not locked yet of a range. Whether there was anything.
fn lock_rest<C: Code>(
    locks: &mut impl PredicateLocks,
    low: Key<C>,
    high: Key<C>,
    page: impl FnOnce() -> Result<Option<u64>>,
) -> Result<bool> {
    let Some((low, high)) = locks.held().rest(low.word(), high.word()) else { return Ok(false) };
    let page = if locks.held().needs_density(low, high) { page()? } else { None };
    for lock in locks.held().choose(low, high, page) {
        locks.lock(lock);
        // Only what is locked is remembered: locking may raise an error.
        locks.held().remember(lock);
    }
    Ok(true)
}

/// The first and the last key of a null class that an interval has between two positions.
fn keys_between<C: Code>(
    interval: &Interval<C>,
    class: NullClass,
    from: Fence<C>,
    to: Fence<C>,
) -> Option<(Key<C>, Key<C>)> {
    let (first, last) = match class {
        NullClass::Value => (Key::value(C::MIN), Key::value(C::MAX)),
        nulls => (Key::null(nulls), Key::null(nulls)),
    };
    let mut keys = interval.intersection(&Interval { low: first, high: last })?;
    if from > Fence::before(keys.low) {
        // Entries with the key of a position may be on both sides of it.
        keys.low =
            if from.class == class as u8 { Key { class, code: from.code } } else { return None };
    }
    if to < Fence::after(keys.high) {
        if to.class != class as u8 {
            return None;
        }
        keys.high = Key { class, code: to.last_code_before()? };
    }
    (keys.low <= keys.high).then_some((keys.low, keys.high))
}

/// What a page of a B-tree would have, of the distance between the codes of some entries in index
/// order.
fn page_of<C: Code>(codes: &[C]) -> Option<u64> {
    let (first, last) = (codes.first()?, codes.last()?);
    let gaps = codes.len().checked_sub(1).filter(|gaps| *gaps > 0)? as u128;
    Some(
        (u128::from(last.word() - first.word()) * ROWS_OF_PAGE / gaps)
            .try_into()
            .unwrap_or(u64::MAX),
    )
}
