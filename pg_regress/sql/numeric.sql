\set VERBOSITY default
-- Numbers with decimal places: an index has them in the order of a B-tree, and gives them back.
SET client_min_messages = error;
-- Every pair of a precision and a scale that an index takes has a column, and some values beside its ends.
CREATE TABLE scales (p int4, s int4);
INSERT INTO scales SELECT p, s FROM unnest('{1,2,4,5,9,17,18}'::int4[]) p, generate_series(0, 18) s;
CREATE FUNCTION differ(p int4, s int4, OUT keys int, OUT images int, OUT order_by int) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE n (k numeric(%s, %s))', p, s);
    EXECUTE format(
        'INSERT INTO n SELECT sign * (g * power(10::numeric, e - %1$s)) FROM unnest(ARRAY[1, -1]) sign,
             generate_series(0, 9) g, generate_series(0, %2$s - 1) e
         UNION ALL SELECT sign * (power(10::numeric, %2$s) - 1) * power(10::numeric, -%1$s) FROM unnest(ARRAY[1, -1]) sign
         UNION ALL SELECT trunc(g * 1234567.8901 %% power(10::numeric, %2$s)) * power(10::numeric, -%1$s) FROM generate_series(1, 20) g
         UNION ALL VALUES (''NaN''::numeric), (NULL)', s, p);
    -- Half of them are in leaves, and half in the delta tree.
    CREATE INDEX n_k ON n USING learned (k);
    INSERT INTO n SELECT k FROM n;
    ANALYZE n;
    CREATE TEMP TABLE told AS SELECT k, ctid AS row, numeric_send(k) AS image, pg_column_size(k) AS size FROM n LIMIT 0;
    SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off;
    INSERT INTO told SELECT k, NULL, numeric_send(k), pg_column_size(k) FROM n ORDER BY k;
    SELECT count(*) INTO keys FROM told;
    SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_sort = on;
    SELECT count(*) INTO images FROM (
        (SELECT k::text, image, size FROM told EXCEPT ALL SELECT k::text, numeric_send(k), pg_column_size(k) FROM n)
        UNION ALL
        (SELECT k::text, numeric_send(k), pg_column_size(k) FROM n EXCEPT ALL SELECT k::text, image, size FROM told)) s;
    SELECT count(*) INTO order_by FROM (SELECT k, lag(k) OVER (ORDER BY ctid) AS before FROM told) s WHERE before > k OR before IS NULL AND k > 'NaN';
    DROP TABLE told; DROP TABLE n;
    SET LOCAL enable_indexscan = on; SET LOCAL enable_indexonlyscan = on;
END $$;
SELECT count(*) AS columns, sum(keys) AS keys, sum(images) AS other_images, sum(order_by) AS out_of_order
FROM scales, differ(p, s);

-- Arguments with more digits than the column, beyond its ends, infinite, and none.
CREATE TABLE t (k numeric(6, 2), id int4);
INSERT INTO t SELECT (g - 500) * 0.01, g FROM generate_series(0, 1000) g;
INSERT INTO t VALUES ('NaN', 2000), ('9999.99', 2001), ('-9999.99', 2002), (NULL, 2003);
CREATE INDEX t_k ON t USING learned (k);
CREATE INDEX t_kid ON t USING learned (k DESC, id);
VACUUM ANALYZE t;
CREATE FUNCTION answers(condition text) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    way text; name text; found bigint; answers bigint[];
BEGIN
    FOREACH way IN ARRAY '{enable_seqscan,enable_indexonlyscan,enable_indexscan,enable_bitmapscan}'::text[] LOOP
        FOREACH name IN ARRAY '{enable_seqscan,enable_indexonlyscan,enable_indexscan,enable_bitmapscan}'::text[] LOOP
            PERFORM set_config(name, (name = way)::text, true);
        END LOOP;
        EXECUTE format('SELECT count(k) * 100000 + count(*) FROM (SELECT k, id FROM t WHERE %s ORDER BY k OFFSET 0) s', condition) INTO found;
        answers := answers || found;
    END LOOP;
    RETURN answers;
END $$;
SELECT count(*) AS asked, count(*) FILTER (WHERE a[1] > 0) AS select_rows, count(*) FILTER (WHERE a[1] <> ANY (a)) AS differ
FROM unnest('{<,<=,=,>=,>}'::text[]) o,
     unnest('{0,0.00,-0.000,0.01,0.005,0.0050,-0.005,1.00500000000000000000001,4.995,4.999,5,5.0000001,9999.99,9999.991,10000,-9999.99,
              -9999.991,-10000,1e17,1e18,-1e18,1e19,1e300,-1e300,1e-300,-1e-300,Infinity,-Infinity,NaN}'::numeric[]) v,
     unnest('{"k %s ''%s''","k %s ''%s'' AND id > 3","k %s (SELECT ''%s''::numeric)","k %s ANY (''{%s,0.01,NULL,1e30}''::numeric[])"}'::text[]) form,
     answers(format(form, o, v)) a;
RESET enable_seqscan;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
DROP INDEX t_kid;
EXPLAIN (COSTS OFF) SELECT k FROM t WHERE k = 1.005 ORDER BY k;
SELECT k FROM t WHERE k = 1.005;
SELECT k FROM t WHERE k BETWEEN 1.005 AND 1.035 ORDER BY k DESC;
SELECT k FROM t WHERE k = ANY ('{1.005,1.01,1.010000,NaN,1e40,NULL}') ORDER BY k;
SELECT min(k), max(k), count(k) FROM t;
SELECT count(*) FROM t WHERE k > 4.995;
-- Values that are stored elsewhere, or compressed.
CREATE TABLE far (v numeric);
INSERT INTO far VALUES (('1' || repeat('0', 9000))::numeric + 1), (-('1' || repeat('0', 9000))::numeric),
    (('0.' || repeat('0', 9000) || '1')::numeric);
SELECT count(*) FROM far, LATERAL (SELECT FROM t WHERE k < v) s GROUP BY v ORDER BY v;

-- The messages of uniqueness and exclusion show keys.
CREATE TABLE u (k numeric(18, 4), x numeric(5, 1), EXCLUDE USING learned (x WITH =));
CREATE UNIQUE INDEX u_k ON u USING learned (k);
INSERT INTO u VALUES ('12345678901234.5678', 1), ('NaN', 2);
INSERT INTO u VALUES ('12345678901234.5678', 3);
INSERT INTO u VALUES ('NaN', 3);
INSERT INTO u VALUES (0, 1.04);
INSERT INTO u VALUES (0, 'Infinity');
INSERT INTO u VALUES (1, 5), (1.00001, 6);
DROP INDEX u_k;
INSERT INTO u VALUES (7.10, 7), (7.1, 8);
CREATE UNIQUE INDEX u_k ON u USING learned (k);

-- Domains and expressions with a precision, whatever theirs is.
CREATE DOMAIN price AS numeric(10, 2) CHECK (VALUE >= 0);
CREATE DOMAIN discount AS price;
CREATE TABLE d (k price, r discount, v float8);
INSERT INTO d SELECT g * 0.01, g, g FROM generate_series(1, 300) g;
CREATE INDEX d_k ON d USING learned (k);
CREATE INDEX d_r ON d USING learned (r, k);
CREATE INDEX d_v ON d USING learned ((v::numeric(10, 1)));
VACUUM ANALYZE d;
EXPLAIN (COSTS OFF) SELECT k FROM d WHERE k IN (0.07, 0.08);
SELECT k FROM d WHERE k IN (0.07, 0.08, 0.075);
SELECT k FROM d WHERE k = ANY (ARRAY['0.07', '2.99']::price[]);
SELECT r, k FROM d WHERE r > 298.5;
SELECT count(*) FROM d WHERE v::numeric(10, 1) >= 299.95;

-- What has no codes.
CREATE TABLE wide (a numeric, b numeric(19, 2), c numeric(4, -2), e numeric(30, 20));
CREATE INDEX ON wide USING learned (a);
CREATE INDEX ON wide USING learned (b);
CREATE INDEX ON wide USING learned (c);
CREATE INDEX ON wide USING learned (e);
CREATE INDEX ON wide USING learned ((1), (a * 2));
CREATE INDEX ON wide USING learned ((b::numeric(18, 2)), ((a * 2)::numeric(3, 3)));
CREATE DOMAIN anything AS numeric;
CREATE TABLE unlike (k anything);
CREATE INDEX ON unlike USING learned (k);

-- ALTER TABLE keeps the index where it does not rewrite the table. What the index cannot hold is then refused.
CREATE TABLE w (k numeric(10, 2), id int4);
INSERT INTO w SELECT g * 0.25, g FROM generate_series(1, 1000) g;
CREATE INDEX w_k ON w USING learned (k);
CREATE INDEX w_idk ON w USING learned (id, k);
SELECT array_agg(relfilenode) AS files FROM pg_class WHERE relname IN ('w_k', 'w_idk') \gset
ALTER TABLE w ALTER k TYPE numeric(15, 2);
SELECT array_agg(relfilenode) = :'files' AS kept FROM pg_class WHERE relname IN ('w_k', 'w_idk');
INSERT INTO w VALUES (1234567890123.45, 2000);
ALTER TABLE w ALTER k TYPE numeric(30, 2);
SELECT array_agg(relfilenode) = :'files' AS kept FROM pg_class WHERE relname IN ('w_k', 'w_idk');
INSERT INTO w VALUES (9999999999999999.99, 2001);
INSERT INTO w VALUES (10000000000000000.00, 2002);
INSERT INTO w VALUES (-1e20, 2002);
UPDATE w SET k = k + 1e20 WHERE id = 7;
VACUUM ANALYZE w;
EXPLAIN (COSTS OFF) SELECT k FROM w WHERE k > 249.5 ORDER BY k;
SELECT k FROM w WHERE k > 249.5 ORDER BY k;
SELECT id, k FROM w WHERE id = 2001 AND k > 1e15;
REINDEX INDEX w_k;
ALTER TABLE w ALTER k TYPE numeric;
SELECT array_agg(relfilenode) = :'files' AS kept FROM pg_class WHERE relname IN ('w_k', 'w_idk');
INSERT INTO w VALUES (0.75, 2002), ('NaN', 2003);
INSERT INTO w VALUES (0.7, 2004);
INSERT INTO w VALUES (0.755, 2004);
INSERT INTO w VALUES ('Infinity', 2004);
SELECT k FROM w WHERE k < 1 OR k > 1e16 ORDER BY k;
SELECT count(*) FROM w WHERE k > 249.995;
VACUUM w;
SELECT count(*) FROM unnest('{w_k,w_idk}'::regclass[]) i, learned_check(i);
REINDEX INDEX w_k;
TRUNCATE w;
-- A new scale rewrites the table, and builds its indexes anew.
ALTER TABLE w ALTER k TYPE numeric(18, 1);
SELECT array_agg(relfilenode) = :'files' AS kept FROM pg_class WHERE relname IN ('w_k', 'w_idk');
SELECT k FROM w WHERE k < 1 ORDER BY k;
RESET enable_seqscan;
DROP TABLE scales, t, far, u, d, wide, unlike, w;
DROP FUNCTION differ, answers;
DROP DOMAIN discount, price, anything;
