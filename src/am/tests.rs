//! What the planner is told, inside a server. The oracle is a B-tree on the same column.

use pgrx::prelude::*;

/// Startup cost, total cost and rows of the plan that uses an index.
fn costs(index: &str, query: &str) -> [f64; 3] {
    let run = |sql: &str| Spi::run(sql).unwrap_or_else(|error| error!("{error}"));
    run("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off");
    // Of two equal ones the planner takes either.
    let other = if index == "theirs" { "ours" } else { "theirs" };
    run(&format!("UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{other}'::regclass"));
    let explain = format!("EXPLAIN (FORMAT JSON) {query}");
    let plan = Spi::get_one::<pgrx::Json>(&explain).ok().flatten().map(|plan| plan.0);
    run(&format!("UPDATE pg_index SET indisvalid = true WHERE indexrelid = '{other}'::regclass"));
    let plan = plan.unwrap_or_else(|| error!("no plan"));
    let node = &plan[0]["Plan"];
    assert_eq!(node["Index Name"], index, "{plan}");
    ["Startup Cost", "Total Cost", "Plan Rows"].map(|name| node[name].as_f64().unwrap_or(f64::NAN))
}

#[pg_schema]
mod tests {
    use super::*;

    /// The same rows, and at most the cost of a B-tree, but more than nothing.
    #[pg_test]
    fn scans_cost_a_little_less_than_over_a_btree() {
        Spi::run(
            "CREATE TABLE t (k int8, v int8);
             INSERT INTO t SELECT i, i FROM generate_series(1, 50000) i;
             CREATE INDEX ours ON t USING learned (k);
             CREATE INDEX theirs ON t USING btree (k);
             ANALYZE t",
        )
        .unwrap_or_else(|error| error!("{error}"));
        for condition in
            ["k = 7", "k BETWEEN 100 AND 5000", "k > 0", "k IN (1, 2, 30000)", "k IS NULL"]
        {
            for what in ["v", "k"] {
                let query = format!("SELECT {what} FROM t WHERE {condition}");
                let [our_start, our_total, our_rows] = costs("ours", &query);
                let [their_start, their_total, their_rows] = costs("theirs", &query);
                // Before 18 the planner looks up the least and greatest values in B-trees only.
                let same = (our_rows - their_rows).abs() <= 0.01 * their_rows;
                assert!(same, "{query}: {our_rows} {their_rows}");
                assert!(
                    our_start > 0.0 && our_start <= their_start,
                    "{query}: {our_start} {their_start}"
                );
                let least = 0.25 * their_total;
                assert!(
                    (least..=their_total).contains(&our_total),
                    "{query}: {our_total} {their_total}"
                );
            }
        }
    }

    #[pg_test]
    fn operator_classes_of_the_extension_are_valid() {
        let valid = Spi::get_one::<bool>(
            "SELECT bool_and(amvalidate(c.oid)) AND count(*) = 22 FROM pg_opclass c
             JOIN pg_am a ON a.oid = c.opcmethod WHERE a.amname = 'learned'",
        );
        assert_eq!(valid, Ok(Some(true)));
    }

    #[pg_test]
    fn an_operator_class_with_another_order_is_not_valid() {
        let valid = Spi::get_one::<bool>(
            "SET LOCAL client_min_messages = error;
             CREATE FUNCTION backwards(int8, int8) RETURNS int4 LANGUAGE sql IMMUTABLE
                 AS 'SELECT btint8cmp($2, $1)';
             CREATE OPERATOR CLASS backwards_ops FOR TYPE int8 USING learned AS
                OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <,
                FUNCTION 1 backwards(int8, int8);
             SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'backwards_ops'",
        );
        assert_eq!(valid, Ok(Some(false)));
    }
}
