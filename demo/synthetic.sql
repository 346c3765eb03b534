-- Two million keys of each of several distributions, from the easiest to the hardest to learn.
CREATE PROCEDURE synthetic(keys text, expression text, heap_order text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setseed(0.5);
    EXECUTE format('CREATE TABLE %I AS SELECT * FROM (SELECT (%s)::int8 AS k, g AS value FROM generate_series(1, 2000000) g) s ORDER BY %s',
        keys || '_btree', expression, heap_order);
    EXECUTE format('CREATE TABLE %I AS TABLE %I', keys || '_learned', keys || '_btree');
    EXECUTE format('CREATE TABLE %I AS SELECT k FROM (SELECT k FROM %I ORDER BY random() LIMIT 100000) s', keys || '_probes', keys || '_btree');
END $$;

CREATE PROCEDURE measure_synthetic(keys text) LANGUAGE plpgsql AS $$
BEGIN
    CALL build(keys, 3);
    CALL compare(keys, '100,000 point lookups, index-only',
        format('SELECT count(t.k), sum(t.k) FROM %I p JOIN {t} t ON t.k = p.k', keys || '_probes'));
    CALL compare(keys, '100,000 point lookups, row fetched',
        format('SELECT count(t.k), sum(t.value) FROM %I p JOIN {t} t ON t.k = p.k', keys || '_probes'));
    CALL compare(keys, '5,000 ranges of 100 rows, index-only',
        format('SELECT sum(n) FROM (SELECT k FROM %I LIMIT 5000) p,
            LATERAL (SELECT count(*) AS n FROM (SELECT k FROM {t} t WHERE t.k >= p.k ORDER BY t.k LIMIT 100) r) t', keys || '_probes'));
    CALL pages(keys, keys || '_probes');
END $$;

\echo 'serial, jittered, lognormal, uniform, duplicates: 2 million synthetic keys each'
CALL synthetic('serial', 'g', 'value');
CALL synthetic('jittered', 'g::int8 * 1000000 + random() * 100000', 'value');
CALL synthetic('lognormal', 'exp(2 * random_normal()) * 1e9', 'random()');
CALL synthetic('uniform', 'random() * 4611686018427387904', 'random()');
CALL synthetic('duplicates', 'g / 10', 'value');
VACUUM (FREEZE, ANALYZE);
CALL measure_synthetic('serial');
CALL measure_synthetic('jittered');
CALL measure_synthetic('lognormal');
CALL measure_synthetic('uniform');
CALL measure_synthetic('duplicates');
