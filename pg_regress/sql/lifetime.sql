\set VERBOSITY default
-- An index from its build to its end: every path that changes pages, small enough to run under
-- valgrind (scripts/valgrind). Answers are compared with those of sequential scans.
SET client_min_messages = error;
CREATE FUNCTION difference(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    way text;
    answer text;
    wanted text;
    different text := '';
BEGIN
    FOREACH way IN ARRAY '{seqscan, indexscan, indexonlyscan, bitmapscan}'::text[] LOOP
        PERFORM set_config('enable_' || setting, CASE WHEN setting = way THEN 'on' ELSE 'off' END, true)
        FROM unnest('{seqscan, indexscan, indexonlyscan, bitmapscan}'::text[]) setting;
        EXECUTE query INTO answer;
        IF way = 'seqscan' THEN wanted := answer;
        ELSIF answer IS DISTINCT FROM wanted THEN
            different := different || format(' %s: %s, not %s', way, answer, wanted);
        END IF;
    END LOOP;
    RETURN nullif(different, '');
END $$;
CREATE VIEW answers AS
SELECT count(*) AS asked, string_agg(query || ':' || difference(query), '; ') AS different FROM (VALUES
    ('SELECT count(*) FROM t WHERE k = 4711'),
    ('SELECT count(*) FROM t WHERE k BETWEEN 1000 AND 50000'),
    ('SELECT md5(string_agg(k::text, '','')) FROM (SELECT k FROM t WHERE k > 90000 ORDER BY k) s'),
    ('SELECT md5(string_agg(k::text, '','')) FROM (SELECT k FROM t ORDER BY k DESC NULLS LAST) s'),
    ('SELECT string_agg(k::text, '','') FROM (SELECT k FROM t WHERE k IN (7, 12345, 99999, -1) ORDER BY k) s'),
    ('SELECT count(*) FROM t WHERE k IS NULL'),
    ('SELECT min(k) || '' '' || max(k) FROM t')) q (query);

-- Built out of order, with equal keys and NULLs, by each model.
CREATE TABLE t (k int8, v int4);
INSERT INTO t SELECT nullif(g::int8 * 7919 % 100003 / 2 * 2, 500), g FROM generate_series(1, 12000) g;
CREATE INDEX t_linear ON t USING learned (k) WITH (model = linear);
DROP INDEX t_linear;
CREATE INDEX t_rmi ON t USING learned (k) WITH (model = rmi);
DROP INDEX t_rmi;
CREATE INDEX t_pgm ON t USING learned (k) WITH (model = pgm);
DROP INDEX t_pgm;
CREATE INDEX t_radix ON t USING learned (k) WITH (model = radix_spline, fillfactor = 10);
DROP INDEX t_radix;
CREATE INDEX t_k ON t USING learned (k) WITH (auto_retrain = off);
SELECT * FROM answers;

-- Rows come: the tree beside the index splits.
INSERT INTO t SELECT nullif(g::int8 * 104729 % 100003, 500), -g FROM generate_series(1, 4000) g;
INSERT INTO t SELECT 42 FROM generate_series(1, 800);
SELECT * FROM answers;

-- Some of them go, from the leaves (by mark, and by map where many go) and from the tree.
DELETE FROM t WHERE v % 97 = 0 OR k BETWEEN 20000 AND 60000 AND v % 2 = 0;
VACUUM (INDEX_CLEANUP on) t;
SELECT * FROM answers;
SELECT dead_entries > 0 AS dead, unmerged_entries > 0 AS unmerged, lost_pages FROM learned_check('t_k', heapallindexed => true);

-- Merged.
SELECT merged_rows > 0 AS merged FROM learned_retrain('t_k');
SELECT * FROM answers;
UPDATE t SET k = k + 1 WHERE v BETWEEN 100 AND 900;
SELECT merged_rows > 0 AS merged FROM learned_retrain('t_k');
DELETE FROM t WHERE k > 30000;
VACUUM (INDEX_CLEANUP on) t;
SELECT * FROM answers;
INSERT INTO t SELECT g, g FROM generate_series(200000, 202000) g;
VACUUM t;
SELECT * FROM answers;
SELECT dead_entries > 0 AS dead, unmerged_entries > 0 AS unmerged, lost_pages FROM learned_check('t_k', heapallindexed => true);

-- Positions that are marked and restored, and given up in the middle.
SET enable_seqscan = off;
SET enable_hashjoin = off;
SET enable_nestloop = off;
SET enable_sort = off;
SET enable_material = off;
SELECT count(*) FROM t a JOIN t b USING (k) WHERE a.k < 1000;
RESET ALL;
SET client_min_messages = error;
BEGIN;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
DECLARE c SCROLL CURSOR FOR SELECT k FROM t WHERE k >= 200000 ORDER BY k;
MOVE 700 FROM c;
FETCH 2 FROM c;
MOVE BACKWARD 690 FROM c;
FETCH BACKWARD 2 FROM c;
INSERT INTO t VALUES (200001, 0);
FETCH FORWARD 1 FROM c;
ROLLBACK;

-- No row twice, and errors in the middle of everything.
INSERT INTO t VALUES (1, 301), (2, 301);
CREATE UNIQUE INDEX t_u ON t USING learned (v);
DELETE FROM t a USING t b WHERE a.v = b.v AND a.ctid > b.ctid;
CREATE UNIQUE INDEX t_u ON t USING learned (v) WITH (auto_retrain = off);
INSERT INTO t SELECT g, g FROM generate_series(300000, 301000) g;
INSERT INTO t SELECT 1, CASE g WHEN 300 THEN 300500 ELSE 400000 + g END FROM generate_series(1, 400) g;
SELECT count(*) FROM t WHERE v >= 400000;
BEGIN;
INSERT INTO t VALUES (1, 500000);
SAVEPOINT s;
INSERT INTO t VALUES (1, 500000);
ROLLBACK TO s;
DELETE FROM t WHERE v = 500000;
INSERT INTO t VALUES (1, 500000);
COMMIT;
CREATE INDEX broken ON t USING learned ((10 / (v - 300123)));
SELECT learned_retrain('t');
SELECT merged_rows > 0 AS merged FROM learned_retrain('t_u');
SELECT * FROM answers;
-- How many entries of dead rows are left depends on what scans have marked.
SELECT dead_entries, unmerged_entries, lost_pages FROM learned_check('t_u', heapallindexed => true);

-- Made anew.
REINDEX INDEX CONCURRENTLY t_k;
SELECT * FROM answers;
TRUNCATE t;
SELECT * FROM answers;
INSERT INTO t SELECT g, g FROM generate_series(1, 1000) g;
SELECT * FROM answers;

-- Not logged, and of one session.
CREATE UNLOGGED TABLE u (k float8);
CREATE INDEX u_k ON u USING learned (k);
INSERT INTO u SELECT g / 8.0 FROM generate_series(1, 2000) g;
CREATE TEMP TABLE l (k timestamptz);
INSERT INTO l SELECT '2024-01-01 00:00+00'::timestamptz + g * interval '1 hour' FROM generate_series(1, 2000) g;
CREATE INDEX l_k ON l USING learned (k DESC NULLS LAST);
INSERT INTO l SELECT k + interval '1 minute' FROM l;
SET enable_seqscan = off;
SELECT count(*), max(k) FROM u WHERE k BETWEEN 10 AND 20;
SELECT count(*) FROM l WHERE k < '2024-02-01 00:00+00';

DROP VIEW answers;
DROP FUNCTION difference;
DROP TABLE t, u, l;
