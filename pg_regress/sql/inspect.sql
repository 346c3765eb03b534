\set VERBOSITY default
-- learned_predict(), learned_segments() and learned_blocks(): what they tell, and what they refuse.
SET client_min_messages = error;
SET datestyle = 'ISO';
SET timezone = 'UTC';
CREATE TABLE t (k int8, d timestamptz, f float8, u uuid, id int4);
INSERT INTO t SELECT CASE WHEN g <= 10000 THEN g * 4 + g * 7919 % 4 ELSE g * g / 50 END, timestamptz '2024-01-01' + g * interval '1 minute', g / 7.0,
    ('00000000-0000-4000-8000-' || lpad(to_hex(g), 12, '0'))::uuid, g % 10 FROM generate_series(1, 20000) g;
CREATE INDEX t_k ON t USING learned (k) WITH (fillfactor = 10, model = pgm, auto_retrain = off);
-- Pages: they have all rows, in order.
SELECT count(*), sum(entries), sum(dead_entries), min(page), max(page) + 1 = count(*) AS numbered, count(DISTINCT block) = count(*) AS once
FROM learned_blocks('t_k');
SELECT page, entries, dead_entries, first_key, bytes_used, key_codecs, tid_codecs FROM learned_blocks('t_k', 0, 1);
SELECT page FROM learned_blocks('t_k', -5, 2);
SELECT count(*) FROM learned_blocks('t_k', 1000000);
SELECT count(*) FROM learned_blocks('t_k', 3, 1);
-- The page that a prediction names is the last that begins at or before the key, and the model is near.
SELECT count(*) AS keys, count(*) FILTER (WHERE p.page = (SELECT max(b.page) FROM learned_blocks('t_k') b WHERE b.first_key::int8 <= k)) AS right,
       count(*) FILTER (WHERE b.block = p.block) AS block, count(*) FILTER (WHERE p.page BETWEEN first_tried AND last_tried) = count(*) FILTER (WHERE path = 'model') AS window,
       max(error) <= (SELECT max(max_error) FROM learned_segments('t_k')) AS near, min(error) >= 0 AS positive
FROM (SELECT k FROM t WHERE id IN (3, 4) AND k % 7 = 0) keys, learned_predict('t_k', k) p JOIN learned_blocks('t_k') b USING (page);
SELECT predicted_page, page, error, path FROM learned_predict('t_k', 1);
SELECT predicted_page, page, error, path FROM learned_predict('t_k', NULL);
SELECT page = (SELECT max(page) FROM learned_blocks('t_k')) AS last FROM learned_predict('t_k', '9223372036854775807');
SELECT page FROM learned_predict('t_k', '-9223372036854775808'::int8);
-- Segments follow each other.
SELECT sum(pages) > 0 AS pages, bool_and(slope >= 0) AS rising FROM learned_segments('t_k');
SELECT segment, first_page, first_key FROM learned_segments('t_k') WHERE segment = 0;
SELECT count(*) = (SELECT segments FROM learned_index_stats('t_k')) AS same FROM learned_segments('t_k');
-- Where the keys were when the model was trained, and where they are.
INSERT INTO t SELECT -g FROM generate_series(1, 3000) g;
DELETE FROM t WHERE id = 5;
VACUUM (INDEX_CLEANUP on) t;
SELECT sum(entries), sum(dead_entries) FROM learned_blocks('t_k');
SELECT dead_entries, entries = (SELECT sum(entries) FROM learned_blocks('t_k')) AS entries FROM learned_check('t_k');
-- Any order and any types; values of other types are read from their texts.
CREATE INDEX t_desc ON t USING learned (k DESC NULLS LAST) WITH (model = rmi);
CREATE INDEX t_du ON t USING learned (d, u) INCLUDE (k) WITH (fillfactor = 20, model = radix_spline);
CREATE INDEX t_kf ON t USING learned (id, f DESC NULLS FIRST, k) WITH (fillfactor = 20);
CREATE INDEX t_u ON t USING learned (u) WITH (model = linear);
SELECT page, first_key FROM learned_blocks('t_desc', 0, 1);
SELECT page, first_key FROM learned_blocks('t_du', 0, 1);
SELECT page, first_key FROM learned_blocks('t_kf', 0, 1);
SELECT page, first_key FROM learned_blocks('t_u', 0, 0);
SELECT a.page = b.page AS same, a.path FROM learned_predict('t_du', '2024-01-05', NULL) a, learned_predict('t_du', date '2024-01-05', NULL::uuid) b;
SELECT path FROM learned_predict('t_kf', 3, 17.5, 123);
SELECT path FROM learned_predict('t_kf', 3::int2, 17.5::numeric, '123'::text);
SELECT path FROM learned_predict('t_u', '00000000-0000-4000-8000-000000000001');
-- Numbers of any scale, as they would be assigned to the column.
CREATE TABLE n (k numeric(10, 2));
INSERT INTO n SELECT g FROM generate_series(1, 1000) g;
CREATE INDEX n_k ON n USING learned (k);
SELECT a.path, b.path, c.path FROM learned_predict('n_k', 1.5) a, learned_predict('n_k', 3) b, learned_predict('n_k', '3.999') c;
DROP TABLE n;
SELECT bool_and(first_page BETWEEN 0 AND 100000) FROM learned_segments('t_kf');
-- The first key of a page leads to it, whatever is stored beside the key.
CREATE INDEX t_inc ON t USING learned (k) INCLUDE (id) WITH (fillfactor = 10);
SELECT count(*) > 10 AS several, count(*) FILTER (WHERE p.page <> b.page) AS wrong
FROM learned_blocks('t_inc') b, learned_predict('t_inc', b.first_key) p WHERE b.page > 0 AND first_key <> 'NULL';
-- NULLs first and last, and nothing but these.
CREATE TABLE n (k int4);
INSERT INTO n SELECT CASE WHEN g % 2 = 0 THEN g END FROM generate_series(1, 6000) g;
CREATE INDEX n_first ON n USING learned (k NULLS FIRST) WITH (fillfactor = 10);
CREATE INDEX n_last ON n USING learned (k) WITH (fillfactor = 10);
SELECT first_key IS NULL AS none, first_key = 'NULL' AS is_null, sum(entries) FROM learned_blocks('n_first') GROUP BY 1, 2 ORDER BY min(page);
SELECT first_key = 'NULL' AS is_null, sum(entries) FROM learned_blocks('n_last') GROUP BY 1 ORDER BY min(page);
SELECT b.first_key, p.error FROM learned_predict('n_first', 2) p JOIN learned_blocks('n_first') b USING (page);
SELECT path, p.page = (SELECT max(page) FROM learned_blocks('n_first') WHERE first_key = 'NULL') AS page FROM learned_predict('n_first', NULL) p;
SELECT path, p.page = (SELECT max(page) FROM learned_blocks('n_last')) AS page FROM learned_predict('n_last', NULL) p;
-- Without pages there is nothing to tell.
CREATE TABLE empty (k int4);
CREATE INDEX empty_k ON empty USING learned (k);
INSERT INTO empty VALUES (1);
SELECT count(*) FROM learned_predict('empty_k', 1);
SELECT count(*) FROM learned_segments('empty_k');
SELECT count(*) FROM learned_blocks('empty_k');
SELECT count(*) FROM learned_predict(NULL, 1);
SELECT count(*) FROM learned_segments(NULL);
SELECT count(*) FROM learned_blocks(NULL);

-- Not these keys.
SELECT learned_predict('t_k', 1, 2);
SELECT learned_predict('t_du', '2024-01-05');
SELECT learned_predict('t_k', VARIADIC ARRAY[1]);
SELECT learned_predict('t_k', 'one');
SELECT learned_predict('t_k', 1.5);
SELECT learned_predict('t_k', '9223372036854775808');
SELECT learned_predict('t_k');
-- Not these indexes.
CREATE INDEX t_btree ON t (k);
CREATE TABLE parted (k int4) PARTITION BY RANGE (k);
CREATE INDEX parted_k ON parted USING learned (k);
SELECT learned_predict('t_btree', 1);
SELECT learned_segments('t');
SELECT learned_blocks('parted_k');
SELECT learned_blocks(4294967295);
INSERT INTO t (k) VALUES (1);
CREATE UNIQUE INDEX CONCURRENTLY t_invalid ON t USING learned (k);
SELECT learned_segments('t_invalid');
DROP INDEX t_invalid;
-- Only the owner's, and only where that was granted: keys are shown.
CREATE ROLE regress_inspect_other;
GRANT pg_monitor TO regress_inspect_other;
SET ROLE regress_inspect_other;
SELECT learned_predict('t_k', 1);
SELECT learned_segments('t_k');
SELECT learned_blocks('t_k');
RESET ROLE;
GRANT EXECUTE ON FUNCTION learned_predict, learned_segments, learned_blocks TO regress_inspect_other;
SET ROLE regress_inspect_other;
SELECT learned_predict('t_k', 1);
SELECT learned_segments('t_k');
SELECT learned_blocks('t_k');
RESET ROLE;
ALTER TABLE empty OWNER TO regress_inspect_other;
SET ROLE regress_inspect_other;
SELECT count(*) FROM learned_blocks('empty_k');
RESET ROLE;
BEGIN READ ONLY;
SELECT count(*) > 0 AS pages FROM learned_blocks('t_k');
COMMIT;

SELECT oid::regprocedure, pg_get_function_result(oid), obj_description(oid) FROM pg_proc
WHERE proname IN ('learned_predict', 'learned_segments', 'learned_blocks') ORDER BY 1 \gx
DROP TABLE t, n, empty, parted;
DROP OWNED BY regress_inspect_other;
DROP ROLE regress_inspect_other;
