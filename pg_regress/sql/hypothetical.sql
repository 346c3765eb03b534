-- learned_explain(): for whom it works, and what it refuses.
SET client_min_messages = error;
CREATE TABLE t (k int8, "Id" int4, note text);
INSERT INTO t SELECT g, g, 'x' FROM generate_series(1, 3000) g;
VACUUM ANALYZE t;
SELECT learned_explain('SELECT * FROM t WHERE k = 5', 'CREATE INDEX ON t USING learned (k)', costs => false);
SELECT learned_explain('SELECT * FROM t WHERE "Id" = 5', 'CREATE INDEX "my Index" ON public.t USING learned ("Id")', costs => false);
SELECT learned_explain('SELECT * FROM t WHERE k = 5', 'CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t USING learned (k) WITH (fillfactor = 50)', verbose => true, costs => false);
-- Several in a transaction; nothing is locked but for reading, and nothing stays.
BEGIN;
SELECT learned_explain('SELECT k FROM t ORDER BY k LIMIT 1', 'CREATE INDEX ON t USING learned (k)', costs => false);
SELECT learned_explain('DELETE FROM t WHERE k = 5', 'CREATE INDEX ON t USING learned (k)', costs => false);
SELECT relation::regclass, mode FROM pg_locks WHERE relation IN (SELECT oid FROM pg_class WHERE relname LIKE '%hypo%' OR relname = 't');
SELECT count(*) FROM t;
COMMIT;
SELECT relname FROM pg_class WHERE relname ~ 'hypothetical';
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE k = 5;
-- An empty table, and one that is too long a name.
CREATE TABLE abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyzä (k int8);
SELECT learned_explain('SELECT k FROM abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyzä ORDER BY k LIMIT 1', 'CREATE INDEX ON abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyzä USING learned (k)', costs => false);
-- A materialized view, and a partition.
CREATE MATERIALIZED VIEW m AS SELECT * FROM t;
ANALYZE m;
SELECT learned_explain('SELECT * FROM m WHERE k = 5', 'CREATE INDEX ON m USING learned (k)', costs => false);
CREATE TABLE parted (k int8, id int4) PARTITION BY RANGE (k);
CREATE TABLE part (id int4, k int8);
ALTER TABLE parted ATTACH PARTITION part FOR VALUES FROM (0) TO (10000);
INSERT INTO parted SELECT g, g FROM generate_series(1, 3000) g;
ANALYZE parted;
SELECT learned_explain('SELECT * FROM parted WHERE k = 5', 'CREATE INDEX ON part USING learned (k)', costs => false);
SELECT learned_explain('SELECT * FROM parted WHERE k = 5', 'CREATE INDEX ON parted USING learned (k)');

-- What it refuses.
SELECT learned_explain('EXPLAIN ANALYZE SELECT 1', 'CREATE INDEX ON t USING learned (k)');
SELECT learned_explain('ANALYZE t', 'CREATE INDEX ON t USING learned (k)');
SELECT learned_explain('SELECT 1; DROP TABLE t', 'CREATE INDEX ON t USING learned (k)');
SELECT learned_explain('', 'CREATE INDEX ON t USING learned (k)');
SELECT learned_explain('ANALYZE) SELECT (1', 'CREATE INDEX ON t USING learned (k)');
SELECT learned_explain('SELECT 1', 'CREATE INDEX ON t (k)');
SELECT learned_explain('SELECT 1', 'DROP TABLE t');
SELECT learned_explain('SELECT 1', 'CREATE INDEX ON t USING learned (k); DROP TABLE t');
SELECT learned_explain('SELECT 1', 'CREATE INDEX ON nothing USING learned (k)');
SELECT learned_explain('SELECT 1', 'CREATE INDEX ON pg_stats USING learned (tablename)');
SELECT learned_explain('SELECT 1', 'CREATE INDEX ON t USING learned (note)');
SELECT learned_explain('SELECT 1', 'CREATE INDEX ON t USING learned (nothing)');
SELECT learned_explain('SELECT 1', 'CREATE UNIQUE INDEX ON t USING learned ((k / 2))');
SELECT learned_explain('SELECT nothing', 'CREATE INDEX ON t USING learned (k)');
SELECT learned_explain('SELECT $1', 'CREATE INDEX ON t USING learned (k)');
SELECT count(*) FROM learned_explain(NULL, 'CREATE INDEX ON t USING learned (k)');
BEGIN READ ONLY;
SELECT learned_explain('SELECT 1', 'CREATE INDEX ON t USING learned (k)');
ROLLBACK;

-- Anybody may ask who may read the columns of the index.
CREATE ROLE regress_explain;
GRANT SELECT (k) ON t TO regress_explain;
SET ROLE regress_explain;
SELECT learned_explain('SELECT k FROM t WHERE k = 5', 'CREATE INDEX ON t USING learned (k)', costs => false);
SELECT learned_explain('SELECT k FROM t WHERE k = 5', 'CREATE INDEX ON t USING learned ("Id")');
SELECT learned_explain('SELECT * FROM t WHERE k = 5', 'CREATE INDEX ON t USING learned (k)');
RESET ROLE;
-- Nothing in the search path changes what it does.
CREATE SCHEMA regress_explain_path;
CREATE TABLE regress_explain_path.pg_class (oid oid);
CREATE FUNCTION regress_explain_path.quote_ident(name) RETURNS text LANGUAGE sql AS 'SELECT 1/0 || ''''';
SET search_path = regress_explain_path, public, pg_catalog;
SELECT learned_explain('SELECT * FROM t WHERE k = 5', 'CREATE INDEX ON t USING learned (k)', costs => false);
RESET search_path;
DROP SCHEMA regress_explain_path CASCADE;
DROP MATERIALIZED VIEW m;
DROP TABLE t, parted, abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyzä;
DROP ROLE regress_explain;
