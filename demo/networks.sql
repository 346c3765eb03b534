-- Which network owns an IPv4 address: the last range that starts at or before it.
\echo 'networks: IPv4 ranges of the @ip-location-db/asn package (RouteViews and DB-IP, CC BY 4.0)'
CREATE TABLE networks_btree (k int8, last int8, asn int8, owner text);
\copy networks_btree FROM 'asn-ipv4-num.csv' WITH (FORMAT csv)
CREATE TABLE networks_learned AS TABLE networks_btree;
SELECT setseed(0.5) \g /dev/null
CREATE TABLE networks_probes AS SELECT k FROM networks_btree ORDER BY random() LIMIT 100000;
CREATE TABLE networks_addresses AS SELECT (random() * 4294967295)::int8 AS address FROM generate_series(1, 50000);
VACUUM (FREEZE, ANALYZE) networks_btree, networks_learned, networks_probes, networks_addresses;
CALL build('networks', 5);
CALL compare('networks', '100,000 range starts, index-only',
    'SELECT count(t.k), sum(t.k) FROM networks_probes p JOIN {t} t ON t.k = p.k');
CALL compare('networks', '50,000 times: who owns this address',
    'SELECT count(owner), sum(asn) FROM networks_addresses a,
        LATERAL (SELECT asn, last, owner FROM {t} t WHERE t.k <= a.address ORDER BY t.k DESC LIMIT 1) t
        WHERE a.address <= t.last');
CALL compare('networks', '5,000 times the networks of a /12, index-only',
    'SELECT sum(n) FROM (SELECT k FROM networks_probes LIMIT 5000) p,
        LATERAL (SELECT count(*) AS n FROM {t} t WHERE t.k BETWEEN p.k AND p.k + 1048575) t');
CALL pages('networks', 'networks_probes');
