//! The SQL functions, inside a server.

use pgrx::prelude::*;

const TABLE: &str = "
    CREATE TABLE t (k int8);
    INSERT INTO t SELECT i FROM generate_series(1, 3000) i;
    CREATE INDEX i ON t USING learned (k) WITH (auto_retrain = off);
    INSERT INTO t SELECT i FROM generate_series(3001, 3500) i";

fn run(sql: &str) {
    Spi::run(sql).unwrap_or_else(|error| error!("{error}"));
}

fn number(sql: &str) -> Option<i64> {
    Spi::get_one::<i64>(sql).unwrap_or_else(|error| error!("{error}"))
}

#[pg_schema]
mod tests {
    use super::*;

    #[pg_test]
    fn learned_check_counts_what_the_index_holds() {
        run(TABLE);
        let report = "FROM learned_check('i', heapallindexed => true)";
        assert_eq!(number(&format!("SELECT entries {report}")), Some(3000));
        assert_eq!(number(&format!("SELECT unmerged_entries {report}")), Some(500));
        assert_eq!(number(&format!("SELECT dead_entries + lost_pages {report}")), Some(0));
        let pages = number("SELECT pg_relation_size('i') / current_setting('block_size')::int8");
        assert_eq!(number(&format!("SELECT pages {report}")), pages);
    }

    #[pg_test]
    fn learned_retrain_merges_every_row_once() {
        run(TABLE);
        assert_eq!(number("SELECT merged_rows FROM learned_retrain('i')"), Some(500));
        assert_eq!(number("SELECT merged_rows FROM learned_retrain('i')"), Some(0));
        assert_eq!(number("SELECT unmerged_entries FROM learned_check('i')"), Some(0));
        run("SET LOCAL enable_seqscan = off");
        assert_eq!(number("SELECT count(*) FROM t WHERE k BETWEEN 2991 AND 3010"), Some(20));
    }

    #[pg_test(error = "permission denied for function learned_retrain")]
    fn learned_retrain_is_not_for_everybody() {
        run(TABLE);
        run("CREATE ROLE somebody; SET LOCAL ROLE somebody");
        run("SELECT learned_retrain('i'::regclass)");
    }

    #[pg_test(error = "must be owner of index i")]
    fn learned_check_is_for_the_owner() {
        run(TABLE);
        run("CREATE ROLE somebody; GRANT EXECUTE ON FUNCTION learned_check TO somebody; SET \
             LOCAL ROLE somebody");
        run("SELECT learned_check('i'::regclass)");
    }

    #[pg_test(error = "\"b\" is not a learned index")]
    fn a_btree_is_not_checked() {
        run(TABLE);
        run("CREATE INDEX b ON t USING btree (k); SELECT learned_check('b'::regclass)");
    }

    #[pg_test(error = "relation with OID 4294967295 does not exist")]
    fn an_index_that_is_not_there_is_not_retrained() {
        run("SELECT learned_retrain(4294967295::oid::regclass)");
    }

    #[pg_test]
    fn the_handler_tells_what_the_index_can_do() {
        let can = "SELECT count(*) FILTER (WHERE pg_indexam_has_property(a.oid, p))
            FROM pg_am a, unnest(ARRAY['can_order', 'can_unique', 'can_exclude', 'can_multi_col',
                'can_include']) p
            WHERE a.amname = 'learned'";
        assert_eq!(
            number(can),
            Some(5),
            "ordered, unique, excluding, of several columns, with others beside them"
        );
    }
}
