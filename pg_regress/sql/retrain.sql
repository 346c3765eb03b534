\set VERBOSITY default
-- learned_retrain: what it tells, of which indexes, and what it refuses.
SET client_min_messages = error;
CREATE TABLE t (k int8, note text);
-- An empty index, one with rows in its leaves, one with rows beside them.
CREATE INDEX t_k ON t USING learned (k) WITH (auto_retrain = off);
SELECT * FROM learned_retrain('t_k');
INSERT INTO t SELECT g, 'x' FROM generate_series(1, 2000) g;
SELECT * FROM learned_retrain('t_k');
SELECT * FROM learned_retrain('t_k');
INSERT INTO t VALUES (NULL, 'null'), (0, 'first'), (9999, 'last');
SELECT * FROM learned_retrain('public.t_k'::regclass);
-- By its number, and as one of many.
INSERT INTO t VALUES (-1, 'before');
SELECT merged_rows, pages FROM pg_class, learned_retrain(oid) WHERE relname = 't_k';
-- Rows that were deleted and vacuumed are not merged; those that are only deleted are.
INSERT INTO t SELECT g, 'dead' FROM generate_series(3001, 3010) g;
DELETE FROM t WHERE note = 'dead' AND k > 3005;
VACUUM (INDEX_CLEANUP on) t;
DELETE FROM t WHERE note = 'dead';
SELECT merged_rows FROM learned_retrain('t_k');
SET enable_seqscan = off;
SELECT count(*), min(k), max(k) FROM t WHERE k IS NOT NULL;
RESET enable_seqscan;
-- In a transaction that is rolled back: the merge stays, and nothing is lost.
BEGIN;
INSERT INTO t VALUES (7777, 'rolled back');
SELECT merged_rows FROM learned_retrain('t_k');
SAVEPOINT s;
INSERT INTO t VALUES (7778, 'rolled back');
SELECT merged_rows FROM learned_retrain('t_k');
ROLLBACK TO s;
SELECT k FROM t WHERE k > 7000 ORDER BY k;
ROLLBACK;
SELECT merged_rows FROM learned_retrain('t_k');
SELECT k FROM t WHERE k > 7000 ORDER BY k;
-- It changes no row, so a transaction may be read-only.
INSERT INTO t VALUES (8888, 'read only');
BEGIN READ ONLY;
SELECT merged_rows FROM learned_retrain('t_k');
COMMIT;
-- Unique, partial, descending, on an expression; temporary and unlogged.
CREATE UNIQUE INDEX t_u ON t USING learned (k DESC NULLS LAST);
CREATE INDEX t_p ON t USING learned (k) WHERE note = 'x';
CREATE INDEX t_e ON t USING learned ((k % 10));
INSERT INTO t VALUES (5001, 'x'), (5002, 'y');
SELECT i, merged_rows FROM unnest('{t_u, t_p, t_e}'::regclass[]) i, learned_retrain(i);
CREATE TEMPORARY TABLE temporary (k int4);
CREATE INDEX temporary_k ON temporary USING learned (k);
CREATE UNLOGGED TABLE unlogged (k int4);
CREATE INDEX unlogged_k ON unlogged USING learned (k);
INSERT INTO temporary VALUES (1);
INSERT INTO unlogged VALUES (1), (2);
SELECT i, merged_rows FROM unnest('{temporary_k, unlogged_k}'::regclass[]) i, learned_retrain(i);
CREATE TEMPORARY TABLE emptied (k int4) ON COMMIT DELETE ROWS;
CREATE INDEX emptied_k ON emptied USING learned (k);
BEGIN;
INSERT INTO emptied VALUES (1), (2);
SELECT merged_rows FROM learned_retrain('emptied_k');
COMMIT;
SELECT * FROM learned_retrain('emptied_k');
-- A partitioned index is none itself; those of its partitions are.
CREATE TABLE parted (k int4) PARTITION BY RANGE (k);
CREATE INDEX parted_k ON parted USING learned (k);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (10);
INSERT INTO parted VALUES (1), (2), (3);
SELECT learned_retrain('parted_k');
SELECT merged_rows FROM learned_retrain('part_k_idx');
-- What else is not a learned index.
CREATE INDEX t_b ON t USING btree (k);
CREATE VIEW v AS SELECT 1 AS k;
CREATE SEQUENCE s;
CREATE TYPE composite AS (k int4);
SELECT learned_retrain('t_b');
SELECT learned_retrain('t');
SELECT learned_retrain('v');
SELECT learned_retrain('s');
SELECT learned_retrain('composite');
SELECT learned_retrain('parted');
SELECT learned_retrain('pg_class');
SELECT learned_retrain('pg_class_oid_index');
SELECT learned_retrain('nowhere');
SELECT learned_retrain(0);
SELECT learned_retrain(4294967295);
SELECT learned_retrain(NULL);
SELECT learned_retrain();
SELECT learned_retrain('t_k', 't_u');
-- An index whose build has failed.
INSERT INTO unlogged VALUES (2);
CREATE UNIQUE INDEX CONCURRENTLY unlogged_u ON unlogged USING learned (k);
SELECT learned_retrain('unlogged_u');
SELECT indisvalid, indisready FROM pg_index WHERE indexrelid = 'unlogged_u'::regclass;
DELETE FROM unlogged WHERE ctid = (SELECT max(ctid) FROM unlogged);
REINDEX INDEX unlogged_u;
SELECT merged_rows FROM learned_retrain('unlogged_u');
-- Its catalog entry.
\df learned_retrain
SELECT obj_description('learned_retrain(regclass)'::regprocedure);
DROP VIEW v;
DROP SEQUENCE s;
DROP TYPE composite;
DROP TABLE t, temporary, unlogged, emptied, parted;
