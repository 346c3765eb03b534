\set VERBOSITY default
-- Addresses and networks: in the order of a B-tree, which is that of networks, the lengths of masks, and hosts.
SET client_min_messages = error;
CREATE TABLE t (i inet, c cidr, id int4);
INSERT INTO t SELECT set_masklen('10.16.0.0'::inet + g, l), set_masklen('10.16.0.0'::cidr, l), g * 100 + l
FROM unnest('{0,1,2,255,256,4711,65535,1048576}'::int8[]) g, generate_series(0, 32) l;
INSERT INTO t VALUES ('0.0.0.0/0', '0.0.0.0/0', -1), ('255.255.255.255/0', '128.0.0.0/1', -2), ('255.255.255.255', '255.255.255.255', -3), (NULL, NULL, -4);
CREATE INDEX t_i ON t USING learned (i);
CREATE INDEX t_c ON t USING learned (c DESC);
CREATE INDEX t_ci ON t USING learned (c, i DESC NULLS LAST);
-- Some are in the delta tree.
INSERT INTO t SELECT i, c, id + 1000000000 FROM t WHERE id % 2 = 0;
VACUUM ANALYZE t;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT i FROM t WHERE i > '10.16.0.0/12' AND i < '10.16.0.0/14' ORDER BY i;
SELECT DISTINCT i FROM t WHERE i > '10.16.0.0/12' AND i < '10.16.0.0/14' ORDER BY i;
EXPLAIN (COSTS OFF) SELECT c, pg_typeof(c) FROM t WHERE c >= '10.16.0.0/20' AND c <= '10.16.0.0/22' ORDER BY c DESC;
SELECT DISTINCT c, pg_typeof(c) FROM t WHERE c >= '10.16.0.0/20' AND c <= '10.16.0.0/22' ORDER BY c DESC;
SELECT i, c FROM t WHERE c = ANY ('{10.16.0.0/12,255.255.255.255/32,::/0}'::cidr[]) AND i <> '10.16.18.103/12' ORDER BY c, i DESC NULLS LAST;
SELECT min(i), max(i), count(i) FROM t;
-- The same as without an index, byte by byte.
CREATE FUNCTION images(k name) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    image text;
BEGIN
    EXECUTE format('SELECT md5(string_agg(pg_column_size(k) || encode(%s_send(k), ''hex''), '','')) FROM (SELECT %I AS k FROM t WHERE %I IS NOT NULL ORDER BY 1) s',
                   CASE k WHEN 'i' THEN 'inet' ELSE 'cidr' END, k, k) INTO image;
    RETURN image;
END $$;
SELECT images('i') AS i, images('c') AS c \gset
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SET enable_seqscan = on;
SET enable_sort = on;
SELECT images('i') = :'i' AS i, images('c') = :'c' AS c;
RESET ALL;
SET client_min_messages = error;
SET enable_seqscan = off;
SET enable_bitmapscan = off;

-- IPv6 addresses are refused. Conditions may have them: they are behind all others.
INSERT INTO t VALUES ('::1', '10.0.0.0/8', 0);
INSERT INTO t VALUES ('10.0.0.1', '::/0', 0);
UPDATE t SET i = '::ffff:10.0.0.1' WHERE id = -1;
SELECT count(*) FROM t WHERE i < '::/0';
SELECT count(*) FROM t WHERE i >= '::ffff:10.16.0.0';
SELECT count(*) FROM t WHERE i = ANY ('{10.16.0.1,::1}') AND i < 'ffff::';
SELECT count(*) FROM t WHERE c <= '2001:db8::/32' AND i > '255.255.255.254';
DROP INDEX t_i, t_c;
SELECT count(*) FROM t WHERE c > '10.16.0.0/31' AND c < '2001:db8::/32' AND i < '::';
DROP INDEX t_ci;
INSERT INTO t VALUES ('::1', '::1', 0);
CREATE INDEX t_i ON t USING learned (i);
CREATE INDEX t_c ON t USING learned (id, c);
CREATE INDEX t_i ON t USING learned (i) WHERE family(i) = 4;
EXPLAIN (COSTS OFF) SELECT i FROM t WHERE i = '10.16.0.1/20' AND family(i) = 4;
-- The core makes ranges of subnets, from PostgreSQL 18 on.
SELECT i FROM t WHERE i << '10.16.0.0/24' AND family(i) = 4 ORDER BY i LIMIT 3;

-- The messages of uniqueness and exclusion show keys. Domains.
CREATE DOMAIN host AS inet CHECK (masklen(VALUE) = 32);
CREATE TABLE u (h host, n cidr, EXCLUDE USING learned (n WITH =));
CREATE UNIQUE INDEX u_h ON u USING learned (h);
INSERT INTO u VALUES ('10.0.0.1', '10/8');
INSERT INTO u VALUES ('10.0.0.1/32', '10.0/16');
INSERT INTO u VALUES ('10.0.0.2', '10.0.0.0/8');
SELECT h FROM u WHERE h = '10.0.0.1';
RESET enable_seqscan;
RESET enable_bitmapscan;
DROP TABLE t, u;
DROP FUNCTION images;
DROP DOMAIN host;
