\set VERBOSITY default
-- What the extension declares.
SELECT amname, amtype FROM pg_am WHERE amname = 'learned';

SELECT obj_description(oid, 'pg_am') FROM pg_am WHERE amname = 'learned';
SELECT obj_description('learned_amhandler'::regproc, 'pg_proc');
SELECT extname, extrelocatable FROM pg_extension WHERE extname = 'omendb_learned';
-- What pg_stat_progress_create_index shows.
SELECT n, pg_indexam_progress_phasename(oid, n) FROM pg_am, generate_series(0, 5) n WHERE amname = 'learned';
SELECT opcname, opcintype::regtype, opcdefault, opfname, amvalidate(c.oid)
FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod JOIN pg_opfamily f ON f.oid = opcfamily
WHERE amname = 'learned' ORDER BY 1;

SELECT property, pg_indexam_has_property(oid, property)
FROM pg_am, unnest('{can_order, can_unique, can_multi_col, can_exclude, can_include}'::text[]) property
WHERE amname = 'learned';

CREATE TABLE t (k int8, f float8);
CREATE INDEX t_k ON t USING learned (k DESC NULLS LAST);
CREATE INDEX t_f ON t USING learned (f);
SELECT property, pg_index_has_property('t_k', property)
FROM unnest('{clusterable, index_scan, bitmap_scan, backward_scan}'::text[]) property;
SELECT property, pg_index_column_has_property('t_k', 1, property) AS k, pg_index_column_has_property('t_f', 1, property) AS f
FROM unnest('{asc, desc, nulls_first, nulls_last, orderable, distance_orderable, returnable, search_array, search_nulls}'::text[]) property;
SELECT pg_get_indexdef('t_k'::regclass);

DROP TABLE t;
