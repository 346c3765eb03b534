//! Partitions, and whatever else changes which tables an index belongs to.

use server_tests::{
    Cluster, Script, Subject, access_method, assert_plan, learned_options, retrain,
};

#[test]
fn partitions_attached_with_their_index_take_rows_through_the_parent() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let (access_method, options) = (access_method(), learned_options("retrain_threshold = 5"));
    client
        .script(&format!(
            "CREATE TABLE t (k int8, id int4) PARTITION BY RANGE (k);
             CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10000);
             CREATE TABLE rest PARTITION OF t DEFAULT;
             INSERT INTO t SELECT g, g FROM generate_series(1, 5000) g;
             CREATE INDEX t_k ON t USING {access_method} (k){options};
             -- One comes with its index, which the parent's adopts, the other gets one.
             CREATE TABLE t2 (k int8, id int4);
             INSERT INTO t2 SELECT g, g FROM generate_series(10000, 12000) g;
             CREATE INDEX t2_own ON t2 USING {access_method} (k){options};
             INSERT INTO t2 SELECT 19999 - g, 50000 + g FROM generate_series(1, 2000) g;
             ALTER TABLE t ATTACH PARTITION t2 FOR VALUES FROM (10000) TO (20000);
             CREATE TABLE t3 (k int8, id int4);
             INSERT INTO t3 SELECT g, g FROM generate_series(20000, 22000) g;
             ALTER TABLE t ATTACH PARTITION t3 FOR VALUES FROM (20000) TO (30000)"
        ))
        .unwrap();
    let adopted: i64 = client
        .query_one("SELECT count(*) FROM pg_inherits WHERE inhparent = 't_k'::regclass", &[])
        .unwrap()
        .get(0);
    assert_eq!(adopted, 4);
    // The default partition stands in the way of an order over all of them.
    let subjects = ["t1", "t2", "t3", "rest"].map(Subject::of);
    for round in 1..4 {
        client
            .script(&format!(
                "INSERT INTO t SELECT nullif(hashint4(g) % 35000, 3), {round} * 100000 + g
                     FROM generate_series(1, 4000) g;
                 -- Rows that move to another partition.
                 UPDATE t SET k = k + 10000 WHERE id % 9 = {round};
                 DELETE FROM t WHERE id % 8 = {round}"
            ))
            .unwrap();
        subjects.iter().for_each(|subject| subject.assert_exact(&mut client));
        retrain(&mut client, "t2_own");
        retrain(&mut client, "t1_k_idx");
        client.script("VACUUM t").unwrap();
        subjects.iter().for_each(|subject| subject.assert_exact(&mut client));
    }
    let all = "SELECT count(*), sum(id) FROM t WHERE k BETWEEN 5000 AND 25000";
    let answer = |row: postgres::Row| (row.get::<_, i64>(0), row.get::<_, Option<i64>>(1));
    client.script("SET enable_indexscan = off; SET enable_bitmapscan = off").unwrap();
    assert_plan(&mut client, all, &["Seq Scan"], &["t2_own"]);
    let expected = answer(client.query_one(all, &[]).unwrap());
    client.script("RESET ALL; SET enable_seqscan = off; SET enable_bitmapscan = off").unwrap();
    assert_plan(&mut client, all, &["t1_k_idx", "t2_own", "t3_k_idx"], &["Seq Scan"]);
    assert_eq!(answer(client.query_one(all, &[]).unwrap()), expected);
    client.script("RESET ALL; ALTER TABLE t DETACH PARTITION t2").unwrap();
    client.script("INSERT INTO t2 SELECT g, g FROM generate_series(1, 1000) g").unwrap();
    Subject::of("t2").assert_exact(&mut client);
}

#[test]
fn inherited_tables_and_views_write_into_the_index() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let access_method = access_method();
    client
        .script(&format!(
            "CREATE TABLE parent (k int8, id int4); CREATE TABLE child () INHERITS (parent);
             CREATE INDEX parent_k ON parent USING {access_method} (k);
             CREATE INDEX child_k ON child USING {access_method} (k);
             CREATE VIEW v AS SELECT k, id FROM child WHERE id > 0;
             INSERT INTO child SELECT g, g FROM generate_series(1, 3000) g;
             INSERT INTO parent SELECT g, -g FROM generate_series(1, 3000) g;
             INSERT INTO v SELECT g, 5000 + g FROM generate_series(1, 3000) g;
             UPDATE v SET k = -k WHERE id % 2 = 0;
             DELETE FROM parent WHERE id % 3 = 0"
        ))
        .unwrap();
    Subject::of("child").assert_exact(&mut client);
    Subject::of("ONLY parent").assert_exact(&mut client);
}

#[test]
fn triggers_and_returning_see_the_rows_that_a_statement_inserts() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(&format!(
            "CREATE TABLE t (k int8, id int4); CREATE INDEX t_k ON t USING {} (k)",
            access_method()
        ))
        .unwrap();
    // After each row the trigger looks its key up by the index.
    client
        .batch_execute(
            "CREATE FUNCTION look_up() RETURNS trigger LANGUAGE plpgsql
             SET enable_seqscan = off SET enable_bitmapscan = off AS $$
             DECLARE found_rows int8;
             BEGIN
                 SELECT count(*) INTO found_rows FROM t WHERE k = NEW.k;
                 IF found_rows = 0 THEN RAISE 'key % is not found', NEW.k; END IF;
                 RETURN NULL;
             END $$;
             CREATE TRIGGER look_up AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION
                 look_up()",
        )
        .unwrap();
    client
        .script(
            "INSERT INTO t SELECT g * 7 % 1000, g FROM generate_series(1, 1000) g;
             UPDATE t SET k = k + 1000",
        )
        .unwrap();
    let rows = client
        .query("INSERT INTO t SELECT g, g FROM generate_series(5001, 5010) g RETURNING k", &[])
        .unwrap();
    assert_eq!(rows.len(), 10);
    Subject::of("t").assert_exact(&mut client);
}
