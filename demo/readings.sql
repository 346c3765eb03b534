-- Ten million readings of a sensor, one a second with up to 100 ms of jitter.
\echo 'readings: 10 million synthetic timestamps'
SELECT setseed(0.5) \g /dev/null
CREATE TABLE readings_btree AS
    SELECT '2024-01-01 00:00+00'::timestamptz + g * interval '1 second' + random() * interval '0.1 second' AS k,
        g % 1000 / 10.0::float8 AS value
    FROM generate_series(1, 10000000) g;
CREATE TABLE readings_learned AS TABLE readings_btree;
CREATE TABLE readings_probes AS
    SELECT k FROM readings_btree TABLESAMPLE bernoulli (1) REPEATABLE (1) ORDER BY random();
VACUUM (FREEZE, ANALYZE) readings_btree, readings_learned, readings_probes;
CALL build('readings', 3);
CALL compare('readings', '100,000 point lookups, index-only',
    'SELECT count(t.k), max(t.k) FROM readings_probes p JOIN {t} t ON t.k = p.k');
CALL compare('readings', '100,000 point lookups, row fetched',
    'SELECT count(t.k), sum(t.value) FROM readings_probes p JOIN {t} t ON t.k = p.k');
CALL compare('readings', '5,000 ranges of 100 rows, index-only',
    'SELECT sum(n) FROM (SELECT k FROM readings_probes LIMIT 5000) p,
        LATERAL (SELECT count(*) AS n FROM {t} t WHERE t.k >= p.k AND t.k < p.k + interval ''100 seconds'') t');
CALL compare('readings', 'one range of a million rows, row fetched',
    'SELECT count(*), sum(value) FROM {t} t WHERE t.k >= ''2024-02-01'' AND t.k < ''2024-02-12 13:46:40''');
CALL compare('readings', '20,000 times the last reading before',
    'SELECT sum(value) FROM (SELECT k FROM readings_probes LIMIT 20000) p,
        LATERAL (SELECT value FROM {t} t WHERE t.k < p.k ORDER BY t.k DESC LIMIT 1) t');
CALL compare('readings', 'count of a million rows',
    'SELECT count(*) FROM {t} t WHERE t.k >= ''2024-02-01'' AND t.k < ''2024-02-12 13:46:40''', counts => true);
CALL compare('readings', 'counts of each hour of a month',
    'SELECT sum(n) FROM (SELECT date_trunc(''hour'', k) AS hour, count(*) AS n FROM {t} t
        WHERE t.k >= ''2024-02-01'' AND t.k < ''2024-03-01'' GROUP BY 1) h', counts => true);
CALL pages('readings', 'readings_probes');
