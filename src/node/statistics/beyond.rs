//! What an index has beyond the ends of the histogram that ANALYZE found, and what it has no more.

use learned_index::corruption::Result;
use learned_index::memory::listed;
use pgrx::pg_sys::{self, Datum};

use super::histogram::{extended, fresh, rows_of};
use super::tuple::Common;
use crate::am::sample::{sample_of, sizes_of};
use crate::relation::OpenIndex;

/// The order of a type.
#[derive(Clone, Copy)]
pub(super) struct Order(*mut pg_sys::TypeCacheEntry);

impl Order {
    /// # Safety
    /// Within a transaction; the type is one of ours, all of which have an order.
    pub(super) unsafe fn of(oid: pg_sys::Oid) -> Order {
        // SAFETY: by contract.
        unsafe { Order(pg_sys::lookup_type_cache(oid, pg_sys::TYPECACHE_CMP_PROC_FINFO as i32)) }
    }

    /// # Safety
    /// The values are of the type.
    unsafe fn compare(self, left: Datum, right: Datum) -> std::cmp::Ordering {
        // SAFETY: by contract.
        let compared = unsafe {
            let function = &raw mut (*self.0).cmp_proc_finfo;
            pg_sys::FunctionCall2Coll(function, pg_sys::InvalidOid, left, right)
        };
        (compared.value() as i32).cmp(&0)
    }

    /// # Safety
    /// The values are of the type.
    pub(super) unsafe fn sorted(self, common: &Common) -> SortedCommon {
        let mut sorted = listed(common.values.iter().copied());
        // SAFETY: by contract.
        sorted.sort_unstable_by(|left, right| unsafe { self.compare(*left, *right) });
        SortedCommon { sorted, share: common.shares.iter().map(|share| f64::from(*share)).sum() }
    }
}

/// What an index has beyond the ends of a histogram.
pub(super) struct Beyond {
    pub(super) index: OpenIndex,
    pub(super) order: Order,
    /// The least and the greatest value that the index has.
    pub(super) ends: (Datum, Datum),
    pub(super) common: Option<SortedCommon>,
}

/// A histogram with what the index has beyond its ends.
pub(super) struct Extended {
    pub(super) bounds: Vec<Datum>,
    /// The share of NULLs.
    pub(super) nulls: f64,
    /// How much greater the shares of the most common values are now.
    pub(super) share: f64,
}

/// The most common values.
pub(super) struct SortedCommon {
    sorted: Vec<Datum>,
    /// Their share of all rows.
    share: f64,
}

impl Beyond {
    /// The histogram with that; `None` if there is nothing to add or to take away. `nulls`: the
    /// share of NULLs that ANALYZE found.
    ///
    /// # Safety
    /// The bounds are of the index's first column.
    pub(super) unsafe fn added_to(
        &self,
        bounds: Vec<Datum>,
        nulls: f64,
    ) -> Result<Option<Extended>> {
        // SAFETY: by contract.
        unsafe {
            let (Some(&first), Some(&last)) = (bounds.first(), bounds.last()) else {
                return Ok(None);
            };
            let (least, greatest) = self.ends;
            let (mut below, mut above) = (Vec::new(), Vec::new());
            if self.order.compare(least, first).is_lt() {
                below = self.uncommon(pg_sys::BTLessStrategyNumber, first)?;
            }
            if self.order.compare(last, greatest).is_lt() {
                above = self.uncommon(pg_sys::BTGreaterStrategyNumber, last)?;
            }
            let bins = bounds.len() - 1;
            let (kept, trimmed) = self.trimmed(bounds);
            if below.is_empty() && above.is_empty() && !trimmed {
                return Ok(None);
            }
            if kept.len() < 2 {
                // Nothing is left of what ANALYZE found.
                let sample = self.uncommon(pg_sys::BTGreaterEqualStrategyNumber, least)?;
                return Ok(fresh(least, &sample).map(|bounds| Extended {
                    bounds,
                    nulls,
                    share: 1.0,
                }));
            }
            let sizes = sizes_of(self.index)?;
            let all = sizes.values;
            let known = (all - rows_of(&below) - rows_of(&above)).max(1.0);
            let common = self.common.as_ref().map_or(0.0, |common| common.share);
            // Shares are of all rows, the entries are those that are not NULL. Of the others than
            // the most common ones, those that are gone are no longer known.
            let common = (common / (1.0 - nulls).max(0.01)).min(0.99);
            let others = (1.0 - common) * (kept.len() - 1) as f64 / bins as f64;
            let each = known * others / (common + others) / (kept.len() - 1) as f64;
            let nulls_now = sizes.nulls / (sizes.nulls + all);
            // Shares are of all rows again.
            let share =
                known / all / (common + others) * (1.0 - nulls_now) / (1.0 - nulls).max(0.01);
            // A common value (infinity) is no bound.
            let end = |end, sampled: Option<&(Datum, f64)>| {
                sampled.map(|(other, _)| if self.is_common(end) { *other } else { end })
            };
            let below = (end(least, below.first()), below.as_slice());
            let above = (end(greatest, above.last()), above.as_slice());
            let bounds = extended(kept, each, below, above);
            Ok(Some(Extended { bounds, nulls: nulls_now, share }))
        }
    }

    /// The bounds between the ends of what is there, and whether others are gone: where rows were
    /// deleted, the histogram begins with the first that is left.
    ///
    /// # Safety
    /// The bounds are of the index's first column.
    unsafe fn trimmed(&self, mut bounds: Vec<Datum>) -> (Vec<Datum>, bool) {
        let (least, greatest) = self.ends;
        // SAFETY: by contract.
        let is_less = |left, right| unsafe { self.order.compare(left, right).is_lt() };
        let below = bounds.partition_point(|bound| is_less(*bound, least));
        if below > 0 {
            bounds.drain(..below - 1);
            bounds[0] = least;
        }
        let within = bounds.partition_point(|bound| !is_less(greatest, *bound));
        let is_above = within < bounds.len();
        if is_above {
            bounds.truncate(within + 1);
            bounds[within] = greatest;
        }
        (bounds, below > 0 || is_above)
    }

    /// Values that compare so with a bound, but for the most common ones, which have a place of
    /// their own.
    ///
    /// # Safety
    /// The bound is of the index's first column.
    unsafe fn uncommon(&self, strategy: u32, bound: Datum) -> Result<Vec<(Datum, f64)>> {
        // SAFETY: by contract.
        unsafe {
            let mut found = sample_of(self.index, strategy, bound)?;
            found.retain(|(value, _)| !self.is_common(*value));
            Ok(found)
        }
    }

    /// Whether a value is one of the most common ones.
    ///
    /// # Safety
    /// It is of the index's first column.
    unsafe fn is_common(&self, value: Datum) -> bool {
        // SAFETY: by contract.
        let search = |known: &Datum| unsafe { self.order.compare(*known, value) };
        self.common.as_ref().is_some_and(|common| common.sorted.binary_search_by(search).is_ok())
    }
}
