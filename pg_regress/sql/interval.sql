\set VERBOSITY default
-- Intervals: a month has 30 days and a day 24 hours, as in a B-tree. Of equal ones the table tells what they are.
SET client_min_messages = error;
SET IntervalStyle = 'postgres';
CREATE TABLE t (k interval, id int4);
INSERT INTO t SELECT (g % 7) * interval '1 month' + (g % 61) * interval '1 day' + (g % 97) * interval '12 hours', g FROM generate_series(1, 5000) g;
INSERT INTO t VALUES ('1 month', 6001), ('30 days', 6002), ('720 hours', 6003), ('2 months -30 days', 6004), ('-1 month', 6005), (NULL, 6006),
    ('106751990 days', 6007), ('-106751990 days', 6008);
CREATE INDEX t_k ON t USING learned (k);
CREATE INDEX t_id ON t USING learned (k DESC, id) INCLUDE (k);
INSERT INTO t SELECT k, id + 10000 FROM t WHERE id % 2 = 0;
VACUUM ANALYZE t;
CREATE FUNCTION answers(condition text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    way text; name text; found text; answers text[];
BEGIN
    FOREACH way IN ARRAY '{enable_seqscan,enable_indexonlyscan,enable_indexscan,enable_bitmapscan}'::text[] LOOP
        FOREACH name IN ARRAY '{enable_seqscan,enable_indexonlyscan,enable_indexscan,enable_bitmapscan}'::text[] LOOP
            PERFORM set_config(name, (name = way)::text, true);
        END LOOP;
        EXECUTE format('SELECT md5(string_agg(k::text || id, '','')) FROM (SELECT k, id FROM t WHERE %s ORDER BY k, id) s', condition) INTO found;
        answers := answers || coalesce(found, '');
    END LOOP;
    RETURN answers;
END $$;
SELECT count(*) AS asked, count(*) FILTER (WHERE a[1] <> '') AS select_rows, count(*) FILTER (WHERE a[1] <> ANY (a)) AS differ
FROM unnest('{<,<=,=,>=,>}'::text[]) o,
     unnest('{0,1 month,30 days,720:00:00,29 days 24 hours,-30 days,1 day 12 hours,7 months 97 days,106751990 days,106751991 days 04:00:54.775805,
              -106751991 days -04:00:54.775806,178000000 years,-178000000 years}'::interval[]) v,
     unnest('{"k %s ''%s''","k %s ''%s'' AND id > 3","k %s (SELECT ''%s''::interval)","k %s ANY (''{%s,1 month,NULL,170000000 years}''::interval[])"}'::text[]) form,
     answers(format(form, o, v)) a;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
-- Only an included column gives them back without the table.
EXPLAIN (COSTS OFF) SELECT k, id FROM t WHERE k = '30 days' ORDER BY id;
SELECT k, id FROM t WHERE k = '30 days' AND id > 6000 ORDER BY id;
DROP INDEX t_id;
EXPLAIN (COSTS OFF) SELECT k FROM t WHERE k = '30 days';
EXPLAIN (COSTS OFF) SELECT count(*) FROM t WHERE k = '30 days';
SELECT min(k), max(k) FROM t;
SELECT k, id FROM t WHERE k < '0' OR k > '1000 days' ORDER BY k, id;

-- What is equal is not unique.
CREATE TABLE u (k interval, x interval, EXCLUDE USING learned (x WITH =));
CREATE UNIQUE INDEX u_k ON u USING learned (k);
INSERT INTO u VALUES ('1 month', '1 day');
INSERT INTO u VALUES ('30 days', '2 days');
INSERT INTO u VALUES ('31 days', '24 hours');
DROP INDEX u_k;
INSERT INTO u VALUES ('1 month 1 day', '3 days');
CREATE UNIQUE INDEX u_k ON u USING learned (k);

-- What is beyond 64 bits is refused.
INSERT INTO u VALUES ('300000 years', '5 days');
INSERT INTO t VALUES ('106751991 days 04:00:54.775805');
INSERT INTO t VALUES ('-300000 years');
INSERT INTO t VALUES ('106751991 days 04:00:54.775804', 7001), ('-106751991 days -04:00:54.775805', 7002);
SELECT id FROM t WHERE k < '-106751991 days' OR k > '106751991 days' ORDER BY k;
CREATE TABLE far (k interval);
INSERT INTO far VALUES ('300000 years');
CREATE INDEX far_k ON far USING learned (k);
CREATE INDEX far_k ON far USING learned ((1), k DESC);
-- From PostgreSQL 17 on there are infinite ones.
CREATE TABLE infinities (k interval);
DO $$ BEGIN INSERT INTO infinities VALUES ('infinity'), ('-infinity'), ('1 day'); EXCEPTION WHEN others THEN NULL; END $$;
CREATE INDEX infinities_k ON infinities USING learned (k);
CREATE INDEX infinities_several ON infinities USING learned ((1), k DESC);
DO $$ BEGIN INSERT INTO infinities VALUES ('infinity'), ('-infinity'); EXCEPTION WHEN others THEN NULL; END $$;
SET enable_sort = off;
SELECT coalesce(string_agg(k::text, ', '), '') IN ('', '-infinity, -infinity, 1 day, infinity, infinity') AS as_stored FROM (SELECT k FROM infinities ORDER BY k) s;
SELECT count(*) IN (0, 3) AS as_stored FROM infinities WHERE k > '-178000000 years';
SELECT count(*) IN (0, 2) AS as_stored FROM infinities WHERE k > '178000000 years';
DROP INDEX infinities_k;
SELECT count(*) IN (0, 2) AS as_stored FROM infinities WHERE k < '-178000000 years';
SELECT count(*) IN (0, 2) AS as_stored FROM infinities WHERE k >= '178000000 years' AND 1 = 1;
RESET enable_sort;
RESET enable_seqscan;
RESET enable_bitmapscan;
DROP TABLE t, u, far, infinities;
DROP FUNCTION answers;
