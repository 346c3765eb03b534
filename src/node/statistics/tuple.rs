//! Rows of pg_statistic: what ANALYZE found of a column, and rows of our own in its place.

use learned_index::memory::listed;
use pgrx::pg_sys::{self, Datum};

/// Slots of a row (`STATISTIC_NUM_SLOTS` of pg_statistic.h).
const SLOTS: usize = 5;
/// Columns of pg_statistic.
const COLUMNS: usize = pg_sys::Natts_pg_statistic as usize;

/// A row of pg_statistic.
#[derive(Clone, Copy)]
pub(super) struct Statistics(pg_sys::HeapTuple);

/// The most common values of a column, each with its share of all rows.
pub(super) struct Common {
    pub(super) values: Vec<Datum>,
    pub(super) shares: Vec<f32>,
}

/// What the values of a column are like, for arrays of them.
#[derive(Clone, Copy)]
pub(super) struct ValueType {
    pub(super) oid: pg_sys::Oid,
    length: i16,
    by_value: bool,
    alignment: std::ffi::c_char,
}

impl ValueType {
    /// # Safety
    /// Within a transaction.
    pub(super) unsafe fn of(oid: pg_sys::Oid) -> ValueType {
        let mut value_type = ValueType { oid, length: 0, by_value: false, alignment: 0 };
        let ValueType { length, by_value, alignment, .. } = &mut value_type;
        // SAFETY: by contract.
        unsafe { pg_sys::get_typlenbyvalalign(oid, length, by_value, alignment) };
        value_type
    }

    /// An array of values.
    ///
    /// # Safety
    /// They are of this type.
    unsafe fn array(&self, values: &mut [Datum]) -> Datum {
        // SAFETY: by contract.
        unsafe {
            Datum::from(pg_sys::construct_array(
                values.as_mut_ptr(),
                values.len() as i32,
                self.oid,
                self.length.into(),
                self.by_value,
                self.alignment,
            ))
        }
    }
}

impl Statistics {
    /// # Safety
    /// The tuple is a row of pg_statistic, and lives as long as this is used.
    pub(super) unsafe fn of(tuple: pg_sys::HeapTuple) -> Statistics {
        Statistics(tuple)
    }

    fn form(&self) -> &pg_sys::FormData_pg_statistic {
        // SAFETY: the row begins with its columns of fixed width, of which none is NULL.
        unsafe {
            let data = (*self.0).t_data;
            &*data.cast::<u8>().add((*data).t_hoff.into()).cast()
        }
    }

    /// The share of rows that are NULL.
    pub(super) fn null_share(&self) -> f64 {
        self.form().stanullfrac.into()
    }

    /// Which of the slots is of a kind.
    fn slot(&self, kind: u32) -> Option<usize> {
        let form = self.form();
        let kinds: [i16; SLOTS] =
            [form.stakind1, form.stakind2, form.stakind3, form.stakind4, form.stakind5];
        kinds.iter().position(|known| *known as u32 == kind)
    }

    /// The values and the numbers of a slot.
    fn read(&self, kind: u32, flags: u32) -> Option<(Vec<Datum>, Vec<f32>)> {
        // SAFETY: plain numbers and pointers; what the slot points to is copied before it is freed,
        // but for the values themselves, which live as long as the memory context.
        unsafe {
            let mut slot: pg_sys::AttStatsSlot = std::mem::zeroed();
            let any = pg_sys::InvalidOid;
            let (kind, flags) = (kind as i32, flags as i32);
            if !pg_sys::get_attstatsslot(&mut slot, self.0, kind, any, flags) {
                return None;
            }
            Some((copied(slot.values, slot.nvalues), copied(slot.numbers, slot.nnumbers)))
        }
    }

    /// The bounds of the histogram.
    pub(super) fn bounds(&self) -> Option<Vec<Datum>> {
        let (values, _) =
            self.read(pg_sys::STATISTIC_KIND_HISTOGRAM, pg_sys::ATTSTATSSLOT_VALUES)?;
        Some(values)
    }

    /// The most common values.
    pub(super) fn common(&self) -> Option<Common> {
        let flags = pg_sys::ATTSTATSSLOT_VALUES | pg_sys::ATTSTATSSLOT_NUMBERS;
        let (values, shares) = self.read(pg_sys::STATISTIC_KIND_MCV, flags)?;
        Some(Common { values, shares })
    }

    /// A row with another histogram, and other shares of NULLs and of the most common values.
    ///
    /// # Safety
    /// Within a transaction; the bounds are of the type.
    pub(super) unsafe fn with(
        &self,
        value_type: ValueType,
        mut bounds: Vec<Datum>,
        (nulls, shares): (f64, Option<Vec<f32>>),
    ) -> pg_sys::HeapTuple {
        let mut row = Row::new();
        row.set_nulls(nulls);
        if let Some(slot) = self.slot(pg_sys::STATISTIC_KIND_HISTOGRAM) {
            // SAFETY: by contract.
            row.set(pg_sys::Anum_pg_statistic_stavalues1 as usize + slot, unsafe {
                value_type.array(&mut bounds)
            });
        }
        if let Some((slot, shares)) = self.slot(pg_sys::STATISTIC_KIND_MCV).zip(shares) {
            let mut shares = listed(shares.iter().map(|share| Datum::from(share.to_bits())));
            // SAFETY: the values are of this type.
            row.set(pg_sys::Anum_pg_statistic_stanumbers1 as usize + slot, unsafe {
                ValueType::of(pg_sys::FLOAT4OID).array(&mut shares)
            });
        }
        let Row { values, nulls, given } = &mut row;
        let modify = |descriptor| {
            let (values, nulls) = (values.as_mut_ptr(), nulls.as_mut_ptr());
            let given = given.as_mut_ptr();
            // SAFETY: there are as many of each as columns.
            unsafe { pg_sys::heap_modify_tuple(self.0, descriptor, values, nulls, given) }
        };
        // SAFETY: by contract.
        unsafe { with_descriptor(modify) }
    }
}

/// A copy of an array of the core's; null: an empty one.
///
/// # Safety
/// It has as many elements as `length` says.
unsafe fn copied<T: Copy>(array: *mut T, length: i32) -> Vec<T> {
    if array.is_null() {
        return Vec::new();
    }
    // SAFETY: by contract.
    listed(unsafe { std::slice::from_raw_parts(array, length as usize) }.iter().copied())
}

/// A row of a column of which nothing is known but a histogram and the share of NULLs.
///
/// # Safety
/// Within a transaction; the bounds are of the type.
pub(super) unsafe fn of_sample(
    value_type: ValueType,
    mut bounds: Vec<Datum>,
    nulls: f64,
) -> pg_sys::HeapTuple {
    let mut row = Row::new();
    for column in 1..=pg_sys::Anum_pg_statistic_stacoll5 as usize {
        // The relation and the column, which nobody asks for; none of the slots is used. Of the
        // number of distinct values, 0 says that nothing is known.
        row.set(column, Datum::from(0));
    }
    row.set_nulls(nulls);
    // SAFETY: by contract.
    unsafe {
        let less = pg_sys::lookup_type_cache(value_type.oid, pg_sys::TYPECACHE_LT_OPR as i32);
        row.set(
            pg_sys::Anum_pg_statistic_stawidth as usize,
            Datum::from(pg_sys::get_typavgwidth(value_type.oid, -1)),
        );
        let kind = Datum::from(pg_sys::STATISTIC_KIND_HISTOGRAM as i16);
        row.set(pg_sys::Anum_pg_statistic_stakind1 as usize, kind);
        row.set(pg_sys::Anum_pg_statistic_staop1 as usize, Datum::from((*less).lt_opr));
        let bounds = value_type.array(&mut bounds);
        row.set(pg_sys::Anum_pg_statistic_stavalues1 as usize, bounds);
        with_descriptor(|descriptor| {
            pg_sys::heap_form_tuple(descriptor, row.values.as_mut_ptr(), row.nulls.as_mut_ptr())
        })
    }
}

/// Columns of a row, numbered from 1.
struct Row {
    values: [Datum; COLUMNS],
    nulls: [bool; COLUMNS],
    given: [bool; COLUMNS],
}

impl Row {
    fn new() -> Row {
        Row { values: [Datum::null(); COLUMNS], nulls: [true; COLUMNS], given: [false; COLUMNS] }
    }

    /// Sets the share of NULLs.
    fn set_nulls(&mut self, share: f64) {
        let share = Datum::from((share as f32).to_bits());
        self.set(pg_sys::Anum_pg_statistic_stanullfrac as usize, share);
    }

    fn set(&mut self, column: usize, value: Datum) {
        self.values[column - 1] = value;
        self.nulls[column - 1] = false;
        self.given[column - 1] = true;
    }
}

/// Makes a tuple with the descriptor of pg_statistic.
///
/// # Safety
/// Within a transaction.
unsafe fn with_descriptor(
    make: impl FnOnce(pg_sys::TupleDesc) -> pg_sys::HeapTuple,
) -> pg_sys::HeapTuple {
    // SAFETY: by contract.
    unsafe {
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let catalog = pg_sys::table_open(pg_sys::StatisticRelationId, lock);
        let tuple = make((*catalog).rd_att);
        pg_sys::table_close(catalog, lock);
        tuple
    }
}
