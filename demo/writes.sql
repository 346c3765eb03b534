-- Writes into indexes of two million random keys, while the worker merges what it finds enough of.
\echo 'writes: 2 million random keys, and rows that are added'
CREATE TABLE writes_btree AS SELECT abs(hashint8extended(g, 1)) AS k, g AS value FROM generate_series(1, 2000000) g;
CREATE TABLE writes_learned AS TABLE writes_btree;
VACUUM (FREEZE, ANALYZE) writes_btree, writes_learned;
CALL build('writes', 1);
CHECKPOINT;
CALL write('writes', 'INSERT of 50,000 random keys',
    'INSERT INTO {t} SELECT abs(hashint8extended(g, 2 + {round})), g FROM generate_series(1, 50000) g', 12);
CALL write('writes', 'INSERT of 50,000 ascending keys',
    'INSERT INTO {t} SELECT 9223372036000000000 + {round} * 50000 + g, g FROM generate_series(1, 50000) g', 12);
SELECT merged_rows FROM learned_retrain('writes_learned_k') \g /dev/null
INSERT INTO results (keys, rows, measured, unit, btree, learned, ratio)
    SELECT 'writes', n, 'index size after all that', 'bytes/row', b / n, l / n, b / l
    FROM (SELECT count(*) AS n FROM writes_btree) r,
        (SELECT pg_relation_size('writes_btree_k')::float8 AS b, pg_relation_size('writes_learned_k')::float8 AS l) s;
-- One row in twenty waits in the delta tree.
ALTER INDEX writes_learned_k SET (auto_retrain = off);
INSERT INTO writes_btree SELECT abs(hashint8extended(g, 99)), g FROM generate_series(1, 165000) g;
INSERT INTO writes_learned SELECT abs(hashint8extended(g, 99)), g FROM generate_series(1, 165000) g;
VACUUM (FREEZE, ANALYZE, INDEX_CLEANUP off) writes_btree, writes_learned;
CREATE TABLE writes_probes AS
    SELECT k FROM writes_btree TABLESAMPLE bernoulli (1.5) REPEATABLE (1) ORDER BY random();
CALL compare('writes', '50,000 point lookups, 5% of the rows unmerged',
    'SELECT count(t.k), max(t.k) FROM writes_probes p JOIN {t} t ON t.k = p.k');
SELECT merged_rows FROM learned_retrain('writes_learned_k') \g /dev/null
CALL compare('writes', '50,000 point lookups, all merged',
    'SELECT count(t.k), max(t.k) FROM writes_probes p JOIN {t} t ON t.k = p.k');
