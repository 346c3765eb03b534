\set VERBOSITY default
-- Counts from the index alone, on a table small enough to check by eye.
CREATE FUNCTION steps(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) ' || query LOOP
        -- 18 shows rows with decimals.
        line := regexp_replace(line, 'rows=(\d+)(\.\d+)? loops=\d+', 'rows=\1');
        CONTINUE WHEN line ~ '(Planning|Memory|Sort Method|Disabled)';
        RETURN NEXT line;
    END LOOP;
END $$;
CREATE FUNCTION is_counted(query text) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        IF line ~ 'LearnedCount' THEN RETURN true; END IF;
    END LOOP;
    RETURN false;
END $$;
SET enable_seqscan = off;
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SET enable_bitmapscan = off;
SET timezone = 'UTC';
CREATE TABLE r (d int4, ts timestamptz NOT NULL, v float8);
INSERT INTO r SELECT nullif(g % 5, 4), '2025-03-01 UTC'::timestamptz + g * interval '10 min', g FROM generate_series(0, 999) g;
CREATE INDEX r_ts ON r USING learned (ts);
CREATE INDEX r_d_ts ON r USING learned (d, ts);
VACUUM ANALYZE r;

-- All rows, ranges, lists, NULLs.
SELECT steps('SELECT count(*) FROM r');
SELECT count(*), count(d), count(ts), count(1), count(NULL) FROM r;
SELECT steps('SELECT count(*) FROM r WHERE ts BETWEEN ''2025-03-02'' AND ''2025-03-03''');
SELECT count(*) FROM r WHERE ts BETWEEN '2025-03-02' AND '2025-03-03';
SELECT steps('SELECT count(*) FROM r WHERE d = ANY (''{1, 2, NULL, 9}'') AND ts > ''2025-03-05''');
SELECT count(*) FROM r WHERE d = ANY ('{1, 2, NULL, 9}') AND ts > '2025-03-05';
SELECT count(*), count(d) FROM r WHERE d IS NULL;
SELECT count(*) FROM r WHERE d IS NOT NULL AND ts < '2025-03-02';
SELECT count(*) FROM r WHERE d = NULL;
SELECT count(*) FROM r WHERE ts > '2025-03-05' AND ts < '2025-03-04';
SELECT steps('SELECT count(*) * 2 AS twice, min(ts), max(ts) FROM r WHERE d = 3 HAVING count(*) > 5');
SELECT count(*) * 2 AS twice, min(ts), max(ts) FROM r WHERE d = 3 HAVING count(*) > 5;
SELECT count(*) FROM r HAVING count(*) > 5000;

-- Groups: of leading columns, of functions that ascend, of both.
SELECT steps('SELECT d, count(*), max(ts) FROM r GROUP BY d');
SELECT d, count(*), max(ts) FROM r GROUP BY d ORDER BY d;
SELECT steps('SELECT date_trunc(''day'', ts), count(*) FROM r GROUP BY 1');
SELECT date_trunc('day', ts) AS day, count(*), min(ts), max(ts) FROM r GROUP BY 1 ORDER BY 1;
SELECT date_bin('36 hours', ts, '2025-03-01 06:00'), count(*) FROM r GROUP BY 1 ORDER BY 1;
SELECT d, ts::date, count(*) FROM r WHERE d < 2 GROUP BY 2, 1 HAVING count(*) > 28 ORDER BY 1, 2;
SELECT ts::date, count(*) FROM r WHERE d = 2 GROUP BY 1 ORDER BY 1 LIMIT 2;
SELECT steps('SELECT ts::date, count(*) FROM r WHERE d = 2 GROUP BY 1');
SELECT d FROM r GROUP BY d ORDER BY d DESC;
SELECT steps('SELECT DISTINCT d FROM r');
SELECT DISTINCT d FROM r ORDER BY d DESC;
SELECT DISTINCT date_trunc('day', ts) AS day, d FROM r WHERE d = 1 AND ts < '2025-03-03' ORDER BY day;
SELECT is_counted('SELECT DISTINCT d, ts FROM r'), is_counted('SELECT DISTINCT d, v FROM r'),
    is_counted('SELECT DISTINCT ON (d) d, ts FROM r ORDER BY d, ts DESC');
CREATE TABLE k (k int8);
INSERT INTO k VALUES (-9223372036854775808), (-11), (-10), (-9), (-1), (0), (9), (10), (9223372036854775807), (NULL);
CREATE INDEX k_k ON k USING learned (k);
SELECT k / 10, count(*), count(k) FROM k GROUP BY 1 ORDER BY 1;
SELECT steps('SELECT k / 10, count(*) FROM k GROUP BY 1');

-- The last column of an index tells 0 from -0. Of one before it, such values come from the table, or from other plans.
CREATE TABLE f (d int4, x float8);
INSERT INTO f VALUES (1, '-0'), (2, 'NaN'), (2, '-0'), (3, NULL);
CREATE INDEX f_d_x ON f USING learned (d, x);
SELECT count(*), min(x), max(x) FROM f WHERE d = 1;
SELECT is_counted('SELECT count(*), min(x), max(x) FROM f WHERE d = 1');
SELECT d, count(x), min(x), max(x) FROM f GROUP BY d ORDER BY d;
SELECT is_counted('SELECT d, min(x) FROM f GROUP BY d'), is_counted('SELECT d, count(x) FROM f GROUP BY d');
INSERT INTO f VALUES (2, 0), (2, '-0');
SELECT d, x + 0.0 AS x, count(*) FROM f GROUP BY d, f.x ORDER BY d, x;
DROP INDEX f_d_x;
CREATE INDEX f_x_d ON f USING learned (x, d);
SELECT is_counted('SELECT x, count(*) FROM f GROUP BY x'), is_counted('SELECT count(*) FROM f WHERE x = 0');
SELECT count(*), min(x) + 0.0 AS min, max(d) FROM f WHERE x = '-0';

-- Where clocks are put back at a minute past midnight, a day goes on after the next one has begun.
SET timezone = 'America/St_Johns';
CREATE TABLE n (ts timestamptz);
INSERT INTO n SELECT '1991-10-26 23:00-02:30'::timestamptz + g * interval '10 s' FROM generate_series(0, 1000) g;
CREATE INDEX n_ts ON n USING learned (ts);
SELECT steps('SELECT ts::date, count(*) FROM n GROUP BY 1');
SELECT ts::date, count(*), min(ts), max(ts) FROM n GROUP BY 1 ORDER BY 1;
SET timezone = 'UTC';

-- Rows that are not visible to all are looked up, and rows that wait to be merged.
DELETE FROM r WHERE ts < '2025-03-01 01:00';
INSERT INTO r VALUES (7, '2025-04-01', 1), (7, '2025-04-02', 2);
SELECT steps('SELECT count(*) FROM r WHERE ts > ''2025-04-01 12:00''');
SELECT count(*), count(d) FROM r;
SELECT d, count(*), max(ts) FROM r WHERE d > 2 GROUP BY d ORDER BY d;
BEGIN;
DELETE FROM r;
SELECT count(*) FROM r;
ROLLBACK;
SELECT count(*) FROM r;

-- Each partition is counted by itself, and the core puts together what they give.
CREATE TABLE p (ts timestamptz NOT NULL, d int4) PARTITION BY RANGE (ts);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM ('2025-01-01') TO ('2025-02-01');
CREATE TABLE p_2 (d int4, ts timestamptz NOT NULL);
ALTER TABLE p ATTACH PARTITION p_2 FOR VALUES FROM ('2025-02-01') TO ('2025-03-01');
CREATE INDEX ON p USING learned (ts);
INSERT INTO p SELECT '2025-01-01 UTC'::timestamptz + g * interval '1 hour', g FROM generate_series(0, 1400) g;
VACUUM ANALYZE p;
SELECT steps('SELECT count(*) FROM p WHERE ts >= ''2025-01-20''');
SELECT count(*) FROM p WHERE ts >= '2025-01-20';
SELECT steps('SELECT date_trunc(''week'', ts), count(*), max(ts) FROM p WHERE ts >= ''2025-01-20''
              GROUP BY 1 HAVING count(*) > 100');
SELECT date_trunc('week', ts), count(*), max(ts) FROM p WHERE ts >= '2025-01-20'
    GROUP BY 1 HAVING count(*) > 100 ORDER BY 1;
EXPLAIN (VERBOSE, COSTS OFF) SELECT ts::date - 5, count(*) + 1 FROM p WHERE ts >= '2025-01-28' GROUP BY ts::date;
SELECT DISTINCT date_trunc('month', ts) FROM p ORDER BY 1;
SELECT min(ts), max(ts), count(*) FROM p WHERE ts > '2025-01-31' AND ts < '2025-02-01 12:00';
-- When the query runs, some are left out.
SELECT steps('SELECT ts::date, count(*) FROM p WHERE ts >= ''2025-02-27''::timestamptz - interval ''1 day'' GROUP BY 1');
SELECT ts::date, count(*) FROM p WHERE ts >= '2025-02-27'::timestamptz - interval '1 day' GROUP BY 1 ORDER BY 1;
-- Others have no such index.
DROP INDEX p_ts_idx;
CREATE INDEX ON p_2 USING learned (ts);
SET enable_sort = off;
SELECT steps('SELECT ts::date, count(*), max(ts) FROM p WHERE ts >= ''2025-01-31'' AND ts < ''2025-02-02'' GROUP BY 1');
RESET enable_sort;
SELECT ts::date, count(*), max(ts) FROM p WHERE ts >= '2025-01-31' AND ts < '2025-02-02' GROUP BY 1 ORDER BY 1;

-- Sums and averages of what the index has, errors included.
CREATE TABLE s (d int4, ts timestamp, v float8, n int8);
INSERT INTO s SELECT g % 3, '2025-01-01'::timestamp + g * interval '1 hour', g / 8.0, g * 10::int8 ^ 15
    FROM generate_series(1, 2000) g;
INSERT INTO s VALUES (7, NULL, NULL, NULL);
CREATE INDEX ON s USING learned (d, ts) INCLUDE (v, n);
VACUUM ANALYZE s;
SELECT steps('SELECT d, avg(v), sum(n), max(v), sum(d), count(v) FROM s GROUP BY d');
SELECT d, avg(v), sum(n), max(v), sum(d), count(v) FROM s GROUP BY d ORDER BY d;
SELECT steps('SELECT avg(v), min(n), max(ts) FROM s WHERE d = 1 AND ts >= ''2025-02-01''');
SELECT avg(v), min(n), max(ts) FROM s WHERE d = 1 AND ts >= '2025-02-01';
SELECT sum(v), avg(n), count(n) FROM s WHERE d = 5;
SELECT is_counted('SELECT stddev(v) FROM s');
SELECT is_counted('SELECT sum(v + 1) FROM s');
UPDATE s SET v = 1e308 WHERE d = 2;
VACUUM s;
SELECT sum(v) FROM s WHERE d = 2;
DROP TABLE s;

-- A view without rows is refused, as by a scan.
CREATE MATERIALIZED VIEW v AS SELECT d FROM r;
CREATE INDEX ON v USING learned (d);
VACUUM ANALYZE v;
SELECT is_counted('SELECT count(*) FROM v');
REFRESH MATERIALIZED VIEW v WITH NO DATA;
SELECT count(*) FROM v;
DROP MATERIALIZED VIEW v;

-- What the index cannot tell is left to other plans.
SELECT is_counted('SELECT count(*) FROM r WHERE v > 5');
SELECT is_counted('SELECT count(DISTINCT d) FROM r');
SELECT is_counted('SELECT count(*) FILTER (WHERE d > 1) FROM r');
SELECT is_counted('SELECT count(v) FROM r');
-- Its errors are those of the core.
SELECT date_bin('0 s', ts, '2025-01-01'), count(*) FROM r GROUP BY 1;
SELECT date_bin('1 month', ts, '2025-01-01'), count(*) FROM r GROUP BY 1;
SELECT k / 0, count(*) FROM k GROUP BY 1;
SET omendb_learned.enable_count = off;
SELECT is_counted('SELECT count(*) FROM r');
RESET omendb_learned.enable_count;
SET omendb_learned.enable_count = maybe;

-- Privileges: of the aggregate, and of the rows.
CREATE ROLE regress_counter;
GRANT SELECT (d) ON r TO regress_counter;
SET ROLE regress_counter;
SELECT count(*) FROM r WHERE d = 1;
SELECT count(*) FROM r WHERE ts > '2025-03-05';
RESET ROLE;
DROP TABLE r, k, f, n, p;
DROP FUNCTION steps, is_counted;
DROP ROLE regress_counter;
