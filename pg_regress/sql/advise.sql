\set VERBOSITY default
-- learned_advise(): which B-trees a learned index could replace, and whom it tells.
SET client_min_messages = error;
CREATE TABLE t (id int8 PRIMARY KEY, k int8, s text, n numeric, d timestamptz, f float8, u uuid, v uuid, w uuid,
    code int4 CONSTRAINT t_code UNIQUE, EXCLUDE USING btree (k WITH =));
INSERT INTO t SELECT g, g, g::text, g, timestamptz '2024-01-01' + g * interval '1 s', g, gen_random_uuid(), NULL, NULL, g
FROM generate_series(1, 5000) g;
CREATE INDEX t_d ON t (d DESC);
CREATE INDEX t_s ON t (s);
CREATE INDEX t_n ON t (n, k);
CREATE INDEX t_include ON t (k) INCLUDE (s);
CREATE INDEX t_wide ON t (u, v, w);
CREATE INDEX t_f ON t (f) INCLUDE (d) WITH (fillfactor = 70) WHERE k > 10;
CREATE INDEX t_f_k ON t (f, k);
CREATE INDEX "t ""odd"" USING btree (k)" ON t ((k + 1), d);
CREATE INDEX t_opclass ON t (s text_pattern_ops);
CREATE UNIQUE INDEX t_replica ON t (id);
ALTER TABLE t REPLICA IDENTITY USING INDEX t_replica;
CREATE UNIQUE INDEX t_target ON t (id, code);
CREATE TABLE refers (id int8, code int4, FOREIGN KEY (id, code) REFERENCES t (id, code));
CREATE INDEX t_hash ON t USING hash (k);
CREATE INDEX t_learned ON t USING learned (k);
SELECT index, replaceable, remark, key_codec, entries, size > 0 AS size FROM learned_advise('t');
SELECT index, unnest(statements) FROM learned_advise('t') WHERE replaceable;
SELECT index, learned_size < size AS smaller FROM learned_advise('t') WHERE replaceable;
-- Partitions: the indexes of the whole, those of its parts, and one of a part alone.
CREATE TABLE parted (k int4) PARTITION BY RANGE (k);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (1000);
CREATE INDEX parted_k ON parted (k);
CREATE INDEX part_own ON part (k DESC);
SELECT index, replaceable, remark, size FROM learned_advise('parted');
SELECT index, replaceable, remark, statements FROM learned_advise('part');
-- Other tables: without indexes, temporary, with values that a learned index cannot hold.
CREATE TABLE bare (k int4);
SELECT * FROM learned_advise('bare');
CREATE TEMPORARY TABLE temporary AS SELECT g AS k FROM generate_series(1, 100) g;
CREATE INDEX temporary_k ON temporary (k);
SELECT index, replaceable, entries FROM learned_advise('temporary');
CREATE MATERIALIZED VIEW m AS SELECT g AS k FROM generate_series(1, 100) g;
CREATE INDEX m_k ON m (k);
SELECT index, replaceable, entries FROM learned_advise('m');
SELECT index, replaceable, remark FROM learned_advise('pg_am');
-- Not these.
CREATE VIEW v AS SELECT 1 AS k;
SELECT learned_advise('v');
SELECT learned_advise('t_d');
SELECT learned_advise(4294967295);
SELECT count(*) FROM learned_advise(NULL);
-- To whom.
CREATE ROLE regress_advise_other;
SET ROLE regress_advise_other;
SELECT learned_advise('t');
RESET ROLE;
GRANT pg_monitor TO regress_advise_other;
SET ROLE regress_advise_other;
SELECT count(*) FROM learned_advise('bare');
RESET ROLE;
REVOKE pg_monitor FROM regress_advise_other;
ALTER TABLE bare OWNER TO regress_advise_other;
SET ROLE regress_advise_other;
SELECT count(*) FROM learned_advise('bare');
RESET ROLE;
BEGIN READ ONLY;
SELECT count(*) FROM learned_advise('t');
COMMIT;
-- Names in the search path change nothing.
CREATE SCHEMA regress_advise_path;
CREATE TABLE regress_advise_path.pg_index (indexrelid oid);
SET search_path = regress_advise_path, pg_catalog, public;
SELECT pg_catalog.count(*) FROM public.learned_advise('public.t');
RESET search_path;
SELECT pg_get_function_result('learned_advise'::regproc), obj_description('learned_advise(regclass)'::regprocedure);
DROP SCHEMA regress_advise_path CASCADE;
-- Classes, and values of variable width.
CREATE TABLE classes (c cidr, n numeric(12, 2), d numeric, i inet);
CREATE INDEX classes_c ON classes (c cidr_ops);
CREATE INDEX classes_n ON classes (n, i);
CREATE INDEX classes_d ON classes (d);
SELECT index, replaceable, remark, learned_size, statements[1] FROM learned_advise('classes');
CREATE TEMPORARY TABLE passing (k int4);
CREATE INDEX passing_k ON passing (k);
SELECT replaceable, remark, statements FROM learned_advise('passing');
DROP TABLE classes, passing;
DROP VIEW v;
DROP MATERIALIZED VIEW m;
DROP TABLE refers, t, parted, bare, temporary;
DROP ROLE regress_advise_other;
