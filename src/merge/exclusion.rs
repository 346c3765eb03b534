//! The exclusion: a session that freezes, publishes, drops or removes dead entries holds it.
//!
//! It is a heavyweight lock on the metapage, as GIN has one for its pending list. VACUUM waits for
//! it; everybody else tries, and comes back later, so that nobody gets autovacuum cancelled.

use std::time::Duration;

use pgrx::prelude::*;

use super::wait::wait;
use crate::relation::OpenIndex;

const MODE: pg_sys::LOCKMODE = pg_sys::ExclusiveLock as pg_sys::LOCKMODE;

/// How often, and after what time, it is tried again by those who do not wait for a merge.
const MOMENTS: u32 = 5;
const MOMENT: Duration = Duration::from_millis(10);

/// The exclusion of one index, held. An ERROR ends the transaction, which lets it go.
#[must_use]
pub(crate) struct Exclusion {
    index: OpenIndex,
}

impl Exclusion {
    /// Takes the exclusion, unless another session has it.
    pub(crate) fn try_take(index: OpenIndex) -> Option<Exclusion> {
        // SAFETY: the index is open.
        let taken = unsafe { pg_sys::ConditionalLockPage(index.raw(), 0, MODE) };
        taken.then_some(Exclusion { index })
    }

    /// The same, but comes back a few times: a scan that marks dead entries has it for a moment
    /// only.
    pub(crate) fn try_for_a_moment(index: OpenIndex) -> Option<Exclusion> {
        for _ in 0..MOMENTS {
            if let Some(exclusion) = Exclusion::try_take(index) {
                return Some(exclusion);
            }
            wait(MOMENT);
            check_for_interrupts!();
        }
        None
    }

    /// Waits for the exclusion.
    pub(crate) fn wait(index: OpenIndex) -> Exclusion {
        // SAFETY: the index is open.
        unsafe { pg_sys::LockPage(index.raw(), 0, MODE) };
        Exclusion { index }
    }

    /// Lets go.
    pub(crate) fn release(self) {
        // SAFETY: this session has the lock, and the index is open.
        unsafe { pg_sys::UnlockPage(self.index.raw(), 0, MODE) };
    }
}
