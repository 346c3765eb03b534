-- What a user may not see is left out, so that the view never fails for whom it shows.
CREATE VIEW @extschema@.learned_indexes AS
SELECT i.indrelid AS relid, i.indexrelid, n.nspname AS schemaname, t.relname, c.relname AS indexrelname,
       i.indisvalid AS valid, s.*
FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid
    JOIN pg_catalog.pg_class t ON t.oid OPERATOR(pg_catalog.=) i.indrelid
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.relnamespace
    JOIN pg_catalog.pg_am a ON a.oid OPERATOR(pg_catalog.=) c.relam
    LEFT JOIN LATERAL @extschema@.learned_index_stats(c.oid::pg_catalog.regclass, true) s ON true
WHERE a.amname OPERATOR(pg_catalog.=) 'learned' AND c.relkind OPERATOR(pg_catalog.=) 'i'
    AND (pg_catalog.pg_has_role(c.relowner, 'USAGE') OR pg_catalog.pg_has_role('pg_stat_scan_tables', 'USAGE'));
COMMENT ON VIEW @extschema@.learned_indexes IS 'learned indexes of the database that the user may watch, with their figures';
GRANT SELECT ON @extschema@.learned_indexes TO PUBLIC;
