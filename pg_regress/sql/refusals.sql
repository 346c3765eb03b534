-- What is not supported says so, and what to do instead.
CREATE TABLE t (k int8, s text, n numeric, u uuid, b bool);
CREATE INDEX ON t USING learned (s);
CREATE INDEX ON t USING learned (n);
CREATE INDEX ON t USING learned (u);
CREATE INDEX ON t USING learned (b);
CREATE INDEX ON t USING learned (k, s);
CREATE INDEX ON t USING learned (k) INCLUDE (s);
CREATE INDEX ON t USING learned (k int4_ops);

-- The index is read-only; nothing may be lost in silence.
INSERT INTO t SELECT g, 'x' FROM generate_series(1, 10) g;
CREATE INDEX t_k ON t USING learned (k);
INSERT INTO t (k) VALUES (11);
INSERT INTO t (k) VALUES (NULL);
UPDATE t SET k = k + 1 WHERE k = 5;
COPY t (k) FROM STDIN;
11
\.
SELECT count(*), sum(k) FROM t;
DELETE FROM t WHERE k > 8;
SET enable_seqscan = off;
SELECT count(*), sum(k) FROM t WHERE k > 0;
RESET enable_seqscan;
TRUNCATE t;
INSERT INTO t (k) VALUES (1);
DROP INDEX t_k;
INSERT INTO t (k) VALUES (1);

DROP TABLE t;
