\set VERBOSITY default
-- Declarations around a learned index: what works, what is refused, and what it says.
SET client_min_messages = error;
CREATE TABLE t (k int4, v int4, note text);
INSERT INTO t SELECT g, -g, g FROM generate_series(1, 100) g;
-- Only B-trees can be UNIQUE constraints and primary keys; any ordered index can be one of EXCLUDE.
CREATE UNIQUE INDEX t_k ON t USING learned (k);
ALTER TABLE t ADD CONSTRAINT t_unique UNIQUE USING INDEX t_k;
ALTER TABLE t ADD CONSTRAINT t_primary PRIMARY KEY USING INDEX t_k;
ALTER TABLE t ADD CONSTRAINT t_excluded EXCLUDE USING learned (v WITH =);
INSERT INTO t VALUES (1001, -1, 'excluded');
ALTER TABLE t DROP CONSTRAINT t_excluded;
ALTER TABLE t ADD CONSTRAINT t_excluded EXCLUDE USING learned (k WITH <>);
ALTER TABLE t ADD CONSTRAINT t_excluded EXCLUDE USING learned (k WITH =, v WITH =);
ALTER TABLE t ADD EXCLUDE USING learned (v WITH =) WHERE (v < 0) DEFERRABLE INITIALLY DEFERRED;
BEGIN;
INSERT INTO t VALUES (1000, -1, 'excluded at the end');
COMMIT;
ALTER TABLE t DROP CONSTRAINT t_v_excl;
-- An operator class that is another's, or nobody's; a collation, which numbers have none of.
CREATE INDEX ON t USING learned (k int8_ops);
CREATE INDEX ON t USING learned (k no_such_ops);
CREATE INDEX ON t USING learned (k COLLATE "C");
CREATE INDEX ON t USING learned (note);
CREATE INDEX ON t USING learned (k, v);
CREATE INDEX ON t USING learned (k) INCLUDE (v);
CREATE INDEX ON t USING learned (ctid);
CREATE INDEX ON t USING learned (tableoid);
CREATE INDEX ON t USING learned (no_such_column);
-- Expressions and predicates must not change.
CREATE INDEX ON t USING learned ((random() * k));
CREATE INDEX ON t USING learned ((extract(epoch FROM now())::float8));
CREATE INDEX ON t USING learned ((k::text));
CREATE INDEX ON t USING learned (k) WHERE random() > 0.5;
CREATE INDEX t_k ON t USING learned (k);
CREATE INDEX IF NOT EXISTS t_k ON t USING learned (k);
-- CLUSTER, by the index and again.
CREATE INDEX t_v ON t USING learned (v);
CLUSTER t USING t_v;
SELECT min(k) FILTER (WHERE ctid = '(0,1)') AS first_row FROM t;
CLUSTER t;
ALTER TABLE t SET WITHOUT CLUSTER;
CREATE INDEX t_partial ON t USING learned (v) WHERE v < -10;
CLUSTER t USING t_partial;
-- REPLICA IDENTITY takes a unique index on a column that is never NULL.
ALTER TABLE t REPLICA IDENTITY USING INDEX t_v;
ALTER TABLE t REPLICA IDENTITY USING INDEX t_k;
ALTER TABLE t ALTER k SET NOT NULL;
ALTER TABLE t REPLICA IDENTITY USING INDEX t_k;
\d t
ALTER TABLE t REPLICA IDENTITY DEFAULT;
-- Names, comments, table spaces, statistics.
ALTER INDEX t_v RENAME TO t_renamed;
COMMENT ON INDEX t_renamed IS 'a comment';
SELECT obj_description('t_renamed'::regclass);
ALTER INDEX t_renamed SET TABLESPACE pg_default;
ALTER INDEX t_renamed ALTER COLUMN 1 SET STATISTICS 100;
CREATE INDEX t_expression ON t USING learned ((k + v));
ALTER INDEX t_expression ALTER COLUMN 1 SET STATISTICS 100;
ANALYZE t;
SELECT n_distinct FROM pg_stats WHERE tablename = 't_expression';
DROP INDEX t_renamed, t_expression, t_partial;
-- ALTER TYPE: to a wider one, to another order, to one that cannot be indexed.
ALTER TABLE t ALTER k TYPE int8;
SET enable_seqscan = off;
SELECT k FROM t WHERE k BETWEEN 3 AND 5 ORDER BY k;
ALTER TABLE t ALTER k TYPE float4 USING -k;
SELECT k FROM t WHERE k BETWEEN -5 AND -3 ORDER BY k;
ALTER TABLE t ALTER k TYPE oid USING (-k)::int8::oid;
SELECT k FROM t WHERE k BETWEEN 3 AND 5 ORDER BY k;
ALTER TABLE t ALTER k TYPE numeric USING k::text::numeric;
ALTER TABLE t ALTER k TYPE text;
SELECT pg_get_indexdef('t_k'::regclass);
-- Rewriting the table for another column leaves the index as it was.
ALTER TABLE t ADD added int8 DEFAULT random() * 1000;
ALTER TABLE t SET UNLOGGED;
SELECT relpersistence FROM pg_class WHERE relname = 't_k';
ALTER TABLE t SET LOGGED;
SELECT k FROM t WHERE k BETWEEN 3 AND 5 ORDER BY k;
DROP TABLE t;
-- Domains, enums, arrays and ranges: by what they are made of.
CREATE DOMAIN degrees AS float8 CHECK (VALUE BETWEEN -90 AND 90);
CREATE DOMAIN label AS text;
CREATE TABLE kinds (d degrees, l label, e int4[], r int4range, i bit(3), c regclass, x xid, b bytea);
CREATE INDEX kinds_d ON kinds USING learned (d);
INSERT INTO kinds (d) VALUES (12.5), (-3);
INSERT INTO kinds (d) VALUES (91);
SELECT d FROM kinds WHERE d < 20 ORDER BY d;
CREATE INDEX ON kinds USING learned (l);
CREATE INDEX ON kinds USING learned (e);
CREATE INDEX ON kinds USING learned (r);
CREATE INDEX ON kinds USING learned (i);
CREATE INDEX ON kinds USING learned (x);
CREATE INDEX ON kinds USING learned (b);
-- One that is binary compatible with a type that can.
CREATE INDEX kinds_c ON kinds USING learned (c oid_ops);
INSERT INTO kinds (c) VALUES ('pg_class'), ('pg_type');
SELECT c FROM kinds WHERE c = 'pg_class'::regclass;
DROP TABLE kinds;
DROP DOMAIN degrees, label;
-- Generated columns and identities.
CREATE TABLE g (id int4 GENERATED ALWAYS AS IDENTITY, k int4, doubled int8 GENERATED ALWAYS AS (k * 2) STORED);
CREATE INDEX g_id ON g USING learned (id);
CREATE INDEX g_doubled ON g USING learned (doubled);
INSERT INTO g (k) VALUES (1), (2), (3);
UPDATE g SET k = 10 WHERE k = 2;
SELECT id, doubled FROM g WHERE doubled > 3 ORDER BY doubled;
DROP TABLE g;
-- An expression whose function fails: the statement does, and leaves nothing behind.
CREATE FUNCTION checked(k int4) RETURNS int4 IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    IF k = 13 THEN
        RAISE EXCEPTION 'not this one: %', k USING DETAIL = 'a detail', HINT = 'a hint', COLUMN = 'k';
    END IF;
    RETURN -k;
END $$;
CREATE TABLE e (k int4);
INSERT INTO e SELECT generate_series(1, 20);
CREATE INDEX e_checked ON e USING learned (checked(k));
CREATE INDEX e_divided ON e USING learned ((100 / (k - 5)));
CREATE INDEX CONCURRENTLY e_checked ON e USING learned (checked(k));
DROP INDEX e_checked;
DELETE FROM e WHERE k = 13;
CREATE INDEX e_checked ON e USING learned (checked(k));
INSERT INTO e VALUES (13);
UPDATE e SET k = 13 WHERE k = 12;
SELECT k FROM e WHERE checked(k) BETWEEN -15 AND -11 ORDER BY checked(k);
-- One that catches an error of its own, and then fails with another.
CREATE OR REPLACE FUNCTION checked(k int4) RETURNS int4 IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        RETURN 1 / (k - k);
    EXCEPTION WHEN division_by_zero THEN
        NULL;
    END;
    RETURN k / (k - k);
END $$;
REINDEX INDEX e_checked;
DROP TABLE e;
DROP FUNCTION checked;
-- Savepoints, TRUNCATE and indexes that are rolled back.
CREATE TABLE s (k int4);
CREATE INDEX s_k ON s USING learned (k);
INSERT INTO s SELECT generate_series(1, 5);
BEGIN;
SAVEPOINT a;
INSERT INTO s VALUES (6);
SAVEPOINT b;
TRUNCATE s;
INSERT INTO s VALUES (7);
SELECT k FROM s WHERE k > 0 ORDER BY k;
ROLLBACK TO b;
SELECT k FROM s WHERE k > 0 ORDER BY k;
ROLLBACK TO a;
SELECT k FROM s WHERE k > 0 ORDER BY k;
CREATE INDEX s_other ON s USING learned (k DESC);
INSERT INTO s VALUES (8);
ROLLBACK TO a;
REINDEX INDEX s_k;
INSERT INTO s VALUES (9);
DROP INDEX s_k;
ROLLBACK TO a;
INSERT INTO s VALUES (10);
COMMIT;
SELECT k FROM s WHERE k > 0 ORDER BY k;
BEGIN;
TRUNCATE s;
COMMIT;
SELECT k FROM s WHERE k > 0 ORDER BY k;
DROP TABLE s;
-- Inheritance: each table has indexes of its own.
CREATE TABLE parent (k int4);
CREATE TABLE child () INHERITS (parent);
CREATE INDEX parent_k ON parent USING learned (k);
CREATE INDEX child_k ON child USING learned (k);
INSERT INTO parent VALUES (1), (3);
INSERT INTO child VALUES (2), (4);
EXPLAIN (COSTS OFF) SELECT k FROM parent WHERE k > 1 ORDER BY k;
SELECT k FROM parent WHERE k > 1 ORDER BY k;
DROP TABLE parent, child;
-- Partitions: indexes are made, attached and dropped with them.
CREATE TABLE parted (k int4, v int4) PARTITION BY RANGE (k);
CREATE TABLE part1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE INDEX parted_v ON parted USING learned (v);
CREATE TABLE part2 PARTITION OF parted FOR VALUES FROM (10) TO (20);
CREATE TABLE part3 (k int4, v int4);
CREATE INDEX part3_own ON part3 USING learned (v);
ALTER TABLE parted ATTACH PARTITION part3 FOR VALUES FROM (20) TO (30);
CREATE TABLE part4 (k int4, v int4);
CREATE INDEX part4_b ON part4 USING btree (v);
ALTER TABLE parted ATTACH PARTITION part4 FOR VALUES FROM (30) TO (40);
SELECT inhrelid::regclass, amname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid JOIN pg_am a ON a.oid = relam
WHERE inhparent = 'parted_v'::regclass ORDER BY inhrelid::regclass::text COLLATE "C";
INSERT INTO parted SELECT g, 100 - g FROM generate_series(0, 39) g;
SELECT k, v FROM parted WHERE v BETWEEN 88 AND 92 ORDER BY v;
CREATE INDEX parted_only ON ONLY parted USING learned (k);
SELECT indisvalid FROM pg_index WHERE indexrelid = 'parted_only'::regclass;
CREATE INDEX part1_k ON part1 USING learned (k);
CREATE INDEX part1_b ON part1 USING btree (k);
ALTER INDEX parted_only ATTACH PARTITION part1_b;
ALTER INDEX parted_only ATTACH PARTITION part1_k;
DROP INDEX part1_k;
ALTER TABLE parted DETACH PARTITION part2;
DELETE FROM parted WHERE k = 5;
UPDATE parted SET k = 5 WHERE k = 25;
SELECT tableoid::regclass, v FROM parted WHERE v = 75;
CREATE INDEX CONCURRENTLY ON parted USING learned (k);
REINDEX INDEX parted_v;
ALTER INDEX parted_v SET (fillfactor = 50);
-- Before PostgreSQL 18 unique indexes of partitioned tables are for B-trees.
CREATE FUNCTION outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END $$;
SELECT outcome('CREATE UNIQUE INDEX parted_u ON parted USING learned (k)')
    = CASE WHEN current_setting('server_version_num')::int4 >= 180000 THEN 'done'
           ELSE 'cannot match partition key to an index using access method "learned"' END AS as_documented;
DROP TABLE parted, part2;
-- So are targets of foreign keys.
CREATE TABLE target (k int4 NOT NULL);
CREATE UNIQUE INDEX target_k ON target USING learned (k);
CREATE TABLE referencing (k int4);
SELECT outcome('ALTER TABLE referencing ADD FOREIGN KEY (k) REFERENCES target (k)')
    = CASE WHEN current_setting('server_version_num')::int4 >= 180000 THEN 'done'
           ELSE 'only b-tree indexes are supported for foreign keys' END AS as_documented;
DROP TABLE referencing, target;
-- What is not a table.
CREATE VIEW v AS SELECT 1 AS k;
CREATE MATERIALIZED VIEW m AS SELECT g AS k FROM generate_series(1, 10) g;
CREATE INDEX ON v USING learned (k);
CREATE UNIQUE INDEX m_k ON m USING learned (k);
REFRESH MATERIALIZED VIEW m;
SELECT k FROM m WHERE k > 8 ORDER BY k;
SELECT outcome('REFRESH MATERIALIZED VIEW CONCURRENTLY m')
    = CASE WHEN current_setting('server_version_num')::int4 >= 180000 THEN 'done'
           ELSE 'cannot refresh materialized view "public.m" concurrently' END AS as_documented;
CREATE INDEX ON pg_class USING learned (oid);
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE f (k int4) SERVER nowhere;
CREATE INDEX ON f USING learned (k);
DROP FOREIGN DATA WRAPPER nothing CASCADE;
DROP VIEW v;
DROP MATERIALIZED VIEW m;
DROP FUNCTION outcome;
