//! What an open index tells of itself, inside a server.

use learned_index::model::ModelChoice;
use pgrx::prelude::*;

use super::OpenIndex;

/// Runs statements that create an index `i` in a new schema, and opens it. It stays open until the
/// transaction is rolled back.
pub(crate) fn new_index(create: &str) -> OpenIndex {
    let run = |sql: &str| Spi::run(sql).unwrap_or_else(|error| error!("{error}"));
    let schemas =
        Spi::get_one::<i64>("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'tried%'");
    let schema = format!("tried{}", schemas.ok().flatten().unwrap_or(0));
    run(&format!("CREATE SCHEMA {schema}; SET LOCAL search_path = {schema}"));
    run(create);
    let oid = Spi::get_one::<pg_sys::Oid>("SELECT 'i'::regclass::oid").ok().flatten();
    let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
    // SAFETY: the index was created just now.
    unsafe { OpenIndex::new(pg_sys::index_open(oid.unwrap_or(pg_sys::InvalidOid), lock)) }
}

#[pg_schema]
mod tests {
    use super::*;
    use crate::relation::options::Options;

    #[pg_test]
    fn options_are_what_was_written() {
        let index = new_index(
            "CREATE TABLE t (k int8);
             CREATE INDEX i ON t USING learned (k)
                WITH (model = pgm, fillfactor = 71, auto_retrain = off, retrain_threshold = 13)",
        );
        let expected = Options {
            model: ModelChoice::Pgm,
            fillfactor: 71,
            auto_retrain: false,
            retrain_threshold: Some(13),
            monitoring: false,
        };
        assert_eq!(index.options(), expected);
    }

    #[pg_test]
    fn options_that_were_not_written_have_defaults() {
        let none = new_index("CREATE TABLE t (k int8); CREATE INDEX i ON t USING learned (k)");
        let some = new_index(
            "CREATE TABLE t (k int8); CREATE INDEX i ON t USING learned (k) WITH (fillfactor = \
             100)",
        );
        let expected = Options {
            model: ModelChoice::Auto,
            fillfactor: 100,
            auto_retrain: true,
            retrain_threshold: None,
            monitoring: false,
        };
        assert_eq!((none.options(), some.options()), (expected, expected));
    }

    #[pg_test(error = "value 9 out of bounds for option \"fillfactor\"")]
    fn a_fillfactor_below_ten_is_refused() {
        new_index(
            "CREATE TABLE t (k int8); CREATE INDEX i ON t USING learned (k) WITH (fillfactor = 9)",
        );
    }

    #[pg_test(error = "invalid value for enum option \"model\": btree")]
    fn an_unknown_model_is_refused() {
        new_index(
            "CREATE TABLE t (k int8); CREATE INDEX i ON t USING learned (k) WITH (model = btree)",
        );
    }

    /// Few rows wait of many; many rows of many; rows that cost few pages, and rows that cost many.
    #[pg_test]
    fn rows_wait_until_merging_them_pays() {
        let options =
            new_index("CREATE TABLE t (k int8); CREATE INDEX i ON t USING learned (k)").options();
        let need = |entries, waits, leaves| {
            options.need(entries, waits, || Ok(leaves)).unwrap_or(f64::NAN)
        };
        assert!(need(10_000_000, 49_999, 1) < 1.0, "too few to be worth a merge");
        assert!(need(10_000_000, 60_000, 10) >= 1.0, "rows at the end, which cost few pages");
        assert!(need(10_000_000, 60_000, 50_000) < 1.0, "rows all over the table");
        assert!(need(10_000_000, 2_000_001, 50_000) >= 1.0, "a fifth of the table");
        let set = Options { retrain_threshold: Some(50), ..options };
        let need = |waits| set.need(10_000_000, waits, || Ok(1)).unwrap_or(f64::NAN);
        assert!(need(4_999_999) < 1.0 && need(5_000_000) >= 1.0, "half of the table, as was set");
    }

    #[pg_test]
    fn an_index_of_another_method_is_not_ours() {
        let ours = new_index("CREATE TABLE t (k int8); CREATE INDEX i ON t USING learned (k)");
        let other = new_index("CREATE TABLE t (k int8); CREATE INDEX i ON t USING btree (k)");
        // SAFETY: both are open.
        unsafe {
            assert!(OpenIndex::of_relation(ours.raw()).is_some());
            assert!(OpenIndex::of_relation(other.raw()).is_none());
        }
    }

    #[pg_test]
    fn an_index_that_this_transaction_made_is_private() {
        let index = new_index("CREATE TABLE t (k int8); CREATE INDEX i ON t USING learned (k)");
        assert!(index.is_private() && index.is_ready());
        assert!(!index.is_temporary() && !index.is_unlogged());
        let temporary =
            new_index("CREATE TEMPORARY TABLE t (k int8); CREATE INDEX i ON t USING learned (k)");
        assert!(temporary.is_temporary() && !temporary.is_temporary_elsewhere());
        assert!(!temporary.needs_wal());
    }
}
