\set VERBOSITY default
-- Several columns: what a user sees. The readings of some devices, one of them without a time.
SET TimeZone = 'UTC';
CREATE TABLE readings (device_id int4, ts timestamptz, value float8);
INSERT INTO readings SELECT d, '2026-01-01'::timestamptz + g * interval '1 hour', g
FROM generate_series(1, 20) d, generate_series(0, 199) g;
INSERT INTO readings VALUES (7, NULL, -1), (NULL, '2026-01-01', -2), (NULL, NULL, -3), (7, 'infinity', -4), (7, '-infinity', -5);
CREATE INDEX readings_key ON readings USING learned (device_id, ts);
VACUUM ANALYZE readings;
SELECT pg_get_indexdef('readings_key'::regclass);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT * FROM readings WHERE device_id = 7 AND ts >= '2026-01-02' AND ts < '2026-01-02 03:00';
SELECT * FROM readings WHERE device_id = 7 AND ts >= '2026-01-02' AND ts < '2026-01-02 03:00';
-- The last readings of a device, and of some.
EXPLAIN (COSTS OFF) SELECT * FROM readings WHERE device_id = 7 AND ts < 'infinity' ORDER BY ts DESC LIMIT 2;
SELECT * FROM readings WHERE device_id = 7 AND ts < 'infinity' ORDER BY ts DESC LIMIT 2;
SELECT d, last FROM generate_series(6, 8) d, LATERAL (SELECT max(ts) AS last FROM readings WHERE device_id = d) s;
-- NULLs come last, and conditions find them.
EXPLAIN (COSTS OFF) SELECT device_id, ts FROM readings WHERE device_id = 7 ORDER BY device_id DESC, ts DESC LIMIT 3;
SELECT device_id, ts FROM readings WHERE device_id = 7 ORDER BY device_id DESC, ts DESC LIMIT 3;
SELECT device_id, ts FROM readings WHERE device_id = 7 ORDER BY ts LIMIT 2;
SELECT * FROM readings WHERE device_id IS NULL ORDER BY ts;
SELECT * FROM readings WHERE device_id IS NULL AND ts IS NOT NULL;
SELECT * FROM readings WHERE device_id = 7 AND ts IS NULL;
SELECT count(*) FROM readings WHERE device_id = 7 AND ts > '-infinity';
-- Lists, values of other types, and conditions behind a column without one.
SELECT value FROM readings WHERE device_id IN (3, 3, NULL, 5) AND ts IN ('2026-01-02', '2026-01-03') ORDER BY device_id, ts;
SELECT count(*) FROM readings WHERE device_id = 7::int8 AND ts < '2026-01-02'::date;
SELECT count(*) FROM readings WHERE device_id = 7 AND ts < '300000-01-01'::date;
EXPLAIN (COSTS OFF) SELECT count(*) FROM readings WHERE ts = '2026-01-02';
SELECT count(*) FROM readings WHERE ts = '2026-01-02';
SELECT count(*) FROM readings WHERE device_id = 7 AND device_id = ANY ('{8,9}');
-- Back and forth over what a condition leaves out.
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT device_id, value FROM readings WHERE device_id > 17 AND ts = '2026-01-01' ORDER BY device_id, ts;
FETCH ALL FROM c;
FETCH BACKWARD 2 FROM c;
FETCH NEXT FROM c;
COMMIT;
DROP INDEX readings_key;

-- Uniqueness: rows with a NULL are not the same, unless the index says so.
SET client_min_messages = error;
CREATE UNIQUE INDEX readings_key ON readings USING learned (device_id, ts);
INSERT INTO readings VALUES (7, '2026-01-02', 0);
INSERT INTO readings VALUES (7, NULL, 0), (NULL, NULL, 0);
REINDEX INDEX readings_key;
SELECT entries, unmerged_entries FROM learned_check('readings_key', true);
CREATE UNIQUE INDEX readings_nulls ON readings USING learned (device_id, ts) NULLS NOT DISTINCT;
DELETE FROM readings WHERE value = 0;
CREATE UNIQUE INDEX readings_nulls ON readings USING learned (device_id, ts) NULLS NOT DISTINCT;
INSERT INTO readings VALUES (7, NULL, 0);
INSERT INTO readings VALUES (NULL, NULL, 0);
DROP INDEX readings_nulls, readings_key;
ALTER TABLE readings ADD CONSTRAINT one_reading EXCLUDE USING learned (device_id WITH =, ts WITH =);
INSERT INTO readings VALUES (7, '2026-01-02', 0);
INSERT INTO readings VALUES (7, '2026-01-02', 0) ON CONFLICT DO NOTHING;
ALTER TABLE readings DROP CONSTRAINT one_reading;

-- Orders, predicates and expressions.
CREATE INDEX readings_hot ON readings USING learned (device_id DESC NULLS LAST, ts NULLS FIRST, (value > 100)) WHERE value >= 0;
EXPLAIN (COSTS OFF) SELECT device_id, ts FROM readings WHERE value >= 0 ORDER BY device_id DESC NULLS LAST, ts NULLS FIRST LIMIT 2;
SELECT device_id, ts FROM readings WHERE value >= 0 ORDER BY device_id DESC NULLS LAST, ts NULLS FIRST LIMIT 2;
SELECT device_id, ts FROM readings WHERE value >= 0 ORDER BY device_id NULLS FIRST, ts DESC NULLS LAST LIMIT 2;
SELECT count(*) FROM readings WHERE value >= 0 AND device_id = 4 AND (value > 100) IS TRUE;
DROP INDEX readings_hot;

-- Types of different lengths, and of two words, come back as they were.
CREATE TABLE wide (b bool, u uuid, s int2, z timetz, m macaddr);
INSERT INTO wide VALUES (true, '00000000-0000-0000-0000-000000000000', 1, '12:00+01', '01:02:03:04:05:06'),
    (false, 'ffffffff-ffff-ffff-ffff-ffffffffffff', -1, '24:00-15:59:59', 'ff:ff:ff:ff:ff:ff'),
    (NULL, '01234567-89ab-cdef-0123-456789abcdef', NULL, NULL, '00:00:00:00:00:00'), (true, NULL, 2, '00:00+00', NULL);
CREATE INDEX wide_all ON wide USING learned (b, u DESC, s, z, m);
CREATE INDEX wide_u ON wide USING learned (u NULLS FIRST);
VACUUM wide;
EXPLAIN (COSTS OFF) SELECT b, u, s, z, m FROM wide ORDER BY b, u DESC;
SELECT b, u, s, z, m FROM wide ORDER BY b, u DESC;
SELECT u FROM wide ORDER BY u NULLS FIRST;
SELECT s FROM wide WHERE u = '00000000-0000-0000-0000-000000000000';
SELECT s FROM wide WHERE u IS NULL;
DROP TABLE wide;

-- Columns beside the key: returned, and of no concern to uniqueness.
CREATE INDEX readings_value ON readings USING learned (device_id, ts) INCLUDE (value);
SELECT pg_get_indexdef('readings_value'::regclass);
VACUUM readings;
EXPLAIN (COSTS OFF) SELECT avg(value) FROM readings WHERE device_id = 7 AND ts >= '2026-01-02' AND ts < '2026-01-03';
SELECT avg(value) FROM readings WHERE device_id = 7 AND ts >= '2026-01-02' AND ts < '2026-01-03';
-- A condition on such a column is checked row by row.
EXPLAIN (COSTS OFF) SELECT ts, value FROM readings WHERE device_id = 7 AND value < 0 ORDER BY ts;
SELECT ts, value FROM readings WHERE device_id = 7 AND value < 0 ORDER BY ts;
UPDATE readings SET value = -6 WHERE value = -4;
SELECT ts, value FROM readings WHERE device_id = 7 AND value < 0 ORDER BY ts;
DROP INDEX readings_value;
CREATE TABLE meters (id int8, name uuid, level int2);
INSERT INTO meters SELECT g, md5(g::text)::uuid, nullif(g % 5, 0) FROM generate_series(1, 1000) g;
CREATE UNIQUE INDEX meters_id ON meters USING learned (id) INCLUDE (name, level);
INSERT INTO meters VALUES (7, NULL, NULL);
INSERT INTO meters VALUES (NULL, NULL, NULL), (NULL, NULL, NULL), (1001, NULL, 1);
VACUUM meters;
EXPLAIN (COSTS OFF) SELECT * FROM meters WHERE id IN (7, 10, 1001);
SELECT * FROM meters WHERE id IN (7, 10, 1001);
SELECT * FROM meters WHERE id IS NULL;
SELECT merged_rows FROM learned_retrain('meters_id');
SELECT * FROM meters WHERE id > 999;
CREATE UNIQUE INDEX ON meters USING learned (level) INCLUDE (id);
CREATE UNIQUE INDEX ON meters USING learned (id) INCLUDE (level) NULLS NOT DISTINCT;
SELECT entries, unmerged_entries FROM learned_check('meters_id', true);
ALTER TABLE meters ALTER level TYPE int8;
SELECT * FROM meters WHERE id IN (7, 10);
ALTER TABLE meters ALTER level TYPE text;
SELECT * FROM meters WHERE id IN (7, 10);
DROP TABLE meters;

-- Beside the key of any width. What is too long for the index is read in the table.
CREATE TABLE orders (id int8, status varchar(10), note text, total numeric, flags bytea, label name, tags int4[]);
INSERT INTO orders SELECT g, (ARRAY['new', 'paid', NULL, ''])[1 + g % 4], repeat(g::text, g % 9 * 40), g / 8.0,
    decode(lpad(to_hex(g), 8, '0'), 'hex'), 'label ' || g % 3, ARRAY[g % 2, NULL] FROM generate_series(1, 2000) g;
CREATE INDEX orders_id ON orders USING learned (id) INCLUDE (status, note, total, label);
VACUUM ANALYZE orders;
EXPLAIN (COSTS OFF) SELECT id, status, length(note), total, label FROM orders WHERE id BETWEEN 3 AND 8;
SELECT id, status, length(note), total, label FROM orders WHERE id BETWEEN 3 AND 8;
CREATE INDEX orders_tags ON orders USING learned (id DESC) INCLUDE (flags, tags);
EXPLAIN (COSTS OFF) SELECT id, flags, tags FROM orders WHERE id > 1997;
SELECT id, flags, tags FROM orders WHERE id > 1997;
EXPLAIN (COSTS OFF) SELECT count(*), count(status), count(note) FROM orders WHERE id > 1000;
SELECT count(*), count(status), count(note) FROM orders WHERE id > 1000;
INSERT INTO orders VALUES (2001, 'late', repeat('x', 3000), 1e30, '', 'label', '{}');
INSERT INTO orders VALUES (2002);
UPDATE orders SET note = 'short' WHERE id = 1999;
SELECT id, status, length(note), total, label FROM orders WHERE id > 1998 ORDER BY id;
SELECT merged_rows FROM learned_retrain('orders_id');
SELECT id, status, length(note), total, label FROM orders WHERE id > 1998 ORDER BY id DESC;
SELECT count(*) FROM unnest('{orders_id,orders_tags}'::regclass[]) i, learned_check(i, true);
ALTER TABLE orders ALTER status TYPE text;
SELECT id, status FROM orders WHERE id = 1998;
DROP TABLE orders;

-- How an index lives.
CREATE INDEX CONCURRENTLY readings_key ON readings USING learned (device_id, ts);
REINDEX INDEX CONCURRENTLY readings_key;
CLUSTER readings USING readings_key;
INSERT INTO readings SELECT 21, '2026-01-01'::timestamptz + g * interval '1 second', g FROM generate_series(1, 500) g;
SELECT merged_rows FROM learned_retrain('readings_key');
ALTER TABLE readings ALTER device_id TYPE int8;
ALTER TABLE readings ALTER device_id TYPE text;
ALTER TABLE readings RENAME ts TO at;
ALTER TABLE readings ADD note text;
SELECT pg_get_indexdef('readings_key'::regclass);
SELECT count(*) FROM readings WHERE device_id = 21 AND at > '2026-01-01 00:05';
SELECT entries, unmerged_entries FROM learned_check('readings_key', true);
ALTER TABLE readings DROP at;
SELECT to_regclass('readings_key');

-- Limits.
CREATE TABLE many (a int2, b int2, c int2, d int2, e int2, f int2, g int2, h int2, i int2, k int8, l int8, m int8, n int8, o int8,
                   u uuid, v uuid, w uuid, note text, oids oidvector);
CREATE INDEX many_eight ON many USING learned (a, b, c, d, e, f, g, h);
CREATE INDEX ON many USING learned (a, b, c, d, e, f, g, h, i);
CREATE INDEX many_words ON many USING learned (k, l, m, n);
CREATE INDEX ON many USING learned (k, l, m, n, a);
CREATE INDEX ON many USING learned (u, v, w);
CREATE INDEX many_uuids ON many USING learned (u, v, a, b);
CREATE INDEX ON many USING learned (a, note);
CREATE INDEX ON many USING learned (a, b) INCLUDE (oids);
CREATE INDEX ON many USING learned (k, l, m, n) INCLUDE (note);
CREATE INDEX ON many USING learned (a, b) INCLUDE (u, v, w);
CREATE INDEX ON many USING learned (a) INCLUDE (b, c, d, e, f, g, h, i, k);
CREATE INDEX ON many USING learned (a, b int4_ops);
INSERT INTO many (a, k, u) VALUES (1, 2, '01234567-89ab-cdef-0123-456789abcdef');
SELECT count(*) FROM unnest('{many_eight,many_words,many_uuids}'::regclass[]) i, learned_check(i, true);
DROP TABLE readings, many;
