\set VERBOSITY default
-- CREATE UNIQUE INDEX: what is a duplicate, and what is not. (The warning of versions before 18 is
-- tested elsewhere.)
SET client_min_messages = error;
CREATE TABLE t (k int8, f float8, d date, note text);
INSERT INTO t SELECT g, g / 4.0, date '2024-01-01' + g, 'x' FROM generate_series(1, 3000) g;

-- In order, and not in order.
CREATE UNIQUE INDEX t_k ON t USING learned (k);
CREATE UNIQUE INDEX t_f ON t USING learned (f DESC NULLS LAST);
SELECT indexrelid::regclass, indisunique, indnullsnotdistinct FROM pg_index WHERE indrelid = 't'::regclass ORDER BY 1;
SELECT pg_get_indexdef('t_k'::regclass);
SET enable_seqscan = off;
SELECT count(*), sum(k) FROM t WHERE k BETWEEN 1000 AND 1010;
RESET enable_seqscan;
DROP INDEX t_k, t_f;

-- A duplicate, adjacent in the table and not, in both directions, of several types.
INSERT INTO t VALUES (3000, 0.25, date '2024-01-02', 'y');
CREATE UNIQUE INDEX t_k ON t USING learned (k);
CREATE UNIQUE INDEX t_k ON t USING learned (k DESC);
CREATE UNIQUE INDEX t_f ON t USING learned (f);
CREATE UNIQUE INDEX t_f ON t USING learned (f DESC);
CREATE UNIQUE INDEX t_d ON t USING learned (d);
CREATE UNIQUE INDEX CONCURRENTLY t_k ON t USING learned (k);
DROP INDEX t_k;
CREATE INDEX t_k ON t USING learned (k);
DROP INDEX t_k;
DO $$
DECLARE
    message text; detail text; schema text; tab text; name text; state text;
BEGIN
    CREATE UNIQUE INDEX t_k ON t USING learned (k);
EXCEPTION WHEN unique_violation THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, schema = SCHEMA_NAME,
        tab = TABLE_NAME, name = CONSTRAINT_NAME, state = RETURNED_SQLSTATE;
    SET LOCAL client_min_messages = notice;
    RAISE NOTICE '%: % (%) in %.%, %', state, message, detail, schema, tab, name;
END $$;

-- Negative numbers, every type, NaN, and the zeros that are equal.
CREATE TABLE types (i2 int2, i4 int4, o oid, f4 float4, t time, ts timestamp, tz timestamptz);
SET timezone = 'UTC';
SET datestyle = 'ISO';
INSERT INTO types SELECT -5, -70000, 4000000000, -1.5, '12:34:56', '1999-12-31 23:59:59', '2001-02-03 04:05:06+00' FROM generate_series(1, 2);
CREATE UNIQUE INDEX ON types USING learned (i2);
CREATE UNIQUE INDEX ON types USING learned (i4 DESC);
CREATE UNIQUE INDEX ON types USING learned (o);
CREATE UNIQUE INDEX ON types USING learned (f4);
CREATE UNIQUE INDEX ON types USING learned (t);
CREATE UNIQUE INDEX ON types USING learned (ts);
CREATE UNIQUE INDEX ON types USING learned (tz DESC);
UPDATE types SET f4 = 'NaN';
CREATE UNIQUE INDEX ON types USING learned (f4);
TRUNCATE types;
INSERT INTO types (f4) VALUES (0), ('-0');
CREATE UNIQUE INDEX ON types USING learned (f4);
DROP TABLE types;

-- NULLs.
CREATE TABLE n (k int4);
INSERT INTO n VALUES (NULL), (2), (1);
CREATE UNIQUE INDEX n_k ON n USING learned (k) NULLS NOT DISTINCT;
DROP INDEX n_k;
INSERT INTO n VALUES (NULL);
CREATE UNIQUE INDEX n_k ON n USING learned (k);
DROP INDEX n_k;
CREATE UNIQUE INDEX n_k ON n USING learned (k) NULLS NOT DISTINCT;
CREATE UNIQUE INDEX n_k ON n USING learned (k NULLS FIRST) NULLS NOT DISTINCT;
DROP TABLE n;

-- Expressions and predicates.
CREATE UNIQUE INDEX t_e ON t USING learned ((k % 1000)) WHERE k <= 1001;
CREATE UNIQUE INDEX t_e ON t USING learned ((k % 1000)) WHERE k < 1000;
CREATE UNIQUE INDEX t_p ON t USING learned (k) WHERE note = 'x';
DROP INDEX t_e, t_p;

-- Rows that are deleted, but that somebody may still see, are no duplicates.
BEGIN;
DELETE FROM t WHERE note = 'y';
INSERT INTO t SELECT * FROM t WHERE k IN (7, 8);
DELETE FROM t WHERE ctid IN (SELECT min(ctid) FROM t WHERE k IN (7, 8) GROUP BY k);
CREATE UNIQUE INDEX t_k ON t USING learned (k);
CREATE UNIQUE INDEX t_kd ON t USING learned (k DESC);
COMMIT;
SET enable_seqscan = off;
SELECT k FROM t WHERE k IN (7, 8, 3000) ORDER BY k;
RESET enable_seqscan;
DROP INDEX t_k, t_kd;
BEGIN;
INSERT INTO t (k) VALUES (9), (10);
DELETE FROM t WHERE k = 10;
CREATE UNIQUE INDEX t_k ON t USING learned (k);
ROLLBACK;

-- REINDEX checks anew.
CREATE UNIQUE INDEX t_k ON t USING learned (k);
REINDEX INDEX t_k;
REINDEX INDEX CONCURRENTLY t_k;
DROP INDEX t_k;

-- The key is described only to those who may read it.
CREATE ROLE regress_unique_reader;
GRANT CREATE ON SCHEMA public TO regress_unique_reader;
CREATE TABLE secret (k int4);
INSERT INTO secret VALUES (1), (1);
ALTER TABLE secret OWNER TO regress_unique_reader;
REVOKE ALL ON secret FROM regress_unique_reader;
SET ROLE regress_unique_reader;
CREATE UNIQUE INDEX secret_k ON secret USING learned (k);
RESET ROLE;
DROP TABLE secret;
REVOKE CREATE ON SCHEMA public FROM regress_unique_reader;
DROP ROLE regress_unique_reader;

DROP TABLE t;
