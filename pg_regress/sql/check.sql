\set VERBOSITY default
-- learned_check(): what it counts, and what it refuses.
CREATE TABLE t (k int8, id int4);
INSERT INTO t SELECT g, g FROM generate_series(1, 3000) g;
INSERT INTO t VALUES (NULL, 0);
CREATE INDEX t_k ON t USING learned (k) WITH (auto_retrain = off);
SELECT leaves, entries, dead_entries, unmerged_entries, free_pages, lost_pages FROM learned_check('t_k');
INSERT INTO t SELECT g, g FROM generate_series(5000, 5999) g;
SELECT entries, unmerged_entries, lost_pages FROM learned_check('t_k', true);
SELECT merged_rows FROM learned_retrain('t_k');
SELECT entries, unmerged_entries, lost_pages FROM learned_check('t_k', true);
DELETE FROM t WHERE id % 100 = 0;
VACUUM t;
SELECT entries, dead_entries, unmerged_entries, lost_pages FROM learned_check('t_k', heapallindexed => true);
SELECT entries FROM learned_check('t_k', verify_model => false);
TRUNCATE t;
SELECT pages, leaves, entries, free_pages FROM learned_check('t_k', true);
SELECT count(*) FROM learned_check(NULL);

-- Other orders, types, expressions, predicates, models.
INSERT INTO t SELECT (g * 7919) % 4001, g FROM generate_series(1, 4000) g;
CREATE FUNCTION double(int8) RETURNS int8 IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1 * 2; END';
CREATE INDEX t_desc ON t USING learned (k DESC NULLS LAST) WITH (model = pgm);
CREATE INDEX t_float ON t USING learned ((k / 3.0::float8)) WITH (model = rmi);
CREATE INDEX t_double ON t USING learned (double(k)) WITH (model = radix_spline);
SET client_min_messages = error;
CREATE UNIQUE INDEX t_part ON t USING learned (id) WHERE double(k) > 100;
RESET client_min_messages;
SELECT indexrelid::regclass, (learned_check(indexrelid::regclass, true)).entries
FROM pg_index WHERE indrelid = 't'::regclass ORDER BY 1;

-- Within a transaction: what it has written itself, and an index that it has built.
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO t VALUES (10000, 10000);
CREATE INDEX t_new ON t USING learned (k);
SELECT entries FROM learned_check('t_new', true);
SELECT unmerged_entries FROM learned_check('t_k', true);
ROLLBACK;

-- A table of its own kind.
CREATE TEMPORARY TABLE temporary AS SELECT g AS k FROM generate_series(1, 100) g;
CREATE INDEX temporary_k ON temporary USING learned (k);
SELECT entries FROM learned_check('temporary_k', true);
CREATE UNLOGGED TABLE unlogged AS SELECT g AS k FROM generate_series(1, 100) g;
CREATE INDEX unlogged_k ON unlogged USING learned (k);
SELECT entries FROM learned_check('unlogged_k', true);

-- Not these.
CREATE INDEX t_btree ON t (k);
SELECT learned_check('t_btree');
SELECT learned_check('t');
SELECT learned_check(1::regclass);
CREATE TABLE parted (k int4) PARTITION BY RANGE (k);
CREATE INDEX parted_k ON parted USING learned (k);
SELECT learned_check('parted_k');
-- Only the owner's, and only where that was granted.
CREATE ROLE regress_check_other;
SET ROLE regress_check_other;
SELECT learned_check('t_k');
RESET ROLE;
GRANT EXECUTE ON FUNCTION learned_check TO regress_check_other;
SET ROLE regress_check_other;
SELECT learned_check('t_k');
RESET ROLE;
ALTER TABLE t OWNER TO regress_check_other;
SET ROLE regress_check_other;
SELECT entries FROM learned_check('t_k');
RESET ROLE;
-- Expressions are evaluated as the table's owner, whoever checks.
CREATE FUNCTION who(int8) RETURNS int8 IMMUTABLE LANGUAGE plpgsql AS
    'BEGIN IF current_user <> ''regress_check_other'' THEN RAISE EXCEPTION ''run by %'', current_user; END IF; RETURN $1; END';
CREATE INDEX t_who ON t USING learned (who(k));
SELECT entries FROM learned_check('t_who', true);
SELECT current_user = session_user AS as_before;
-- An index whose build has failed: its pages can be checked, its rows cannot.
DROP INDEX t_who;
INSERT INTO t VALUES (1, 1);
SET client_min_messages = error;
CREATE UNIQUE INDEX CONCURRENTLY t_invalid ON t USING learned (k);
RESET client_min_messages;
SELECT learned_check('t_invalid', true);

DROP TABLE t, temporary, unlogged, parted;
DROP FUNCTION double, who;
DROP OWNED BY regress_check_other;
DROP ROLE regress_check_other;
