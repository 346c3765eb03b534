//! What a scan looks between for times that a function cuts to a value, such as `ts::date = d`.
//! Plans have these functions where the planner derives conditions (`node/derived.rs`).
//!
//! They never fail, whatever the value: an end that is no time is the infinity beyond it. And what
//! they give is wide enough where clocks are put back or forward; the rows are checked afterwards.

use learned_index::key::cut::USECS_PER_DAY;
use pgrx::prelude::*;

use crate::am::offsets_near;
use crate::node::longest;
use crate::report::refuse;

const NOBEGIN: i64 = i64::MIN;
const NOEND: i64 = i64::MAX;
/// The first timestamp, and the first that is none (`MIN_TIMESTAMP`, `END_TIMESTAMP`).
const FIRST: i64 = -211_813_488_000_000_000;
const END: i64 = 9_223_371_331_200_000_000;

#[pg_extern(sql = "
CREATE FUNCTION learned_first_timestamp(value date) RETURNS timestamp
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
COMMENT ON FUNCTION learned_first_timestamp(date) IS
    'for plans: no earlier timestamp is, when cut to a unit, at least the value';
")]
fn first_timestamp_of_date(value: i32) -> i64 {
    first(midnight(value), |time| time)
}

#[pg_extern(sql = "
CREATE FUNCTION learned_last_timestamp(unit text, value date) RETURNS timestamp
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
COMMENT ON FUNCTION learned_last_timestamp(text, date) IS
    'for plans: no later timestamp is cut to the unit and then at most the value';
")]
fn last_timestamp_of_date(unit: &str, value: i32) -> i64 {
    let width = width_of(unit);
    last(midnight(value), |time| time + width)
}

#[pg_extern(sql = "
CREATE FUNCTION learned_last_timestamp(unit text, value timestamp) RETURNS timestamp
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
COMMENT ON FUNCTION learned_last_timestamp(text, timestamp) IS
    'for plans: no later timestamp is cut to the unit and then at most the value';
")]
fn last_timestamp_of_timestamp(unit: &str, value: i64) -> i64 {
    let width = width_of(unit);
    last(value, |time| time + width)
}

#[pg_extern(sql = "
CREATE FUNCTION learned_first_timestamptz(value date) RETURNS timestamptz
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
COMMENT ON FUNCTION learned_first_timestamptz(date) IS
    'for plans: no earlier timestamp is, when cut to a unit, at least the value';
")]
fn first_timestamptz_of_date(value: i32) -> i64 {
    first(midnight(value), |time| {
        let offsets = offsets_near(time as i64);
        time - 2 * i128::from(offsets.greatest) + i128::from(offsets.least)
    })
}

#[pg_extern(sql = "
CREATE FUNCTION learned_first_timestamptz(value timestamptz) RETURNS timestamptz
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
COMMENT ON FUNCTION learned_first_timestamptz(timestamptz) IS
    'for plans: no earlier timestamp is, when cut to a unit, at least the value';
")]
fn first_timestamptz_of_timestamptz(value: i64) -> i64 {
    first(value, |time| {
        let offsets = offsets_near(time as i64);
        time - i128::from(offsets.greatest) + i128::from(offsets.least)
    })
}

#[pg_extern(sql = "
CREATE FUNCTION learned_last_timestamptz(unit text, value date) RETURNS timestamptz
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
COMMENT ON FUNCTION learned_last_timestamptz(text, date) IS
    'for plans: no later timestamp is cut to the unit and then at most the value';
")]
fn last_timestamptz_of_date(unit: &str, value: i32) -> i64 {
    let width = width_of(unit);
    let midnight = midnight(value);
    if midnight >= END {
        // Wherever it begins: the core takes it to be behind all instants but infinity
        // (`date2timestamptz_opt_overflow` of date.c).
        return NOEND;
    }
    last(midnight, |time| {
        let offsets = offsets_near(time as i64);
        let spread = i128::from(offsets.greatest) - i128::from(offsets.least);
        instant_before(time + spread + width)
    })
}

#[pg_extern(sql = "
CREATE FUNCTION learned_last_timestamptz(unit text, value timestamptz) RETURNS timestamptz
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
COMMENT ON FUNCTION learned_last_timestamptz(text, timestamptz) IS
    'for plans: no later timestamp is cut to the unit and then at most the value';
")]
fn last_timestamptz_of_timestamptz(unit: &str, value: i64) -> i64 {
    let width = width_of(unit);
    last(value, |time| {
        instant_before(time + i128::from(offsets_near(time as i64).greatest) + width)
    })
}

/// The instant before which all have a local time that is earlier than this one.
fn instant_before(local: i128) -> i128 {
    let near = local.clamp(i128::from(FIRST), i128::from(END)) as i64;
    local - i128::from(offsets_near(near).least)
}

/// The midnight with which a date begins; an infinity where that is none.
fn midnight(date: i32) -> i64 {
    match date {
        i32::MIN => NOBEGIN,
        i32::MAX => NOEND,
        _ => i64::from(date).saturating_mul(USECS_PER_DAY),
    }
}

/// From the value to an end that is included.
fn first(value: i64, end: impl Fn(i128) -> i128) -> i64 {
    if value == NOBEGIN || value == NOEND {
        return value;
    }
    match end(i128::from(value)) {
        end if end < i128::from(FIRST) => NOBEGIN,
        end => end.min(i128::from(END) - 1) as i64,
    }
}

/// From the value to an end that is not included; what is before it.
fn last(value: i64, end: impl Fn(i128) -> i128) -> i64 {
    if value == NOBEGIN || value == NOEND {
        return value;
    }
    match end(i128::from(value)) {
        end if end > i128::from(END) => NOEND,
        end => (end - 1).max(i128::from(FIRST)) as i64,
    }
}

/// How wide a unit is at most.
fn width_of(unit: &str) -> i128 {
    let width = longest(unit).unwrap_or_else(|| {
        refuse(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("unit \"{unit}\" not recognized"),
            "Use the full name of a unit of date_trunc, such as day.",
        )
    });
    i128::from(width)
}
