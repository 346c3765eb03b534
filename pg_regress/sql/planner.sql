-- What the planner does with B-trees, and with learned indexes too: README, "What PostgreSQL keeps
-- for B-trees". And conditions that it derives.
SET client_min_messages = error;
SET timezone = 'Europe/Berlin';
SET datestyle = 'ISO';
CREATE TABLE facts (id int8, a int4, b int8, flag bool, net inet, price numeric(10, 2), day date,
    seen timestamptz, local timestamp, note text);
INSERT INTO facts SELECT g, g / 100, g % 100, g % 1000 = 0, '10.0.0.0'::inet + g, g, '2024-01-01'::date + g / 100,
    '2024-01-01'::timestamptz + g * interval '30 min', '2024-01-01'::timestamp + g * interval '30 min', 'n' || g
FROM generate_series(1, 20000) g;
CREATE UNIQUE INDEX facts_id ON facts USING learned (id);
CREATE INDEX facts_a_b ON facts USING learned (a, b);
CREATE INDEX facts_flag ON facts USING learned (flag);
CREATE INDEX facts_net ON facts USING learned (net);
CREATE INDEX facts_price ON facts USING learned (price);
CREATE INDEX facts_seen ON facts USING learned (seen);
CREATE INDEX facts_local ON facts USING learned (local);
CREATE INDEX facts_a_seen ON facts USING learned (b, seen DESC);
CREATE TABLE names (id int8, name text);
INSERT INTO names SELECT g, 'name ' || g FROM generate_series(1, 100) g;
VACUUM ANALYZE facts, names;

-- Rows that the planner expects, and whether it compares rows in an index: not told by the text,
-- which differs between versions.
CREATE FUNCTION expected(query text) RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
    RETURN (plan -> 0 -> 'Plan' ->> 'Plan Rows')::int8;
END $$;
CREATE FUNCTION scan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; scan text; has_condition bool; is_sorted bool;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || query LOOP
        scan := coalesce(scan, substring(line FROM '(?:Index|Bitmap|Seq).*Scan.* (?:using|on) (?:facts_\w+|facts)'));
        has_condition := coalesce(has_condition, false) OR line LIKE '%Index Cond%';
        is_sorted := coalesce(is_sorted, false) OR line LIKE '%Sort%';
    END LOOP;
    RETURN concat_ws(', ', scan, CASE WHEN has_condition THEN 'by a condition' END,
        CASE WHEN is_sorted THEN 'sorted' END);
END $$;

-- A unique index proves that a join finds at most one row.
EXPLAIN (COSTS off) SELECT name FROM names LEFT JOIN facts USING (id);
EXPLAIN (COSTS off) SELECT DISTINCT n.id FROM names n LEFT JOIN facts f ON f.id = n.id AND f.a = 1;

-- Boolean columns, and networks.
EXPLAIN (COSTS off) SELECT note FROM facts WHERE flag;
EXPLAIN (COSTS off) SELECT note FROM facts WHERE flag = true AND a > 5;
SELECT count(note) FROM facts WHERE flag;
SELECT count(note) FROM facts WHERE NOT flag;
EXPLAIN (COSTS off) SELECT note FROM facts WHERE net << '10.0.0.16/30';
SELECT count(note) FROM facts WHERE net <<= '10.0.0.16/30';

-- Estimates read the end of the index: rows came after ANALYZE.
INSERT INTO facts (id, price) SELECT g, g FROM generate_series(20001, 24000) g;
SELECT expected('SELECT * FROM facts WHERE id > 20100') > 100 AS id,
       expected('SELECT * FROM facts WHERE price > 20100') > 100 AS price;

-- Comparisons of rows.
SELECT scan_of('SELECT note FROM facts WHERE (a, b) > (150, 20) ORDER BY a, b LIMIT 5');
SELECT note FROM facts WHERE (a, b) > (150, 98) ORDER BY a, b LIMIT 3;
SELECT note FROM facts WHERE ROW(150, 1) > ROW(a, b) ORDER BY a DESC, b DESC LIMIT 3;
SELECT scan_of('SELECT note FROM facts WHERE (b, seen) < (3, ''2024-06-01'') ORDER BY b DESC, seen LIMIT 5');
SELECT note FROM facts WHERE (b, seen) <= (3, '2024-06-01') ORDER BY b DESC, seen LIMIT 3;
SELECT scan_of('SELECT note FROM facts WHERE (id, id) > (19990, 5)');
SELECT count(note) FROM facts WHERE (id, id) > (23990, 23991) AND (id, id) <= (24000, 23999);
SELECT count(note), count(*) FROM facts WHERE (id, a) > (19990, 5);
SELECT count(*) FROM facts WHERE (a, b) > (150, NULL);
SELECT count(*) FROM facts WHERE (a, b) > (NULL, 5);

-- Dates of timestamps.
EXPLAIN (COSTS off) SELECT note FROM facts WHERE local::date = '2024-02-29';
EXPLAIN (COSTS off) SELECT note FROM facts WHERE '2024-02-29' <= local::date AND local::date <= '2024-03-02';
EXPLAIN (COSTS off) SELECT note FROM facts WHERE date_trunc('week', local) = '2024-02-26' ORDER BY local LIMIT 3;
EXPLAIN (COSTS off) SELECT note FROM facts WHERE seen::date = '2024-03-31';
EXPLAIN (COSTS off) SELECT note FROM facts WHERE date_trunc('month', seen) = '2024-03-01' ORDER BY seen LIMIT 3;
EXPLAIN (COSTS off) SELECT seen FROM facts WHERE b = 7 AND seen::date = '2024-03-31';
EXPLAIN (COSTS off) UPDATE facts SET note = '' WHERE date_trunc('day', seen) = '2024-03-31'::date;
EXPLAIN (COSTS off) DELETE FROM facts WHERE seen::date < current_date - 1000;
SELECT count(note), min(local), max(local) FROM facts WHERE local::date = '2024-02-29';
-- The days on which clocks are put forward and back have 23 and 25 hours.
SELECT count(note), min(seen), max(seen) FROM facts WHERE seen::date = '2024-03-31';
SELECT count(note), min(seen), max(seen) FROM facts WHERE date_trunc('day', seen) = '2024-10-27';
-- The time zone is that of the execution.
PREPARE of_day(date) AS SELECT count(note), min(seen) FROM facts WHERE seen::date = $1;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS off) EXECUTE of_day('2024-03-10');
EXECUTE of_day('2024-03-10');
SET timezone = 'America/New_York';
EXECUTE of_day('2024-03-10');
EXECUTE of_day('infinity');
EXECUTE of_day('5874897-12-31');
EXECUTE of_day(NULL);
RESET plan_cache_mode;
-- Nothing is derived of volatile values, other functions, or where that is turned off.
SELECT scan_of('SELECT note FROM facts WHERE local::date = ''2024-01-01''::date + (random() * 0)::int');
SELECT scan_of('SELECT note FROM facts WHERE date_part(''year'', local) = 2024');
SELECT scan_of('SELECT note FROM facts WHERE date_trunc(''d'', local) = ''2024-02-26''');
SET omendb_learned.enable_derived_conditions = off;
SELECT scan_of('SELECT note FROM facts WHERE local::date = ''2024-02-29''');
RESET omendb_learned.enable_derived_conditions;

-- What plans look between: never an error.
SET timezone = 'America/St_Johns';
SELECT learned_first_timestamptz('2006-10-29'::date), learned_last_timestamptz('day', '2006-10-29'::date);
SELECT learned_last_timestamp('day', '5874897-12-31'::date), learned_last_timestamp('year', '294276-12-31'::timestamp),
       learned_first_timestamptz('4713-11-24 BC'::date), learned_last_timestamptz('hour', '-infinity'::timestamptz);
SELECT learned_first_timestamp('2024-01-01'::date), learned_first_timestamp('5874897-12-31'::date), learned_first_timestamp('-infinity'::date);
-- Behind all instants, though it begins before the last one in this zone.
SET timezone = '<A>-100';
SELECT learned_last_timestamptz('hour', '294277-01-01'::date);
RESET timezone;
SELECT learned_last_timestamp('d', '2024-01-01'::date);

-- A policy is checked before what a user's function sees.
CREATE FUNCTION leak(timestamp) RETURNS bool LANGUAGE plpgsql COST 0.001 AS
    $$ BEGIN RAISE NOTICE 'saw %', $1; RETURN true; END $$;
CREATE ROLE regress_learned_reader;
GRANT SELECT ON facts TO regress_learned_reader;
ALTER TABLE facts ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON facts USING (id % 24 = 1);
SET ROLE regress_learned_reader;
SET client_min_messages = notice;
SELECT count(note) FROM facts WHERE leak(local) AND local::date = '2024-02-29';
RESET ROLE;
DROP TABLE facts, names;
DROP ROLE regress_learned_reader;
DROP FUNCTION leak, expected, scan_of;

-- Comparisons of rows that a UNION ALL selects: of one column twice, before 18 no index takes them.
CREATE TABLE one (a int4);
CREATE TABLE other (a int4);
INSERT INTO one SELECT generate_series(1, 2000);
INSERT INTO other SELECT a FROM one;
CREATE INDEX ON one USING learned (a);
CREATE INDEX ON other USING learned (a);
VACUUM ANALYZE one, other;
SELECT count(*) FROM (SELECT a, (a, a) > (1990, 2) AS f FROM one UNION ALL SELECT a, (a, a) > (1990, 5) FROM other) s
WHERE f;
DROP TABLE one, other;

-- Nobody has to be allowed to call the functions that plans call.
CREATE TABLE times (tl timestamp, tz timestamptz);
INSERT INTO times SELECT '2024-01-01'::timestamp + g * interval '1 hour', '2024-01-01'::timestamptz + g * interval '1 hour'
FROM generate_series(1, 2000) g;
CREATE INDEX ON times USING learned (tl);
CREATE INDEX ON times USING learned (tz);
ANALYZE times;
CREATE ROLE regress_learned_denied;
GRANT SELECT ON times TO regress_learned_denied;
REVOKE EXECUTE ON FUNCTION learned_first_timestamp(date), learned_last_timestamp(text, date),
    learned_first_timestamptz(date), learned_last_timestamptz(text, date) FROM PUBLIC;
SET ROLE regress_learned_denied;
SELECT count(*) FROM times WHERE tl::date = '2024-01-05';
SELECT count(*) FROM times WHERE tz::date = '2024-01-05';
RESET ROLE;
EXPLAIN (COSTS OFF) SELECT * FROM times WHERE tl::date = '2024-01-05';
GRANT EXECUTE ON FUNCTION learned_first_timestamp(date), learned_last_timestamp(text, date),
    learned_first_timestamptz(date), learned_last_timestamptz(text, date) TO PUBLIC;
DROP TABLE times;
DROP ROLE regress_learned_denied;
