\set VERBOSITY default
-- What is not supported says so, and what to do instead.
CREATE TABLE t (k int8, s text, n numeric, b bytea, o oidvector);
CREATE INDEX ON t USING learned (s);
CREATE INDEX ON t USING learned (n);
CREATE INDEX ON t USING learned (b);
CREATE INDEX ON t USING learned (k, s);
CREATE INDEX ON t USING learned (k) INCLUDE (o);
CREATE INDEX ON t USING learned (k int4_ops);

-- Retraining is for the owners of learned indexes.
CREATE INDEX t_k ON t USING learned (k);
CREATE INDEX t_b ON t USING btree (k);
SELECT learned_retrain('t_b');
SELECT learned_retrain('t');
SELECT learned_retrain(4294967295);
SELECT learned_retrain(NULL);
CREATE ROLE stranger;
SET ROLE stranger;
SELECT learned_retrain('t_k');
RESET ROLE;
GRANT EXECUTE ON FUNCTION learned_retrain TO stranger;
SET ROLE stranger;
SELECT learned_retrain('t_k');
RESET ROLE;
SELECT merged_rows, replaced_pages, ranges, pages FROM learned_retrain('t_k');
INSERT INTO t (k) SELECT g FROM generate_series(1, 1000) g;
SELECT merged_rows, ranges, pages FROM learned_retrain('t_k');
SELECT merged_rows, ranges, pages FROM learned_retrain('t_k');
ALTER INDEX t_k SET (retrain_threshold = 0);
ALTER INDEX t_k SET (auto_retrain = sometimes);
ALTER INDEX t_k SET (auto_retrain = off, retrain_threshold = 20);
DROP TABLE t;
REVOKE EXECUTE ON FUNCTION learned_retrain FROM stranger;
DROP ROLE stranger;
