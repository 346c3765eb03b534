\set VERBOSITY default
-- Each kind of scan on a table small enough to check by eye.
CREATE TABLE t (k int4, note text);
INSERT INTO t VALUES (30, 'c'), (10, 'a'), (NULL, 'n'), (20, 'b'), (20, 'b2'), (50, 'e'), (40, 'd');
CREATE INDEX t_k ON t USING learned (k);
VACUUM ANALYZE t;
SET enable_seqscan = off;
SET enable_sort = off;
SET enable_bitmapscan = off;

EXPLAIN (COSTS OFF) SELECT * FROM t WHERE k = 20;
SELECT * FROM t WHERE k = 20 ORDER BY note;
EXPLAIN (COSTS OFF) SELECT k FROM t WHERE k BETWEEN 15 AND 40 ORDER BY k DESC;
SELECT k FROM t WHERE k BETWEEN 15 AND 40 ORDER BY k DESC;
SELECT k FROM t ORDER BY k;
SELECT k FROM t ORDER BY k DESC LIMIT 3 OFFSET 1;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE k IN (50, 10, 99, 10, NULL) ORDER BY k;
SELECT * FROM t WHERE k IN (50, 10, 99, 10, NULL) ORDER BY k;
SELECT * FROM t WHERE k = ANY ('{}');
SELECT * FROM t WHERE k IS NULL;
SELECT count(*) FROM t WHERE k IS NOT NULL;
EXPLAIN (COSTS OFF) SELECT k FROM t WHERE k > 20::int8 AND k < 50::int2;
SELECT k FROM t WHERE k > 20::int8 AND k < 50::int2;
SELECT k FROM t WHERE k > 30 AND k < 20;
SELECT k FROM t WHERE k >= 10000000000;
SELECT k FROM t WHERE k <= 10000000000 AND k > 30 AND k > 20;
SELECT min(k), max(k) FROM t;

SET enable_bitmapscan = on;
SET enable_indexscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE k = 30 OR k < 20;
SELECT * FROM t WHERE k = 30 OR k < 20 ORDER BY note;
SET enable_indexscan = on;
SET enable_bitmapscan = off;

BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT k FROM t ORDER BY k;
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH LAST FROM c;
FETCH ABSOLUTE 4 FROM c;
COMMIT;

-- The order of floats: one zero, NaN above infinity.
CREATE TABLE f (k float8);
INSERT INTO f VALUES ('NaN'), (0), ('-0'), ('Infinity'), ('-Infinity'), (1.5), (NULL);
CREATE INDEX f_k ON f USING learned (k);
SELECT count(*) FROM f WHERE k = 0;
SELECT count(*) FROM f WHERE k = '-0'::float4;
SELECT k FROM f WHERE k > 1 ORDER BY k;
SELECT count(*) FROM f WHERE k = 'NaN';

-- Dates against timestamps of both kinds.
CREATE TABLE d (k date);
INSERT INTO d SELECT '2024-03-09'::date + g FROM generate_series(0, 3) g;
INSERT INTO d VALUES ('infinity'), ('-infinity');
CREATE INDEX d_k ON d USING learned (k);
SET TimeZone = 'America/New_York';
SET DateStyle = 'ISO';
SELECT k FROM d WHERE k < '2024-03-11 04:00+00'::timestamptz AND k >= '2024-03-10 05:00+00'::timestamptz;
SELECT k FROM d WHERE k <= '2024-03-10 00:00'::timestamp ORDER BY k DESC;
SELECT k FROM d WHERE k = 'infinity'::timestamptz;
RESET TimeZone;

-- Partial and expression indexes.
CREATE TABLE p (k int8, live bool);
INSERT INTO p SELECT g, g % 2 = 0 FROM generate_series(1, 20) g;
CREATE INDEX p_k ON p USING learned (k) WHERE live;
CREATE INDEX p_half ON p USING learned ((k / 2));
EXPLAIN (COSTS OFF) SELECT k FROM p WHERE live AND k > 15;
SELECT k FROM p WHERE live AND k > 15;
SELECT k FROM p WHERE k / 2 = 7 ORDER BY k / 2;
DROP INDEX p_half;
-- Rows outside the predicate may come.
INSERT INTO p VALUES (99, false);
SELECT count(*) FROM p WHERE live AND k > 0;

DROP TABLE t, f, d, p;
