//! Validation of operator classes: `SELECT amvalidate(oid) FROM pg_opclass`.

use pgrx::prelude::*;

use crate::key_type::KeyType;

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
            AND arguments = 'pg_catalog.internal'::pg_catalog.regtype::pg_catalog.oid::pg_catalog.text
            AND amproclefttype = amprocrighttype
    WHEN 3 THEN prorettype = 'pg_catalog.bool'::pg_catalog.regtype
            AND arguments = pg_catalog.concat_ws(' ', amproclefttype, amproclefttype, amprocrighttype,
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
                  WHERE amproclefttype = l AND amprocrighttype = r AND amprocnum = 1)";

/// Whether an operator class is complete and one that the index can serve. Says what is wrong
/// with INFO messages, as btree does.
///
/// # Safety
/// Called by the core.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amvalidate(opclass: pg_sys::Oid) -> bool {
    match faults_of(opclass) {
        Ok(faults) => {
            for fault in &faults {
                info!(
                    "operator class with OID {} of access method learned: {fault}",
                    opclass.to_u32()
                );
            }
            faults.is_empty()
        }
        Err(error) => {
            error!("could not read the members of operator class {}: {error}", opclass.to_u32())
        }
    }
}

fn faults_of(opclass: pg_sys::Oid) -> Result<Vec<String>, pgrx::spi::Error> {
    Spi::connect(|client| {
        let input_type = client
            .select(
                "SELECT opcintype FROM pg_catalog.pg_opclass WHERE oid = $1",
                Some(1),
                &[opclass.into()],
            )?
            .first()
            .get_one::<pg_sys::Oid>()?;
        let mut faults = Vec::new();
        match input_type {
            None => faults.push("it does not exist".to_owned()),
            Some(input_type) if KeyType::of_type(input_type).is_none() => {
                faults.push(format!("type with OID {} has no key codes", input_type.to_u32()));
            }
            Some(_) => {}
        }
        for row in client.select(FAULTS, None, &[opclass.into()])? {
            faults.extend(row.get::<String>(1)?);
        }
        Ok(faults)
    })
}
