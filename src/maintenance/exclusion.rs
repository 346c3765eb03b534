//! The exclusion: whoever freezes, publishes, drops or removes dead entries holds it.
//!
//! It is a heavyweight lock on the metapage, as GIN has one for its pending list. VACUUM waits for
//! it; everybody else tries, and comes back later, so that nobody gets autovacuum cancelled.

use std::time::Duration;

use pgrx::prelude::*;

const MODE: pg_sys::LOCKMODE = pg_sys::ExclusiveLock as pg_sys::LOCKMODE;

/// How often, and after what time, it is tried again by those who do not wait for a merge.
const MOMENTS: u32 = 5;
const MOMENT: Duration = Duration::from_millis(10);

/// The exclusion of one index, held. An ERROR ends the transaction, which lets it go.
#[must_use]
pub(crate) struct Exclusion {
    index: pg_sys::Relation,
}

impl Exclusion {
    /// Takes the exclusion, unless somebody has it.
    ///
    /// # Safety
    /// `index` is open, and stays so as long as this is held.
    pub(crate) unsafe fn try_take(index: pg_sys::Relation) -> Option<Exclusion> {
        // SAFETY: by contract.
        let taken = unsafe { pg_sys::ConditionalLockPage(index, 0, MODE) };
        taken.then_some(Exclusion { index })
    }

    /// The same, but comes back a few times: a scan that marks dead entries has it for a moment only.
    ///
    /// # Safety
    /// As [`Exclusion::try_take`].
    pub(crate) unsafe fn try_for_a_moment(index: pg_sys::Relation) -> Option<Exclusion> {
        for _ in 0..MOMENTS {
            // SAFETY: by contract.
            if let Some(exclusion) = unsafe { Exclusion::try_take(index) } {
                return Some(exclusion);
            }
            super::worker::wait(MOMENT);
            check_for_interrupts!();
        }
        None
    }

    /// Waits for the exclusion.
    ///
    /// # Safety
    /// As [`Exclusion::try_take`].
    pub(crate) unsafe fn wait(index: pg_sys::Relation) -> Exclusion {
        // SAFETY: by contract.
        unsafe { pg_sys::LockPage(index, 0, MODE) };
        Exclusion { index }
    }

    /// Lets go.
    pub(crate) fn release(self) {
        // SAFETY: this session has the lock, and the index is open.
        unsafe { pg_sys::UnlockPage(self.index, 0, MODE) };
    }
}
