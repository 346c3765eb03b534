//! Validation of operator classes: `SELECT amvalidate(oid) FROM pg_opclass`.

use std::ffi::CStr;

use pgrx::prelude::*;

use crate::column::key_type::KeyType;

/// What is wrong with an operator class `$1`, one sentence a row.
///
/// The members of its family must be search operators with btree's strategies and signatures,
/// and btree's support functions; every pair of the family's types must have all of them; and
/// the class's own type must be among these.
const FAULTS: &str = "
WITH class AS (
    SELECT * FROM pg_catalog.pg_opclass WHERE oid = $1
), operators AS (
    SELECT amop.*, op.oprleft, op.oprright, op.oprresult
    FROM pg_catalog.pg_amop amop
    JOIN class ON amop.amopfamily = class.opcfamily
    JOIN pg_catalog.pg_operator op ON op.oid = amop.amopopr
), functions AS (
    SELECT amproc.*, proc.prorettype, proc.proargtypes::pg_catalog.text AS arguments
    FROM pg_catalog.pg_amproc amproc
    JOIN class ON amproc.amprocfamily = class.opcfamily
    JOIN pg_catalog.pg_proc proc ON proc.oid = amproc.amproc
), pairs AS (
    SELECT amoplefttype AS l, amoprighttype AS r FROM operators
    UNION SELECT amproclefttype, amprocrighttype FROM functions WHERE amprocnum = 1
    UNION SELECT opcintype, opcintype FROM class
), all_pairs AS (
    SELECT l.t AS l, r.t AS r
    FROM (SELECT l AS t FROM pairs UNION SELECT r FROM pairs) l,
         (SELECT l AS t FROM pairs UNION SELECT r FROM pairs) r
)
SELECT pg_catalog.format('operator %s has strategy number %s, which is not one of 1 to 5',
                         amopopr::pg_catalog.regoperator, amopstrategy)
FROM operators WHERE amopstrategy NOT BETWEEN 1 AND 5
UNION ALL
SELECT pg_catalog.format('operator %s is not a search operator', amopopr::pg_catalog.regoperator)
FROM operators WHERE amoppurpose <> 's' OR amopsortfamily <> 0
UNION ALL
SELECT pg_catalog.format('operator %s has the wrong signature', amopopr::pg_catalog.regoperator)
FROM operators
WHERE oprresult <> 'pg_catalog.bool'::pg_catalog.regtype
   OR oprleft <> amoplefttype OR oprright <> amoprighttype
UNION ALL
SELECT pg_catalog.format('function %s with support number %s has the wrong signature or number',
                         amproc::pg_catalog.regprocedure, amprocnum)
FROM functions
WHERE NOT CASE amprocnum
    WHEN 1 THEN prorettype = 'pg_catalog.int4'::pg_catalog.regtype
            AND arguments = pg_catalog.concat_ws(' ', amproclefttype, amprocrighttype)
    WHEN 2 THEN prorettype = 'pg_catalog.void'::pg_catalog.regtype
            AND arguments =
                'pg_catalog.internal'::pg_catalog.regtype::pg_catalog.oid::pg_catalog.text
            AND amproclefttype = amprocrighttype
    WHEN 3 THEN prorettype = 'pg_catalog.bool'::pg_catalog.regtype
            AND arguments = pg_catalog.concat_ws(
                ' ', amproclefttype, amproclefttype, amprocrighttype,
                'pg_catalog.bool'::pg_catalog.regtype::pg_catalog.oid,
                'pg_catalog.bool'::pg_catalog.regtype::pg_catalog.oid)
    WHEN 4 THEN prorettype = 'pg_catalog.bool'::pg_catalog.regtype
            AND arguments = 'pg_catalog.oid'::pg_catalog.regtype::pg_catalog.oid::pg_catalog.text
            AND amproclefttype = amprocrighttype
    ELSE false END
UNION ALL
SELECT pg_catalog.format('operators or the comparison function are missing for types %s and %s',
                         l::pg_catalog.regtype, r::pg_catalog.regtype)
FROM all_pairs
WHERE (SELECT pg_catalog.count(DISTINCT amopstrategy) FROM operators
       WHERE amoplefttype = l AND amoprighttype = r AND amopstrategy BETWEEN 1 AND 5) < 5
   OR NOT EXISTS (SELECT FROM functions
                  WHERE amproclefttype = l AND amprocrighttype = r AND amprocnum = 1)
ORDER BY 1";

/// Where an operator class is looked up in the catalogs: nowhere but there, whatever the caller's
/// search path says of operators.
const SEARCH_PATH: &CStr = c"pg_catalog, pg_temp";

/// Whether an operator class is complete and one that the index can serve. Says what is wrong
/// with INFO messages, as btree does.
///
/// # Safety
/// Called by the core with an operator class of this access method.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amvalidate(opclass: pg_sys::Oid) -> bool {
    // SAFETY: within a transaction, whose abort puts the setting back.
    let settings = unsafe {
        let settings = pg_sys::NewGUCNestLevel();
        pg_sys::set_config_option(
            c"search_path".as_ptr(),
            SEARCH_PATH.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
        settings
    };
    let faults = faults_of(opclass);
    // SAFETY: the level was entered above.
    unsafe { pg_sys::AtEOXact_GUC(false, settings) };
    match faults {
        Ok((name, faults)) => {
            for fault in &faults {
                info!("operator class \"{name}\" of access method learned: {fault}");
            }
            faults.is_empty()
        }
        Err(error) => {
            error!("could not read the members of operator class {}: {error}", opclass.to_u32())
        }
    }
}

/// What an operator class is, and with which function it compares values of its own type.
const CLASS: &str = "
SELECT opcname::pg_catalog.text, opcintype, pg_catalog.format_type(opcintype, NULL),
       (SELECT amproc::pg_catalog.oid FROM pg_catalog.pg_amproc
        WHERE amprocfamily = opcfamily
          AND amproclefttype = opcintype AND amprocrighttype = opcintype
          AND amprocnum = 1)
FROM pg_catalog.pg_opclass WHERE oid = $1";

/// The types with which the operators of a class `$1` compare its own.
const VALUE_TYPES: &str = "
SELECT DISTINCT amoprighttype::pg_catalog.oid, pg_catalog.format_type(amoprighttype, NULL) AS name
FROM pg_catalog.pg_amop
JOIN pg_catalog.pg_opclass ON amopfamily = opcfamily AND amoplefttype = opcintype
WHERE pg_opclass.oid = $1
ORDER BY name";

/// The name of an operator class, and what is wrong with it.
fn faults_of(opclass: pg_sys::Oid) -> Result<(String, Vec<String>), pgrx::spi::Error> {
    Spi::connect(|client| {
        let class = client.select(CLASS, Some(1), &[opclass.into()])?.first();
        let name = class.get::<String>(1)?.unwrap_or_default();
        let mut faults = Vec::new();
        let (input_type, type_name) = (class.get::<pg_sys::Oid>(2)?, class.get::<String>(3)?);
        if let (Some(input_type), Some(type_name)) = (input_type, type_name) {
            let key_type = KeyType::of_type(input_type);
            if key_type.is_none() {
                faults.push(format!("type {type_name} has no key codes"));
            } else if let Some(compare) = class.get::<pg_sys::Oid>(4)?
                && KeyType::with_order(input_type, compare).is_none()
            {
                faults.push(format!("the order is not the one of type {type_name}"));
            }
            // A scan would refuse such an operator.
            for row in client.select(VALUE_TYPES, None, &[opclass.into()])? {
                if let (Some(key_type), Some(value_type), Some(name)) =
                    (key_type, row.get::<pg_sys::Oid>(1)?, row.get::<String>(2)?)
                    && key_type.of_value(value_type).is_none()
                {
                    faults.push(format!(
                        "type {type_name} has no key codes to compare with type {name}"
                    ));
                }
            }
        }
        for row in client.select(FAULTS, None, &[opclass.into()])? {
            faults.extend(row.get::<String>(1)?);
        }
        Ok((name, faults))
    })
}
