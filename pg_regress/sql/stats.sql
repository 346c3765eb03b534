\set VERBOSITY default
-- learned_index_stats() and the view learned_indexes: what they tell, of which indexes, and to whom.
SET client_min_messages = error;
-- All but times.
\set figures 'size, pages, leaf_pages, directory_pages, model_pages, delta_pages, other_pages, entries, unmerged_entries, merge_threshold, merge_due, merging, bytes_per_entry, btree_size, model, segments, model_bytes, avg_error, max_error, generation, last_merge_cause, last_merge_entries'
\set times 'last_merge BETWEEN last_training AND clock_timestamp() AND last_merge_time >= last_training_time AS last_merge, last_training BETWEEN pg_postmaster_start_time() AND clock_timestamp() AND last_training_time >= 0 AS last_training'
CREATE TABLE t (k int8, id int4);
INSERT INTO t SELECT g, g FROM generate_series(1, 3000) g;
INSERT INTO t VALUES (NULL, 0);
CREATE INDEX t_k ON t USING learned (k) WITH (auto_retrain = off);
SELECT :figures FROM learned_index_stats('t_k') \gx
SELECT :times FROM learned_index_stats('t_k');
-- Rows that wait, and a merge.
INSERT INTO t SELECT g, g FROM generate_series(5000, 5999) g;
SELECT leaf_pages, delta_pages, other_pages, entries, unmerged_entries, merge_threshold, merge_due, merging, generation
FROM learned_index_stats('t_k');
SELECT merged_rows FROM learned_retrain('t_k');
SELECT leaf_pages, delta_pages, other_pages, entries, unmerged_entries, merge_due, merging, generation
FROM learned_index_stats('t_k');
SELECT last_merge_cause, last_merge_entries, :times FROM learned_index_stats('t_k');
-- An empty index, an emptied one, and one whose rows are in its delta tree alone.
CREATE TABLE empty (k int4);
CREATE INDEX empty_k ON empty USING learned (k);
SELECT :figures FROM learned_index_stats('empty_k') \gx
SELECT :times FROM learned_index_stats('empty_k');
INSERT INTO empty VALUES (1), (NULL);
SELECT pages, leaf_pages, delta_pages, entries, unmerged_entries, btree_size FROM learned_index_stats('empty_k');
TRUNCATE empty;
SELECT pages, leaf_pages, delta_pages, entries, unmerged_entries FROM learned_index_stats('empty_k');
-- Agreement with the index's own check and the file, over kinds of indexes.
CREATE INDEX t_desc ON t USING learned (k DESC NULLS LAST, id) WITH (model = pgm);
CREATE INDEX t_float ON t USING learned ((k / 3.0::float8)) WITH (model = rmi, fillfactor = 20);
CREATE INDEX t_part ON t USING learned (id) INCLUDE (k) WHERE k > 100;
CREATE TEMPORARY TABLE temporary AS SELECT g AS k FROM generate_series(1, 100) g;
CREATE INDEX temporary_k ON temporary USING learned (k);
CREATE UNLOGGED TABLE unlogged AS SELECT g AS k FROM generate_series(1, 100) g;
CREATE INDEX unlogged_k ON unlogged USING learned (k);
SELECT indexrelname, model, s.entries, s.leaf_pages = c.leaves AS leaves, s.entries = c.entries AS same,
       s.unmerged_entries = c.unmerged_entries AS unmerged, s.pages = c.pages AS pages, s.size = pg_relation_size(indexrelid) AS size,
       s.pages = 1 + leaf_pages + directory_pages + model_pages + delta_pages + other_pages AS sum
FROM learned_indexes s, learned_check(indexrelid) c ORDER BY 1;
-- The view beside pg_stat_user_indexes, which has the same names.
SELECT v.relname, v.indexrelname, v.schemaname = s.schemaname AS schema, valid, v.generation, v.size > 0 AS has_size
FROM learned_indexes v JOIN pg_stat_user_indexes s USING (relid, indexrelid) ORDER BY 2;

-- Not these.
CREATE INDEX t_btree ON t (k);
SELECT learned_index_stats('t_btree');
SELECT learned_index_stats('t');
SELECT learned_index_stats('pg_class');
SELECT learned_index_stats(4294967295);
CREATE TABLE parted (k int4) PARTITION BY RANGE (k);
CREATE INDEX parted_k ON parted USING learned (k);
SELECT learned_index_stats('parted_k');
SELECT count(*) FROM learned_index_stats(NULL);
-- Where it is lenient it has no row for them.
SELECT i, count(s) FROM unnest('{t_k, t_btree, t, parted_k, 4294967295}'::regclass[]) i LEFT JOIN LATERAL learned_index_stats(i, true) s ON true
GROUP BY i ORDER BY i::oid;
-- An index whose build has failed, with its pages and without.
INSERT INTO t VALUES (1, 1);
CREATE UNIQUE INDEX CONCURRENTLY t_invalid ON t USING learned (k);
SELECT learned_index_stats('t_invalid');
SELECT valid, pages FROM learned_indexes WHERE indexrelname = 't_invalid';
DROP INDEX t_invalid;

-- To whom: owners, and who may watch over the server.
CREATE ROLE regress_stats_owner;
CREATE ROLE regress_stats_other;
CREATE ROLE regress_stats_monitor;
GRANT pg_monitor TO regress_stats_monitor;
ALTER TABLE unlogged OWNER TO regress_stats_owner;
SET ROLE regress_stats_other;
SELECT learned_index_stats('unlogged_k');
SELECT count(*) FROM learned_index_stats('unlogged_k', true);
SELECT count(*) FROM learned_indexes;
SET ROLE regress_stats_owner;
SELECT entries FROM learned_index_stats('unlogged_k');
SELECT indexrelname, entries FROM learned_indexes;
SELECT learned_index_stats('t_k');
SET ROLE regress_stats_monitor;
SELECT entries FROM learned_index_stats('unlogged_k');
SELECT count(*) FROM learned_indexes;
-- Counters, which no index has here: to the same, and set to 0 by owners who may call the function.
SELECT count(*) FROM learned_index_counters('unlogged_k');
SELECT count(*), count(scans) FROM learned_index_activity;
SELECT learned_reset_counters('unlogged_k');
SET ROLE regress_stats_owner;
SELECT indexrelname, scans FROM learned_index_activity;
SELECT learned_index_counters('t_k');
SELECT count(*) FROM learned_index_counters('t_k', true);
SELECT learned_reset_counters('unlogged_k');
RESET ROLE;
GRANT EXECUTE ON FUNCTION learned_reset_counters TO regress_stats_owner;
SET ROLE regress_stats_owner;
SELECT learned_reset_counters('unlogged_k');
SELECT learned_reset_counters('t_k');
SELECT learned_index_counters('t');
-- Nothing in the search path changes what the view does.
RESET ROLE;
CREATE SCHEMA regress_stats_path;
CREATE FUNCTION regress_stats_path.pg_has_role(name, text) RETURNS bool LANGUAGE sql AS 'SELECT 1/0 = 1';
CREATE FUNCTION regress_stats_path.learned_index_stats(oid, bool) RETURNS int4 LANGUAGE sql AS 'SELECT 1/0';
CREATE TABLE regress_stats_path.pg_class (oid oid);
SET search_path = regress_stats_path, pg_catalog, public;
SELECT pg_catalog.count(*) FROM public.learned_indexes;
RESET search_path;
-- They are read without writing.
BEGIN READ ONLY;
SELECT entries FROM learned_index_stats('t_k');
SELECT count(*) FROM learned_indexes;
COMMIT;

\d learned_indexes
\d learned_index_activity
SELECT obj_description('learned_index_stats(regclass,bool)'::regprocedure), obj_description('learned_indexes'::regclass);
DROP TABLE t, empty, temporary, unlogged, parted;
DROP SCHEMA regress_stats_path CASCADE;
REVOKE EXECUTE ON FUNCTION learned_reset_counters FROM regress_stats_owner;
DROP ROLE regress_stats_owner, regress_stats_other, regress_stats_monitor;
