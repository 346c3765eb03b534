\set VERBOSITY default
-- Storage parameters: listed, checked, changeable.
CREATE TABLE t (k int8);
INSERT INTO t SELECT generate_series(1, 1000);

CREATE INDEX t_k ON t USING learned (k) WITH (model = pgm, fillfactor = 80);
\d+ t_k
ALTER INDEX t_k SET (model = rmi);
REINDEX INDEX t_k;
SELECT reloptions FROM pg_class WHERE relname = 't_k';
ALTER INDEX t_k RESET (model, fillfactor);
SELECT reloptions FROM pg_class WHERE relname = 't_k';

CREATE INDEX ON t USING learned (k) WITH (model = btree);
CREATE INDEX ON t USING learned (k) WITH (fillfactor = 9);
CREATE INDEX ON t USING learned (k) WITH (fillfactor = 101);
CREATE INDEX ON t USING learned (k) WITH (fillfactor = half);
CREATE INDEX ON t USING learned (k) WITH (epsilon = 64);
ALTER INDEX t_k SET (model = none);

CREATE INDEX ON t USING learned (k) WITH (fillfactor = 2147483648);
CREATE INDEX ON t USING learned (k) WITH (retrain_threshold = -9223372036854775808);
CREATE INDEX ON t USING learned (k) WITH (fillfactor = 50, fillfactor = 60);
CREATE INDEX ON t USING learned (k) WITH (model);
CREATE INDEX ON t USING learned (k) WITH (toast.model = pgm);
CREATE INDEX ON t USING btree (k) WITH (model = pgm);
ALTER INDEX t_k SET (retrain_threshold = 0);
ALTER INDEX t_k SET (retrain_threshold = 101);
ALTER INDEX t_k SET (auto_retrain = perhaps);
ALTER INDEX t_k SET (retrain_threshold = 1, auto_retrain = off);
ALTER INDEX t_k SET (retrain_threshold = 100, auto_retrain);
ALTER INDEX t_k RESET (no_such_option);
ALTER INDEX t_k SET (deduplicate_items = off);
SELECT reloptions FROM pg_class WHERE relname = 't_k';
ALTER INDEX t_k RESET (retrain_threshold, auto_retrain);
-- Lower fill, more pages.
CREATE INDEX t_full ON t USING learned (k) WITH (fillfactor = 100);
CREATE INDEX t_thin ON t USING learned (k) WITH (fillfactor = 10);
SELECT pg_relation_size('t_thin') >= pg_relation_size('t_full') AS thin_is_not_smaller;

DROP TABLE t;
