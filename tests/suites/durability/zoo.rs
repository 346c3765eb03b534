//! Tables with learned indexes of every kind, type and state, to be taken to another server or
//! database.

use postgres::Client;
use server_tests::{Row, Script, SqlType, Subject, access_method, check, learned_options, retrain};

/// How a table of the zoo, `(k int8, id int4)`, is indexed and what is done to it then.
struct Kind {
    table: &'static str,
    persistence: &'static str,
    unique: &'static str,
    /// What is indexed.
    definition: &'static str,
    options: &'static str,
    predicate: &'static str,
    rows: u32,
    /// Statements that bring about a state; `RETRAIN` merges.
    then: &'static str,
}

const PLAIN: Kind = Kind {
    table: "fresh",
    persistence: "",
    unique: "",
    definition: "(k)",
    options: "auto_retrain = off",
    predicate: "",
    rows: 20_000,
    then: "",
};

const MORE: &str = "INSERT INTO TABLE SELECT 50000 - g, 100000 + g FROM generate_series(1, 3000) g";

/// All kinds.
fn kinds() -> Vec<(Kind, Subject)> {
    one_column().into_iter().chain(several_columns()).collect()
}

fn one_column() -> Vec<(Kind, Subject)> {
    let delete = "DELETE FROM TABLE WHERE id % 3 = 0; VACUUM (INDEX_CLEANUP on) TABLE";
    let all = "INSERT INTO TABLE SELECT 50000 - g, 100000 + g FROM generate_series(1, 3000) g;
               DELETE FROM TABLE WHERE id % 5 = 0; VACUUM (INDEX_CLEANUP on) TABLE;
               INSERT INTO TABLE SELECT g, -g FROM generate_series(1, 2000) g";
    vec![
        (PLAIN, Subject::of("fresh")),
        (Kind { table: "waiting", then: MORE, ..PLAIN }, Subject::of("waiting")),
        (Kind { table: "tombstones", then: delete, ..PLAIN }, Subject::of("tombstones")),
        (Kind { table: "all_of_it", then: all, ..PLAIN }, Subject::of("all_of_it")),
        (
            Kind { table: "merged", then: "DELETE FROM TABLE WHERE id < 0; RETRAIN", ..PLAIN },
            Subject::of("merged"),
        ),
        (
            Kind { table: "uniques", unique: "UNIQUE", then: delete, ..PLAIN },
            Subject::of("uniques"),
        ),
        (
            Kind { table: "partial", predicate: "WHERE id % 3 = 0", then: MORE, ..PLAIN },
            Subject::of("partial").restricted("id % 3 = 0"),
        ),
        (
            Kind { table: "expression", definition: "((k / 16))", then: MORE, ..PLAIN },
            Subject::of("expression").keyed("(k / 16)"),
        ),
        (
            Kind { table: "descending", definition: "(k DESC NULLS LAST)", then: all, ..PLAIN },
            Subject::of("descending").ordered(true, false),
        ),
        (
            Kind { table: "nulls_first", definition: "(k NULLS FIRST)", then: MORE, ..PLAIN },
            Subject::of("nulls_first").ordered(false, true),
        ),
        (
            Kind {
                table: "options",
                options: "model = pgm, fillfactor = 60, retrain_threshold = 7, auto_retrain = off",
                ..PLAIN
            },
            Subject::of("options"),
        ),
        (Kind { table: "empty", rows: 0, ..PLAIN }, Subject::of("empty")),
        (
            Kind { table: "emptied", then: "DELETE FROM TABLE; VACUUM TABLE", ..PLAIN },
            Subject::of("emptied"),
        ),
        (
            Kind { table: "unlogged", persistence: "UNLOGGED", then: MORE, ..PLAIN },
            Subject::of("unlogged"),
        ),
    ]
}

fn several_columns() -> Vec<(Kind, Subject)> {
    vec![
        (
            Kind { table: "covering", definition: "(k) INCLUDE (id, note)", then: MORE, ..PLAIN },
            Subject::of("covering"),
        ),
        (
            Kind { table: "two_columns", definition: "(k, id DESC)", then: MORE, ..PLAIN },
            Subject::of("two_columns"),
        ),
        (
            Kind {
                table: "unique_columns",
                unique: "UNIQUE",
                definition: "(k, (id::int8), (md5(id::text)::uuid) DESC) INCLUDE (id)",
                then: "DELETE FROM TABLE WHERE id % 3 = 0; VACUUM (INDEX_CLEANUP on) TABLE",
                ..PLAIN
            },
            Subject::of("unique_columns"),
        ),
    ]
}

/// Makes all tables.
pub(super) fn create(client: &mut Client) {
    for (kind, _) in kinds() {
        let Kind { table, persistence, unique, definition, options, predicate, rows, then } = kind;
        let note = match definition.contains("note") {
            true => ", note text GENERATED ALWAYS AS (repeat(md5(id::text), id % 3)) STORED",
            false => "",
        };
        client
            .script(&format!(
                "CREATE {persistence} TABLE {table} (k int8, id int4{note});
                 INSERT INTO {table} SELECT CASE WHEN g % 100 = 0 THEN NULL ELSE g * 3 END, g
                     FROM generate_series(1, {rows}) g;
                 CREATE {unique} INDEX {table}_k ON {table} USING {} {definition}{} {predicate}",
                access_method(),
                learned_options(options),
            ))
            .unwrap();
        for statement in then.replace("TABLE", table).split(';') {
            match statement.trim() {
                "RETRAIN" => retrain(client, &format!("{table}_k")),
                statement => client.script(statement).unwrap(),
            }
        }
    }
    let columns =
        SqlType::ALL.map(|kind| format!("{}_key {}", kind.label(), kind.name())).join(", ");
    client.script(&format!("CREATE TABLE types (id int4, {columns})")).unwrap();
    insert_types(client, 0);
    for kind in SqlType::ALL {
        let name = kind.label();
        client
            .script(&format!(
                "CREATE INDEX types_{name} ON types USING {} ({name}_key)",
                access_method()
            ))
            .unwrap();
    }
    client
        .script(&format!(
            "CREATE INDEX types_several ON types USING {} (bool_key, uuid_key DESC, timetz_key)",
            access_method()
        ))
        .unwrap();
    insert_types(client, 1_000);
}

/// Rows of every type: what is special in it, and others.
fn insert_types(client: &mut Client, first: i64) {
    let row = |id: i64| {
        let keys = SqlType::ALL.map(|kind| match kind.specials().get((id - first) as usize) {
            Some(&key) => kind.literal(key),
            None => kind.literal(kind.wrap(id * 37)),
        });
        format!("({id}, {})", keys.join(", "))
    };
    let rows: Vec<String> = (first..first + 1_000).map(row).collect();
    client.script(&format!("INSERT INTO types VALUES {}", rows.join(", "))).unwrap();
}

/// Asserts that each index is sound and that scans of it are exact.
pub(super) fn assert_exact(client: &mut Client) {
    for (kind, subject) in kinds() {
        check(client, &format!("{}_k", kind.table));
        subject.assert_exact(client);
    }
    check(client, "types_several");
    for kind in SqlType::ALL {
        check(client, &format!("types_{}", kind.label()));
        let key = format!("{}_key", kind.label());
        let (low, high) = (kind.literal(kind.wrap(370)), kind.literal(kind.wrap(29_600)));
        for condition in [format!("{key} IS NOT NULL"), format!("{key} BETWEEN {low} AND {high}")] {
            let query = format!("SELECT id FROM types WHERE {condition} ORDER BY {key}, id");
            let answers = [("on", "off"), ("off", "on")].map(|(sequential, index)| {
                client
                    .script(&format!(
                        "SET enable_seqscan = {sequential}; SET enable_indexscan = {index};
                         SET enable_bitmapscan = {index}"
                    ))
                    .unwrap();
                let rows = client.query(&query, &[]).unwrap();
                rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>()
            });
            client.script("RESET ALL").unwrap();
            assert!(answers[0].len() > 100, "{query} finds next to nothing");
            assert!(answers[0] == answers[1], "{query}");
        }
    }
}

/// Writes to each table, merges and vacuums its index. Each round needs another number.
pub(super) fn change(client: &mut Client, round: u32) {
    let first = 100_000 * (round + 2);
    for (kind, _) in kinds() {
        let table = kind.table;
        let name = format!("{table}_k");
        client
            .script(&format!(
                "INSERT INTO {table} SELECT {first} + g * 2, {first} + g
                     FROM generate_series(1, 4000) g;
                 DELETE FROM {table} WHERE id % 4 = 1; UPDATE {table} SET k = -k WHERE id % 4 = 2"
            ))
            .unwrap();
        retrain(client, &name);
        client.script(&format!("VACUUM (INDEX_CLEANUP on) {table}")).unwrap();
    }
    insert_types(client, 2_000);
    client.script("DELETE FROM types WHERE id % 3 = 1; VACUUM types").unwrap();
}

/// All rows of all tables, by sequential scans.
pub(super) fn rows(client: &mut Client) -> Vec<Vec<Row>> {
    kinds().iter().map(|(_, subject)| subject.rows(client).unwrap()).collect()
}

/// How each index of the database is defined, and all else that PostgreSQL keeps of it.
pub(super) fn definitions(client: &mut Client) -> Vec<String> {
    let query = "SELECT concat_ws(' ; ', pg_get_indexdef(c.oid), c.reloptions::text,
            indisunique, indisclustered, indisreplident, indisvalid, obj_description(c.oid),
            (SELECT string_agg(a.attstattarget::text, ',') FROM pg_attribute a
                WHERE a.attrelid = c.oid),
            (SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = c.oid))
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
        WHERE a.amname = $1 AND c.relnamespace = 'public'::regnamespace ORDER BY 1";
    client.query(query, &[&access_method()]).unwrap().iter().map(|row| row.get(0)).collect()
}
