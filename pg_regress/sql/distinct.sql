\set VERBOSITY default
-- The first row of each group, by one search of the index for each.
CREATE SCHEMA first_rows;
SET search_path = first_rows, public;
CREATE FUNCTION groups(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) ' || query LOOP
        -- 18 shows rows with decimals.
        line := regexp_replace(line, 'rows=(\d+)(\.\d+)? loops=\d+', 'rows=\1');
        CONTINUE WHEN line ~ '(Planning|Memory|Sort Method|Disabled|Index Searches)';
        RETURN NEXT line;
    END LOOP;
END $$;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET timezone = 'UTC';
CREATE TABLE r (gone text, d int4, ts timestamptz NOT NULL, v int4);
ALTER TABLE r DROP COLUMN gone;
INSERT INTO r SELECT nullif(g % 5, 4), '2025-03-01 UTC'::timestamptz + g * interval '10 min', g FROM generate_series(0, 4999) g;
CREATE INDEX r_d_ts ON r USING learned (d, ts DESC);
VACUUM ANALYZE r;

-- The latest row of each device, and the first.
SELECT groups('SELECT DISTINCT ON (d) * FROM r ORDER BY d, ts DESC');
SELECT DISTINCT ON (d) * FROM r ORDER BY d, ts DESC;
SELECT groups('SELECT DISTINCT ON (d) * FROM r ORDER BY d DESC, ts');
SELECT DISTINCT ON (d) * FROM r ORDER BY d DESC, ts;
-- From an index that has each device's rows the other way round, and in another order.
SELECT groups('SELECT DISTINCT ON (d) * FROM r ORDER BY d, ts LIMIT 2');
SELECT DISTINCT ON (d) * FROM r ORDER BY d, ts LIMIT 2;
-- From the index alone.
SELECT groups('SELECT DISTINCT ON (d) d, ts FROM r ORDER BY d, ts DESC');
SELECT DISTINCT ON (d) d, ts FROM r ORDER BY d, ts DESC;

-- Conditions on the groups, on what comes behind them, and on other columns.
SELECT groups('SELECT DISTINCT ON (d) * FROM r WHERE d IN (1, 3) AND ts < ''2025-03-02'' ORDER BY d, ts DESC');
SELECT DISTINCT ON (d) * FROM r WHERE d IN (1, 3) AND ts < '2025-03-02' ORDER BY d, ts DESC;
SELECT groups('SELECT DISTINCT ON (d) * FROM r WHERE v % 20 < 7 AND d IS NOT NULL ORDER BY d, ts DESC');
SELECT DISTINCT ON (d) * FROM r WHERE v % 20 < 7 AND d IS NOT NULL ORDER BY d, ts DESC;
SELECT DISTINCT ON (d) * FROM r WHERE d IS NULL ORDER BY d, ts DESC;
SELECT DISTINCT ON (d) * FROM r WHERE ts > 'infinity' ORDER BY d, ts DESC;

-- Expressions, whole rows, system columns.
EXPLAIN (VERBOSE, COSTS OFF) SELECT DISTINCT ON (d) d + 1 AS next, r, tableoid::regclass FROM r ORDER BY d, ts DESC;
SELECT DISTINCT ON (d) d + 1 AS next, r, tableoid::regclass FROM r ORDER BY d, ts DESC;
SELECT sum(x.v), count(o.v) FROM (SELECT DISTINCT ON (d) * FROM r ORDER BY d, ts DESC) x JOIN r o ON o.v = x.v - 5;

-- Prepared, in a cursor that goes back, amid own writes.
PREPARE latest(int4) AS SELECT DISTINCT ON (d) d, v FROM r WHERE d >= $1 ORDER BY d, ts DESC;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE latest(2);
EXECUTE latest(2);
EXECUTE latest(NULL);
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT DISTINCT ON (d) d, v FROM r ORDER BY d, ts DESC;
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
INSERT INTO r VALUES (3, '2030-01-01', -1), (9, '2030-01-01', -2);
DELETE FROM r WHERE d = 0 AND v > 100;
FETCH ALL FROM c;
SELECT DISTINCT ON (d) d, v FROM r ORDER BY d, ts DESC;
ROLLBACK;

-- Several columns before, one of them bound.
CREATE TABLE s (site int2, d float8, n int4);
INSERT INTO s SELECT g % 2, CASE WHEN g % 7 = 0 THEN '-0' WHEN g % 7 = 1 THEN 0 ELSE g % 7 END, g FROM generate_series(1, 3000) g;
CREATE INDEX ON s USING learned (site, d DESC, n) INCLUDE (n);
VACUUM ANALYZE s;
SELECT groups('SELECT DISTINCT ON (d) d + 0.0 AS x, n FROM s WHERE site = 1 ORDER BY d DESC, n');
SELECT DISTINCT ON (d) d + 0.0 AS x, n FROM s WHERE site = 1 ORDER BY d DESC, n;
SELECT DISTINCT ON (site, d) site, d + 0.0 AS x, n FROM s ORDER BY site DESC, d, n DESC;

-- Each partition by itself, and the core puts together what they give.
CREATE TABLE p (d int4, ts timestamptz NOT NULL, v int4) PARTITION BY RANGE (ts);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM ('2025-01-01') TO ('2025-02-01');
CREATE TABLE p_2 (v int4, ts timestamptz NOT NULL, d int4);
ALTER TABLE p ATTACH PARTITION p_2 FOR VALUES FROM ('2025-02-01') TO ('2025-03-01');
CREATE INDEX ON p USING learned (d, ts DESC);
INSERT INTO p SELECT g % 4, '2025-01-01 UTC'::timestamptz + g * interval '15 min', g FROM generate_series(0, 5000) g;
VACUUM ANALYZE p;
SELECT groups('SELECT DISTINCT ON (d) * FROM p ORDER BY d, ts DESC');
SELECT DISTINCT ON (d) * FROM p ORDER BY d, ts DESC;
EXPLAIN (VERBOSE, COSTS OFF) SELECT DISTINCT ON (d) d, v + 1 FROM p WHERE ts < '2025-01-20' ORDER BY d, ts DESC;
SELECT DISTINCT ON (d) d, v + 1 FROM p WHERE ts < '2025-01-20' ORDER BY d, ts DESC;

-- Functions that are called for the rows of the result.
EXPLAIN (COSTS OFF) SELECT DISTINCT ON (d) *, random() > 2 AS never FROM r ORDER BY d, ts DESC;
-- What other plans answer: functions that are called for each row, other orders.
SET enable_incremental_sort = off;
EXPLAIN (COSTS OFF) SELECT DISTINCT ON (d) * FROM r WHERE random() < 2 ORDER BY d, ts DESC;
EXPLAIN (COSTS OFF) SELECT DISTINCT ON (d) * FROM r ORDER BY d, v;
SELECT DISTINCT ON (d) * FROM r ORDER BY ts DESC;
SELECT DISTINCT ON (d) * FROM r ORDER BY d, ts DESC FOR UPDATE;
SET omendb_learned.enable_distinct = off;
EXPLAIN (COSTS OFF) SELECT DISTINCT ON (d) * FROM r ORDER BY d, ts DESC;
SELECT DISTINCT ON (d) * FROM r ORDER BY d, ts DESC;
SET omendb_learned.enable_distinct = maybe;
SET client_min_messages = warning;
DROP SCHEMA first_rows CASCADE;
