//! Constraints that the index enforces: UNIQUE, EXCLUDE, ON CONFLICT and foreign keys.

use postgres::Client;
use postgres::error::SqlState;
use server_tests::{Cluster, Script, Subject, access_method, is_arbiter, learned_options, retrain};

fn state_of(client: &mut Client, statement: &str) -> SqlState {
    let error = client.batch_execute(statement).expect_err(statement);
    error.code().unwrap_or_else(|| panic!("{statement}: {error:?}")).clone()
}

/// A table with keys 1 to 5000 and a UNIQUE index.
fn unique_table(client: &mut Client) {
    client
        .script(&format!(
            "CREATE TABLE u (k int8, id int4);
             INSERT INTO u SELECT g, g FROM generate_series(1, 5000) g;
             CREATE UNIQUE INDEX u_k ON u USING {} (k){};
             ANALYZE u",
            access_method(),
            learned_options("retrain_threshold = 5"),
        ))
        .unwrap();
}

#[test]
fn a_key_is_refused_while_a_row_has_it_and_free_when_that_row_is_gone() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    unique_table(&mut client);
    for merged in [false, true] {
        for (key, refused) in [("42", true), ("6000", false), ("-1", false), ("NULL", false)] {
            let insert = format!("INSERT INTO u VALUES ({key}, 1)");
            if refused {
                assert_eq!(state_of(&mut client, &insert), SqlState::UNIQUE_VIOLATION, "{insert}");
                continue;
            }
            client.script(&insert).unwrap();
            if merged {
                retrain(&mut client, "u_k");
            }
            if key == "NULL" {
                client.script(&insert).unwrap();
                client.script("DELETE FROM u WHERE k IS NULL").unwrap();
                continue;
            }
            assert_eq!(state_of(&mut client, &insert), SqlState::UNIQUE_VIOLATION, "{insert}");
            // Within one transaction as well as over several, vacuumed or not.
            let delete = format!("DELETE FROM u WHERE k = {key}");
            client
                .script(&format!("BEGIN; {delete}; {insert}; {delete}; {insert}; COMMIT"))
                .unwrap();
            assert_eq!(state_of(&mut client, &insert), SqlState::UNIQUE_VIOLATION, "{insert}");
            client.script(&format!("{delete}; VACUUM u; {insert}; {delete}")).unwrap();
            client.script(&format!("BEGIN; {insert}; ROLLBACK; {insert}; {delete}")).unwrap();
        }
        Subject::of("u").assert_exact(&mut client);
    }
    for (statement, refused) in [
        ("UPDATE u SET k = 43 WHERE k = 42", true),
        ("UPDATE u SET k = 9000 WHERE k = 42", false),
        ("UPDATE u SET k = 42 WHERE k = 9000", false),
        ("UPDATE u SET id = -id", false),
        // Rows are checked one by one: the first already meets the second.
        ("UPDATE u SET k = k + 1", true),
        ("UPDATE u SET k = -k", false),
        ("INSERT INTO u VALUES (77, 1), (78, 2), (77, 3)", true),
        ("INSERT INTO u SELECT g % 2000, g FROM generate_series(1, 2500) g", true),
        ("INSERT INTO u SELECT g, g FROM generate_series(1, 5000) g", false),
    ] {
        if refused {
            assert_eq!(state_of(&mut client, statement), SqlState::UNIQUE_VIOLATION, "{statement}");
        } else {
            client.script(statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
        Subject::of("u").assert_exact(&mut client);
    }
    client.script("INSERT INTO u VALUES (NULL, 1), (NULL, 2)").unwrap();
}

#[test]
fn a_unique_index_over_duplicates_is_not_built() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let access_method = access_method();
    client
        .script(
            "CREATE TABLE d (k int8, id int4); INSERT INTO d SELECT g % 4999, g FROM \
             generate_series(1, 5000) g",
        )
        .unwrap();
    let build = format!("CREATE UNIQUE INDEX d_k ON d USING {access_method} (k)");
    assert_eq!(state_of(&mut client, &build), SqlState::UNIQUE_VIOLATION);
    let concurrently = build.replace("INDEX", "INDEX CONCURRENTLY");
    assert_eq!(state_of(&mut client, &concurrently), SqlState::UNIQUE_VIOLATION);
    // What CONCURRENTLY leaves behind is invalid, but takes rows until it is dropped.
    client
        .script(
            "INSERT INTO d VALUES (100000, 100000); DROP INDEX d_k; DELETE FROM d WHERE id = 5000",
        )
        .unwrap();
    // The row is dead but not vacuumed: no duplicate.
    client.script(&build).unwrap();
    Subject::of("d").assert_exact(&mut client);
    assert_eq!(state_of(&mut client, "INSERT INTO d VALUES (1, 1)"), SqlState::UNIQUE_VIOLATION);
    client.script("REINDEX INDEX CONCURRENTLY d_k; REINDEX INDEX d_k").unwrap();
    assert_eq!(state_of(&mut client, "INSERT INTO d VALUES (1, 1)"), SqlState::UNIQUE_VIOLATION);
    client
        .script(&format!(
            "CREATE UNIQUE INDEX d_id ON d USING {access_method} (id) NULLS NOT DISTINCT;
             INSERT INTO d VALUES (200000, NULL)"
        ))
        .unwrap();
    let second = "INSERT INTO d VALUES (200001, NULL)";
    assert_eq!(state_of(&mut client, second), SqlState::UNIQUE_VIOLATION);
}

#[test]
fn an_exclusion_constraint_by_equality_refuses_equal_keys() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let access_method = access_method();
    client
        .script(&format!(
            "CREATE TABLE x (k int8, id int4,
                 CONSTRAINT x_k EXCLUDE USING {access_method} (k WITH =));
             CREATE TABLE later (k int8, id int4, CONSTRAINT later_k
                 EXCLUDE USING {access_method} (k WITH =) DEFERRABLE INITIALLY DEFERRED);
             INSERT INTO x SELECT g, g FROM generate_series(1, 3000) g;
             INSERT INTO later SELECT g, g FROM generate_series(1, 3000) g"
        ))
        .unwrap();
    let exclusion = SqlState::EXCLUSION_VIOLATION;
    for merged in [false, true] {
        if merged {
            retrain(&mut client, "x_k");
            retrain(&mut client, "later_k");
        }
        assert_eq!(state_of(&mut client, "INSERT INTO x VALUES (42, 1)"), exclusion);
        assert_eq!(state_of(&mut client, "UPDATE x SET k = 43 WHERE k = 42"), exclusion);
        // No arbiter is named, so that this works on every version.
        let rows =
            client.execute("INSERT INTO x VALUES (42, 1), (-42, 1) ON CONFLICT DO NOTHING", &[]);
        assert_eq!(rows.unwrap(), 1);
        client
            .script("DELETE FROM x WHERE k = -42; INSERT INTO x VALUES (NULL, 1), (NULL, 2)")
            .unwrap();
        client.script("UPDATE later SET k = k + 1; UPDATE later SET k = k - 1").unwrap();
        client.script("BEGIN; INSERT INTO later VALUES (42, 1)").unwrap();
        assert_eq!(state_of(&mut client, "COMMIT"), exclusion);
        client
            .script(
                "BEGIN; INSERT INTO later VALUES (42, 1); DELETE FROM later WHERE id = 42; COMMIT",
            )
            .unwrap();
        client.script("UPDATE later SET id = 42 WHERE k = 42").unwrap();
    }
    Subject::of("x").assert_exact(&mut client);
    Subject::of("later").assert_exact(&mut client);
}

#[test]
fn on_conflict_takes_the_index_as_arbiter_where_postgresql_allows() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    unique_table(&mut client);
    let nothing =
        "INSERT INTO u SELECT g, -g FROM generate_series(4001, 6000) g ON CONFLICT (k) DO NOTHING";
    let update = "INSERT INTO u SELECT g, -g FROM generate_series(5001, 7000) g ON CONFLICT (k) \
                  DO UPDATE SET id = excluded.id - 1";
    if !is_arbiter(&mut client) {
        for statement in [nothing, update] {
            client.batch_execute(statement).expect_err(statement);
        }
        let rows: i64 = client.query_one("SELECT count(*) FROM u", &[]).unwrap().get(0);
        assert_eq!(rows, 5_000);
        return Subject::of("u").assert_exact(&mut client);
    }
    assert_eq!(client.execute(nothing, &[]).unwrap(), 1_000);
    retrain(&mut client, "u_k");
    assert_eq!(client.execute(nothing, &[]).unwrap(), 0);
    assert_eq!(client.execute(update, &[]).unwrap(), 2_000);
    assert_eq!(
        client.execute("INSERT INTO u VALUES (NULL, 1) ON CONFLICT (k) DO NOTHING", &[]).unwrap(),
        1
    );
    let rows = client
        .query_one(
            "SELECT count(*), count(*) FILTER (WHERE id = -k - 1) FROM u WHERE k > 5000",
            &[],
        )
        .unwrap();
    assert_eq!((rows.get::<_, i64>(0), rows.get::<_, i64>(1)), (2_000, 1_000));
    Subject::of("u").assert_exact(&mut client);
    // A row that one command would touch twice.
    let twice = "INSERT INTO u VALUES (99999, 1), (99999, 2) ON CONFLICT (k) DO UPDATE SET id = \
                 excluded.id";
    assert_eq!(state_of(&mut client, twice), SqlState::CARDINALITY_VIOLATION);
}

#[test]
fn foreign_keys_refer_to_the_index_where_postgresql_allows() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    unique_table(&mut client);
    client.script("CREATE TABLE r (k int8)").unwrap();
    let reference =
        "ALTER TABLE r ADD CONSTRAINT r_k FOREIGN KEY (k) REFERENCES u (k) ON UPDATE CASCADE";
    if !is_arbiter(&mut client) {
        client.batch_execute(reference).expect_err(reference);
        return;
    }
    client.script("INSERT INTO u VALUES (7000, 7000)").unwrap();
    client.script(reference).unwrap();
    let foreign = SqlState::FOREIGN_KEY_VIOLATION;
    for merged in [false, true] {
        if merged {
            retrain(&mut client, "u_k");
        }
        client.script("INSERT INTO r VALUES (42), (7000), (NULL)").unwrap();
        assert_eq!(state_of(&mut client, "INSERT INTO r VALUES (7001)"), foreign);
        assert_eq!(state_of(&mut client, "DELETE FROM u WHERE k = 7000"), foreign);
        client.script("UPDATE u SET k = 8000 WHERE k = 7000").unwrap();
        let moved: i64 =
            client.query_one("SELECT count(*) FROM r WHERE k = 8000", &[]).unwrap().get(0);
        assert_eq!(moved, 1);
        client
            .script(
                "DELETE FROM r; UPDATE u SET k = 7000 WHERE k = 8000; DELETE FROM u WHERE k = 43; \
                 INSERT INTO u VALUES (43, 43)",
            )
            .unwrap();
    }
    Subject::of("u").assert_exact(&mut client);
}
