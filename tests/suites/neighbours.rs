//! The extension beside everything else: other tables' plans, the catalogs, and the planner's use
//! of the index's order.

use postgres::Client;
use server_tests::{Cluster, Script, SqlType, assert_plan, plan_of};

const TABLES: &str = "
    CREATE TABLE a (i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, d date, ts timestamp,
        tz timestamptz, o oid, t time);
    CREATE TABLE b (LIKE a); CREATE TABLE c (LIKE a);
    INSERT INTO a SELECT g % 1000, g, g, g, g, '2000-01-01'::date + g % 3000,
        '2000-01-01'::timestamp + g * interval '1 hour',
        '2000-01-01'::timestamptz + g * interval '1 hour', g::text::oid,
            '00:00'::time + g * interval '1 second' FROM generate_series(1, 5000) g;
    INSERT INTO b SELECT * FROM a WHERE i4 % 3 = 0; INSERT INTO c SELECT * FROM a WHERE i4 % 7 = 0;
    CREATE INDEX ON a (i4); CREATE INDEX ON a (i8); CREATE INDEX ON b (i8); CREATE INDEX ON c (i2);
    CREATE INDEX ON a (f4); CREATE INDEX ON b (f8); CREATE INDEX ON a (d); CREATE INDEX ON b (ts);
        CREATE INDEX ON c (tz);
    CREATE INDEX ON a (i4, i8); CREATE UNIQUE INDEX ON a (o); CREATE INDEX ON a (t);
    VACUUM ANALYZE a, b, c;";

const QUERIES: [&str; 14] = [
    "SELECT * FROM a JOIN b ON a.i4 = b.i8",
    "SELECT * FROM a JOIN b ON a.i4 = b.i8 JOIN c ON b.i8 = c.i2",
    "SELECT * FROM a, b, c WHERE a.i4 = b.i8 AND b.i8 = c.i2 AND c.i2 = 42::int8",
    "SELECT * FROM a, b WHERE a.f4 = b.f8 AND a.f4 = 42::float8",
    "SELECT * FROM a, b, c WHERE a.d = b.ts AND b.ts = c.ts AND a.d = '2000-02-02'",
    "SELECT * FROM a JOIN c ON a.d = c.tz WHERE a.d > '2001-01-01'::date",
    "SELECT * FROM a JOIN b ON a.o = b.o AND a.t = b.t",
    "SELECT * FROM a JOIN b USING (i4) ORDER BY a.i4, a.i8",
    "SELECT i8, count(*) FROM a WHERE i4 = i8 GROUP BY i8 ORDER BY i8 LIMIT 5",
    "SELECT min(i8), max(d) FROM a WHERE i4 < 100::int8",
    "SELECT DISTINCT i8 FROM a WHERE i4 = ANY ('{1,2,3}')",
    "SELECT * FROM a WHERE i4 IN (SELECT i2 FROM c) AND i8 BETWEEN 5::int2 AND 5000::int4",
    "SELECT * FROM a LEFT JOIN b ON a.i8 = b.i2 FULL JOIN c ON b.i2 = c.i4",
    "SELECT rank() OVER (PARTITION BY i8 ORDER BY d) FROM a WHERE i4 > 4000",
];

fn plans(client: &mut Client) -> Vec<String> {
    let mut plans = Vec::new();
    let settings = [
        "",
        "SET enable_hashjoin = off",
        "SET enable_hashjoin = off; SET enable_nestloop = off",
        "SET enable_seqscan = off",
    ];
    for setting in settings {
        client.script(&format!("RESET ALL; {setting}")).unwrap();
        plans.extend(
            QUERIES.iter().map(|query| format!("{setting}: {query}\n{}", plan_of(client, query))),
        );
    }
    plans
}

/// `brincostestimate` of selfuncs.c asks for statistics with a description of the column that is
/// whatever the stack has.
#[test]
fn tables_with_brin_indexes_are_planned_whether_or_not_they_have_learned_ones() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client.script(TABLES).unwrap();
    for learned in
        ["", "CREATE INDEX ON t USING learned (k); CREATE INDEX ON t USING learned ((v + 1));"]
    {
        client
            .script(&format!(
                "DROP TABLE IF EXISTS t; CREATE TABLE t (k int8, v int8, w int8);
                 INSERT INTO t SELECT g, g / 7, g FROM generate_series(1, 20000) g; {learned}
                 CREATE INDEX ON t USING brin (k); CREATE INDEX ON t USING brin ((v + 1));
                 CREATE INDEX ON t USING brin (w, (k + 2)); VACUUM ANALYZE t;
                 SET enable_seqscan = off"
            ))
            .unwrap();
        for condition in
            ["k < 1000", "v + 1 = 5", "w > 19990 AND k + 2 < 20000", "k = 7 AND v + 1 = 2"]
        {
            // What others leave on the stack.
            plans(&mut client);
            let query = format!("SELECT count(*) FROM t WHERE {condition}");
            let counted: i64 = client.query_one(&query, &[]).unwrap().get(0);
            let expected = match condition {
                "k < 1000" => 999,
                "v + 1 = 5" => 7,
                "w > 19990 AND k + 2 < 20000" => 7,
                _ => 1,
            };
            assert_eq!(counted, expected, "{condition}");
            plan_of(&mut client, &format!("UPDATE t SET w = w WHERE {condition}"));
        }
    }
}

#[test]
fn creating_the_extension_changes_no_plan_of_other_tables() {
    let cluster = Cluster::bare("");
    let mut client = cluster.connect();
    client.script(TABLES).unwrap();
    let before = plans(&mut client);
    client.script("CREATE EXTENSION omendb_learned").unwrap();
    // A fresh backend, with no operator family cached.
    let after = plans(&mut cluster.connect());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after);
    }
    // A learned index on one table, too, leaves the others alone.
    client
        .script(
            "CREATE TABLE l AS SELECT * FROM a; CREATE INDEX ON l USING learned (i8); ANALYZE l",
        )
        .unwrap();
    assert_eq!(before, plans(&mut cluster.connect()));
    client.script("DROP EXTENSION omendb_learned CASCADE").unwrap();
    assert_eq!(before, plans(&mut cluster.connect()));
}

#[test]
fn every_operator_class_validates() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let rows = client
        .query(
            "SELECT opcname::text, opcintype::regtype::text, opcdefault, amvalidate(c.oid)
             FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod WHERE amname = 'learned'
                 ORDER BY 2",
            &[],
        )
        .unwrap();
    assert!(rows.iter().all(|row| row.get(2)), "{rows:?}");
    assert!(rows.iter().all(|row| row.get(3)), "{rows:?}");
    let mut types: Vec<String> = rows.iter().map(|row| row.get(1)).collect();
    types.sort();
    let mut expected: Vec<String> = client
        .query(
            "SELECT t::regtype::text FROM unnest($1::text[]) t",
            &[&SqlType::ALL.map(SqlType::name).to_vec()],
        )
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    expected.sort();
    assert_eq!(types, expected);
}

#[test]
fn the_operator_families_mirror_those_of_btree() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let types = SqlType::ALL.map(SqlType::name).to_vec();
    let family = "SELECT DISTINCT c.opcfamily FROM pg_opclass c JOIN pg_am a ON a.oid = \
                  c.opcmethod
                  WHERE a.amname = $1 AND c.opcintype::regtype::text IN (SELECT t::regtype::text
                      FROM unnest($2::text[]) t)
                    AND c.opcdefault";
    let operators = format!(
        "SELECT amoplefttype::regtype::text, amoprighttype::regtype::text, amopstrategy::int4,
             amopopr::regoperator::text, amoppurpose::text
         FROM pg_amop WHERE amopfamily IN ({family}) ORDER BY 1, 2, 3"
    );
    let procedures = format!(
        "SELECT amproclefttype::regtype::text, amprocrighttype::regtype::text, amprocnum::int4,
             amproc::regprocedure::text, ''
         FROM pg_amproc WHERE amprocfamily IN ({family}) AND amprocnum = 1 ORDER BY 1, 2, 3"
    );
    for query in [operators, procedures] {
        let mut mirror = |access_method: &str| -> Vec<(String, String, i32, String, String)> {
            let rows = client.query(&query, &[&access_method, &types]).unwrap();
            rows.iter()
                .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)))
                .collect()
        };
        let btree = mirror("btree");
        assert!(btree.len() > 20);
        assert_eq!(mirror("learned"), btree);
    }
    // Types that share a family in btree share one here.
    let families: i64 = client
        .query_one(
            "SELECT count(*) FROM pg_opfamily f JOIN pg_am a ON a.oid = opfmethod WHERE amname = \
             'learned'",
            &[],
        )
        .unwrap()
        .get(0);
    assert_eq!(families, 17);
}

#[test]
fn the_planner_uses_the_order_without_a_sort() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (k int8, id int4); CREATE TABLE u (k int4, id int4);
             INSERT INTO t SELECT g, g FROM generate_series(1, 100000) g;
             INSERT INTO u SELECT g, g FROM generate_series(1, 100000) g;
             CREATE INDEX t_k ON t USING learned (k); CREATE INDEX u_k ON u USING learned (k);
             VACUUM ANALYZE t; VACUUM ANALYZE u;",
        )
        .unwrap();
    for (query, node) in [
        ("SELECT * FROM t ORDER BY k LIMIT 10", "Index Scan using t_k"),
        ("SELECT * FROM t ORDER BY k DESC LIMIT 10", "Index Scan Backward using t_k"),
        ("SELECT k FROM t ORDER BY k LIMIT 10", "Index Only Scan using t_k"),
        ("SELECT min(k) FROM t", "Index Only Scan using t_k"),
        ("SELECT max(k) FROM t", "Index Only Scan Backward using t_k"),
        ("SELECT * FROM t WHERE k = 77", "Index Scan using t_k"),
        ("SELECT * FROM t WHERE k < 100", "Index Scan using t_k"),
        ("SELECT * FROM t WHERE k IN (5, 6, 70000)", "Index Scan using t_k"),
        ("SELECT k FROM t WHERE k BETWEEN 100 AND 200", "Index Only Scan using t_k"),
        ("SELECT count(*) FROM t JOIN u ON t.k = u.k WHERE t.k < 20", "Index"),
    ] {
        assert_plan(&mut client, query, &[node], &["Sort", "Seq Scan"]);
    }
    // By cost alone: no other join is switched off.
    client.script("SET enable_hashjoin = off; SET enable_nestloop = off").unwrap();
    assert_plan(
        &mut client,
        "SELECT * FROM t JOIN u ON t.k = u.k",
        &["Merge Join", "t_k", "u_k"],
        &["Sort"],
    );
    // What reads most of the table is not for an index.
    client.script("RESET ALL").unwrap();
    assert_plan(&mut client, "SELECT sum(id) FROM t WHERE k > 1000", &["Seq Scan"], &["t_k"]);
}
