-- One table: medians of alternating runs, and the B-tree's figure divided by the learned index's.
\pset border 2
\pset footer off
\echo
\echo 'Every query gave the same answer through both indexes. Ratios above 1: the learned index is better.'
SELECT CASE WHEN lag(keys) OVER (ORDER BY id) = keys THEN '' ELSE format('%s (%s rows)', keys, to_char(rows, 'FM999,999,999')) END AS keys,
    measured, unit,
    to_char(btree, CASE WHEN btree < 100 THEN 'FM990.00' ELSE 'FM999,990' END) AS "B-tree",
    to_char(learned, CASE WHEN learned < 100 THEN 'FM990.00' ELSE 'FM999,990' END) AS learned,
    to_char(ratio, 'FM9990.00') AS ratio,
    CASE WHEN high > low THEN to_char(low, 'FM9990.00') || ' to ' || to_char(high, 'FM9990.00') ELSE '' END AS spread
FROM results ORDER BY id;
