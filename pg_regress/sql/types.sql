\set VERBOSITY default
-- Types that few tables have as keys: an index has them in the order of a B-tree, and gives them back.
SET client_min_messages = error;
SET TimeZone = 'UTC';
CREATE TABLE t (id int4, c "char", m money, a macaddr, e macaddr8, l pg_lsn, x xid8, z timetz, u uuid,
    n numeric(12, 3), i inet, d cidr, v interval);
-- Each character; of the other types also both ends and the middle.
INSERT INTO t SELECT g, (g - 128)::"char", (g * g * g - 2097152)::numeric::money,
    ('00:00:00:00:00:' || lpad(to_hex(g), 2, '0'))::macaddr,
    (lpad(to_hex(g), 2, '0') || ':00:00:00:00:00:00:01')::macaddr8,
    (to_hex(g * 8388608::int8) || '/' || to_hex(g * 16777216::int8))::pg_lsn,
    (g * 72057594037927936::numeric)::text::xid8,
    (('12:00Z'::timetz + g % 7 * interval '1 hour') AT TIME ZONE ((g % 31 - 15) * interval '59 minutes')),
    (repeat('00', 7) || lpad(to_hex(g), 2, '0') || lpad(to_hex(g * 37 % 256), 2, '0') || repeat('00', 7))::uuid,
    (g * g * g - 2097152) / 8.0, '10.0.0.0'::inet + (g::int8 << g / 16) - 1,
    set_masklen('255.255.0.0'::cidr, 1 + g / 8) , (g * g * g - 2097152) * interval '1 hour 0.001 seconds'
FROM generate_series(0, 255) g;
INSERT INTO t VALUES
    (256, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (257, 'x', '-92233720368547758.08', '00:00:00:00:00:00', '00:00:00:00:00:00:00:00', '0/0', '0', '00:00+15:59:59',
     '00000000-0000-0000-0000-000000000000', '-999999999.999', '0.0.0.0/0', '0.0.0.0/0', '-106751990 days'),
    (258, 'x', '92233720368547758.07', 'ff:ff:ff:ff:ff:ff', 'ff:ff:ff:ff:ff:ff:ff:ff', 'FFFFFFFF/FFFFFFFF',
     '18446744073709551615', '24:00-15:59:59', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '999999999.999', '255.255.255.255',
     '255.255.255.255', '106751990 days'),
    (259, 'x', '0', '7f:ff:ff:00:00:01', '7f:ff:ff:ff:ff:ff:ff:ff', '7FFFFFFF/FFFFFFFF', '9223372036854775807', '24:00Z',
     '7fffffff-ffff-ffff-ffff-ffffffffffff', 'NaN', '127.255.255.255/1', '127.255.255.255', '-1 microsecond'),
    (260, 'x', '0', '80:00:00:00:00:00', '80:00:00:00:00:00:00:00', '80000000/0', '9223372036854775808', '00:00Z',
     '80000000-0000-0000-0000-000000000000', '0', '128.0.0.0/1', '128.0.0.0/1', '1 microsecond'),
    (261, 'x', '0', '00:00:01:ff:ff:ff', '00:00:00:01:ff:ff:ff:ff', '0/FFFFFFFF', '4294967295', '00:00:00.000001-00:00:01',
     '00000000-0000-0000-ffff-ffffffffffff', '-0.001', '127.255.255.255/0', '0.0.0.0/1', '1 month');
ANALYZE t;

-- The keys that a condition selects, in order: by a sequential scan, an index-only scan and a bitmap scan.
CREATE FUNCTION answers(k name, condition text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    way text; name text; keys text; answers text[];
BEGIN
    FOREACH way IN ARRAY '{enable_seqscan,enable_indexonlyscan,enable_bitmapscan}'::text[] LOOP
        FOREACH name IN ARRAY '{enable_seqscan,enable_indexonlyscan,enable_bitmapscan}'::text[] LOOP
            PERFORM set_config(name, (name = way)::text, true);
        END LOOP;
        PERFORM set_config('enable_indexscan', (way <> 'enable_seqscan')::text, true);
        EXECUTE format('SELECT string_agg(coalesce(k::text, ''NULL''), '','') FROM (SELECT %I AS k FROM t WHERE %s ORDER BY 1) s',
                       k, condition) INTO keys;
        answers := answers || coalesce(keys, '');
    END LOOP;
    RETURN answers;
END $$;
-- How many conditions on a column were asked, how many select rows, and how many an index answers otherwise.
CREATE FUNCTION compared(method text, k name, direction text, OUT asked int, OUT select_rows int, OUT differ int) LANGUAGE plpgsql AS $$
DECLARE
    conditions text[];
BEGIN
    EXECUTE format('CREATE INDEX t_k ON t USING %s (%I %s)', method, k, direction);
    EXECUTE format(
        'WITH keys AS (SELECT DISTINCT %1$I AS v, pg_typeof(%1$I) AS type FROM t WHERE id %% 16 = 0 OR id > 255)
         SELECT array_agg(%1$L || condition) FROM (
             SELECT format('' %%s %%L::%%s'', o, v, type) FROM keys, unnest(''{<,<=,=,>=,>}''::text[]) o
             UNION ALL SELECT format('' = ANY (%%L::%%s[])'', array_agg(v), min(type::text)) FROM keys
             UNION ALL SELECT '' IS NULL'' UNION ALL SELECT '' IS NOT NULL'') s(condition)', k) INTO conditions;
    SELECT count(*), count(*) FILTER (WHERE a[1] <> ''), count(*) FILTER (WHERE a[1] <> a[2] OR a[1] <> a[3])
    FROM unnest(conditions) condition, answers(k, condition) a INTO asked, select_rows, differ;
    DROP INDEX t_k;
END $$;
SELECT k, direction, learned.*, learned = btree AS as_btree
FROM unnest('{c,m,a,e,l,x,z,u,n,i,d,v}'::name[]) k, unnest('{ASC,DESC NULLS LAST,NULLS FIRST,DESC}'::text[]) direction,
     compared('learned', k, direction) learned, compared('btree', k, direction) btree;
DROP FUNCTION compared, answers;

-- The plans, and least and greatest keys of the types that have min and max.
CREATE INDEX t_c ON t USING learned (c);
CREATE INDEX t_m ON t USING learned (m);
CREATE INDEX t_a ON t USING learned (a DESC);
CREATE INDEX t_e ON t USING learned (e);
CREATE INDEX t_l ON t USING learned (l);
CREATE INDEX t_x ON t USING learned (x);
CREATE INDEX t_z ON t USING learned (z NULLS FIRST);
CREATE INDEX t_u ON t USING learned (u NULLS FIRST);
VACUUM t;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT c FROM t WHERE c > 'x' ORDER BY c;
EXPLAIN (COSTS OFF) SELECT m FROM t WHERE m = '1.00';
EXPLAIN (COSTS OFF) SELECT a FROM t WHERE a < '00:00:00:00:00:04' ORDER BY a;
SELECT a FROM t WHERE a < '00:00:00:00:00:04' ORDER BY a;
SELECT e FROM t WHERE e IN ('80:00:00:00:00:00:00:00', '7f:ff:ff:ff:ff:ff:ff:ff', '01:02:03:04:05:06:07:08', NULL) ORDER BY e DESC;
SELECT l FROM t WHERE l BETWEEN '7FFFFFFF/0' AND '81000000/0';
-- The same instants in zones from east to west.
EXPLAIN (COSTS OFF) SELECT z FROM t WHERE z >= '17:00+00' AND z < '17:00-03' ORDER BY z NULLS FIRST;
SELECT z FROM t WHERE z >= '17:00+00' AND z < '17:00-03' ORDER BY z NULLS FIRST;
EXPLAIN (COSTS OFF) SELECT u FROM t WHERE u < '00000000-0000-0003-0000-000000000000' ORDER BY u NULLS FIRST;
SELECT u FROM t WHERE u < '00000000-0000-0003-0000-000000000000' ORDER BY u NULLS FIRST;
SELECT id FROM t WHERE u IS NULL;
SELECT min(m), max(m), min(l), max(l), min(x), max(x) FROM t;
SELECT min(z), max(z) FROM t;

-- The messages of uniqueness and exclusion show keys, of the build from the index and of inserts from the row.
CREATE TABLE u (c "char", m money, a macaddr, e macaddr8, l pg_lsn, x xid8, z timetz, u uuid);
INSERT INTO u SELECT 'y', '-0.07', '01:02:03:04:05:06', '01:02:03:04:05:06:07:08', '1/2', '18446744073709551615', '13:00+01',
    '01234567-89ab-cdef-0123-456789abcdef'
FROM generate_series(1, 2);
INSERT INTO u (z) VALUES ('12:00+00');
CREATE UNIQUE INDEX u_c ON u USING learned (c);
CREATE UNIQUE INDEX u_m ON u USING learned (m);
CREATE UNIQUE INDEX u_a ON u USING learned (a DESC);
CREATE UNIQUE INDEX u_e ON u USING learned (e);
CREATE UNIQUE INDEX u_l ON u USING learned (l);
CREATE UNIQUE INDEX u_x ON u USING learned (x);
CREATE UNIQUE INDEX u_z ON u USING learned (z);
CREATE UNIQUE INDEX u_u ON u USING learned (u);
DELETE FROM u WHERE ctid = '(0,1)';
CREATE UNIQUE INDEX u_c ON u USING learned (c);
CREATE UNIQUE INDEX u_m ON u USING learned (m);
CREATE UNIQUE INDEX u_a ON u USING learned (a DESC);
CREATE UNIQUE INDEX u_e ON u USING learned (e);
CREATE UNIQUE INDEX u_l ON u USING learned (l);
CREATE UNIQUE INDEX u_x ON u USING learned (x);
CREATE UNIQUE INDEX u_z ON u USING learned (z);
CREATE UNIQUE INDEX u_u ON u USING learned (u);
INSERT INTO u (c) VALUES ('y');
INSERT INTO u (m) VALUES ('-0.07');
INSERT INTO u (a) VALUES ('010203040506');
INSERT INTO u (e) VALUES ('01:02:03:04:05:06:07:08');
INSERT INTO u (l) VALUES ('1/2');
INSERT INTO u (x) VALUES ('18446744073709551615');
INSERT INTO u (z) VALUES ('12:00+00');
INSERT INTO u (z) VALUES ('11:00-01');
INSERT INTO u (u) VALUES ('0123456789abcdef0123456789abcdef');
DROP INDEX u_a;
ALTER TABLE u ADD EXCLUDE USING learned (a WITH =);
INSERT INTO u (a) VALUES ('01:02:03:04:05:07'), ('01:02:03:04:05:07');
SELECT count(*) FROM unnest('{u_c,u_m,u_e,u_l,u_x,u_z,u_u,u_a_excl}'::regclass[]) i, learned_check(i);

-- Domains, and an expression.
CREATE DOMAIN station AS macaddr CHECK (VALUE <> '00:00:00:00:00:00');
CREATE DOMAIN opening AS timetz;
CREATE TABLE d (k station, o opening, note text);
INSERT INTO d SELECT a, z, 'x' FROM t WHERE a > '00:00:00:00:00:00';
CREATE INDEX d_k ON d USING learned (k);
CREATE INDEX d_o ON d USING learned (o DESC);
CREATE INDEX d_t ON d USING learned (trunc(k)) WHERE note = 'x';
VACUUM ANALYZE d;
EXPLAIN (COSTS OFF) SELECT k FROM d WHERE k IN ('00:00:00:00:00:07', '00:00:00:00:00:08');
SELECT k FROM d WHERE k IN ('00:00:00:00:00:07', '00:00:00:00:00:08');
SELECT k FROM d WHERE k = ANY (ARRAY['00:00:00:00:00:07', '00:00:00:00:00:08']::station[]);
SELECT o FROM d WHERE o > '20:00-10' ORDER BY o DESC;
SELECT count(*) FROM d WHERE trunc(k) = '00:00:01:00:00:00' AND note = 'x';

-- AT TIME ZONE makes zones that PostgreSQL does not read. Not all of them have a place in the index.
CREATE TABLE far (z timetz);
INSERT INTO far VALUES ('12:00Z'::timetz AT TIME ZONE interval '19512 hours'),
    ('12:00Z'::timetz AT TIME ZONE interval '-19512 hours'), (NULL);
CREATE INDEX far_z ON far USING learned (z);
SELECT z FROM far ORDER BY z;
INSERT INTO far VALUES ('12:00Z'::timetz AT TIME ZONE interval '20000 hours');
DROP INDEX far_z;
CREATE INDEX far_z ON far USING learned ((1), z);
INSERT INTO far VALUES ('12:00Z'::timetz AT TIME ZONE interval '20000 hours');
DROP INDEX far_z;
INSERT INTO far VALUES ('12:00Z'::timetz AT TIME ZONE interval '-20000 hours');
CREATE INDEX far_z ON far USING learned (z DESC);
DELETE FROM far WHERE z > '12:00Z'::timetz AT TIME ZONE interval '-19600 hours';
CREATE INDEX far_z ON far USING learned (z DESC);
SELECT count(*) FROM far WHERE z < '12:00Z'::timetz AT TIME ZONE interval '-20000 hours';
SELECT count(*) FROM far WHERE z < '12:00Z'::timetz AT TIME ZONE interval '20000 hours';
SELECT count(*) FROM far WHERE z = '12:00Z'::timetz AT TIME ZONE interval '-20000 hours';
-- Floats that are equal and not the same: binary COPY takes the bytes of an integer for those of a float.
CREATE TABLE bits AS SELECT bits::bit(64)::int8 AS bits FROM unnest(
    '{x0000000000000000,x8000000000000000,x7ff0000000000001,x7ff8000000000000,xfff8000000000000,xfff0000000000001}'::varbit[]) bits;
SELECT current_setting('data_directory') || '/bits' AS file \gset
COPY bits TO :'file' BINARY;
CREATE TABLE f (k float8);
COPY f FROM :'file' BINARY;
INSERT INTO f VALUES (-1), (1), ('-infinity'), ('infinity'), (NULL);
CREATE INDEX f_k ON f USING learned (k DESC);
VACUUM ANALYZE f;
EXPLAIN (COSTS OFF) SELECT k FROM f WHERE k = 0;
SELECT k, encode(float8send(k), 'hex') FROM f WHERE k = 0;
SELECT k, encode(float8send(k), 'hex') FROM f WHERE k > 1;
SELECT count(*) FROM f WHERE k = ANY ('{0,-0,NaN}'::float4[]);
SELECT k + 0.0 AS k, count(*) FROM f GROUP BY f.k ORDER BY 1;
DELETE FROM f WHERE k = 'NaN';
CREATE UNIQUE INDEX f_u ON f USING learned (k);
DELETE FROM f WHERE float8send(k) = float8send('-0');
CREATE UNIQUE INDEX f_u ON f USING learned (k);
INSERT INTO f VALUES ('-0');
-- Of several columns, NULL takes a place of theirs.
CREATE TABLE several (a int4, k float8);
CREATE INDEX ON several USING learned (a, k);
COPY several (k) FROM :'file' BINARY;
RESET enable_seqscan;
DROP TABLE t, u, d, far, bits, f, several;
DROP DOMAIN station, opening;
