//! The session's time zone: its offsets from UTC, and when they change.

use pgrx::pg_sys;

/// Seconds from 1970 to 2000, the epochs of `pg_time_t` and of timestamps.
pub(super) const EPOCH_DIFFERENCE: i64 = 10_957 * 86_400;
pub(super) const USECS_PER_SECOND: i64 = 1_000_000;

/// Offsets of the session's time zone around a time. Offsets are local time less UTC, in seconds;
/// times are in seconds since 1970.
pub(super) struct Offsets {
    /// The offset at the time: 0 if the zone's rules do not reach it.
    pub(super) before: i64,
    /// Whether they do.
    pub(super) is_known: bool,
    /// When the first change after the time takes effect, and the offset from then on.
    pub(super) change: Option<(i64, i64)>,
}

impl Offsets {
    /// Those around a time.
    pub(super) fn around(seconds: i64) -> Offsets {
        let (mut before, mut after, mut at) = (0, 0, 0);
        let (mut before_is_dst, mut after_is_dst) = (0, 0);
        // SAFETY: the session's time zone is valid; the function only reads it.
        let found = unsafe {
            pg_sys::pg_next_dst_boundary(
                &seconds,
                &mut before,
                &mut before_is_dst,
                &mut at,
                &mut after,
                &mut after_is_dst,
                pg_sys::session_timezone,
            )
        };
        Offsets {
            before: if found < 0 { 0 } else { before },
            is_known: found >= 0,
            change: (found > 0).then_some((at, after)),
        }
    }
}

/// The session's time zone is another one as long as this lives: that of when a query began.
pub(crate) struct InTimeZone {
    own: *mut pg_sys::pg_tz,
}

impl InTimeZone {
    /// # Safety
    /// The time zone is one that the session has had: they are kept as long as it lives.
    pub(crate) unsafe fn of(zone: *mut pg_sys::pg_tz) -> InTimeZone {
        // SAFETY: a variable of this process.
        unsafe {
            let own = pg_sys::session_timezone;
            pg_sys::session_timezone = zone;
            InTimeZone { own }
        }
    }
}

impl Drop for InTimeZone {
    fn drop(&mut self) {
        // SAFETY: what it was before.
        unsafe { pg_sys::session_timezone = self.own };
    }
}
