//! How the core stores values of the types of keys: behind a pointer, or in a tuple.

use learned_index::key::inet;
use pgrx::prelude::*;
use pgrx::varlena::{varatt_is_1b, varatt_is_1b_e, varatt_is_4b_u, varlena_to_byte_slice};

/// A value as a tuple stores it: as many bytes as its type has, and then some without a meaning.
pub(crate) type StoredValue = [u8; 16];

/// The bytes of a value that is passed by reference.
///
/// # Safety
/// The Datum points to a value of `N` bytes or more, at whatever alignment.
#[inline]
pub(super) unsafe fn bytes<const N: usize>(value: pg_sys::Datum) -> [u8; N] {
    // SAFETY: by contract; an array of bytes needs no alignment.
    unsafe { *value.cast_mut_ptr::<[u8; N]>() }
}

/// Puts the bytes of a value of a fixed width.
#[inline]
pub(super) fn put<const N: usize>(place: &mut StoredValue, bytes: [u8; N]) {
    place[..N].copy_from_slice(&bytes);
}

/// Whether a value of variable width is elsewhere or compressed.
///
/// # Safety
/// The Datum is one of such a type.
pub(super) unsafe fn is_elsewhere(value: pg_sys::Datum) -> bool {
    let stored = value.cast_mut_ptr::<pg_sys::varlena>();
    // SAFETY: by contract.
    unsafe { !(varatt_is_4b_u(stored) || varatt_is_1b(stored) && !varatt_is_1b_e(stored)) }
}

/// How many bytes a value of variable width has behind its length, wherever it is stored.
///
/// # Safety
/// The Datum is one of such a type.
pub(super) unsafe fn content_length(value: pg_sys::Datum) -> usize {
    // SAFETY: by contract.
    unsafe { pg_sys::toast_raw_datum_size(value).saturating_sub(pg_sys::VARHDRSZ) }
}

/// Reads what a value of variable width has behind its length, wherever it is stored.
///
/// # Safety
/// The Datum is one of such a type.
pub(super) unsafe fn content<T>(value: pg_sys::Datum, read: impl FnOnce(&[u8]) -> T) -> T {
    let stored = value.cast_mut_ptr::<pg_sys::varlena>();
    // SAFETY: by contract. What the core made of a value that is elsewhere or compressed, which
    // values in tables hardly ever are, is freed.
    unsafe {
        let plain =
            if is_elsewhere(value) { pg_sys::pg_detoast_datum_packed(stored) } else { stored };
        let found = read(varlena_to_byte_slice(plain));
        if plain != stored {
            pg_sys::pfree(plain.cast());
        }
        found
    }
}

/// The first byte of an IPv4 address: `PGSQL_AF_INET` of the core's inet.h.
pub(super) const FAMILY_IPV4: u8 = 2;

/// An address, if it is one of IPv4, by what `inet_struct` of the core's inet.h has.
pub(super) fn ipv4(content: &[u8]) -> Option<inet::Ipv4> {
    match *content {
        [FAMILY_IPV4, length, a, b, c, d, ..] if length <= inet::BITS => {
            Some(inet::Ipv4 { address: u32::from_be_bytes([a, b, c, d]), length })
        }
        _ => None,
    }
}

/// Intervals have infinities from PostgreSQL 17 on: as their time, days and months.
pub(super) const HAS_INFINITE_INTERVALS: bool = cfg!(not(any(feature = "pg15", feature = "pg16")));
pub(super) const FOREVER: (i64, i32, i32) = (i64::MAX, i32::MAX, i32::MAX);
pub(super) const BEFORE_ALL: (i64, i32, i32) = (i64::MIN, i32::MIN, i32::MIN);

/// The time of an interval in microseconds, its days and its months.
///
/// # Safety
/// The Datum is one of `interval`.
pub(super) unsafe fn parts_of_interval(value: pg_sys::Datum) -> (i64, i32, i32) {
    // SAFETY: by contract; the core's struct is of 16 bytes, aligned or not.
    let interval = unsafe { value.cast_mut_ptr::<pg_sys::Interval>().read_unaligned() };
    (interval.time, interval.day, interval.month)
}

/// Puts a value of variable width behind its length, in one byte, as tuples store short ones.
pub(super) fn put_short(place: &mut StoredValue, content: &[u8]) {
    place[0] = short_header(content.len() as u8 + 1);
    place[1..=content.len()].copy_from_slice(content);
}

/// The length in one byte, itself counted: at most 127.
#[inline]
pub(super) fn short_header(length: u8) -> u8 {
    if cfg!(target_endian = "big") { length | 0x80 } else { length << 1 | 1 }
}

/// The length of such a value, with the byte that says it.
pub(super) fn short_length(stored: &StoredValue) -> usize {
    let byte = stored[0];
    usize::from(if cfg!(target_endian = "big") { byte & 0x7F } else { byte >> 1 })
}
