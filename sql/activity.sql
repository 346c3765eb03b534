-- Like learned_indexes; NULLs where an index is not monitored.
CREATE VIEW @extschema@.learned_index_activity AS
SELECT i.indrelid AS relid, i.indexrelid, n.nspname AS schemaname, t.relname, c.relname AS indexrelname, s.*
FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid
    JOIN pg_catalog.pg_class t ON t.oid OPERATOR(pg_catalog.=) i.indrelid
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.relnamespace
    JOIN pg_catalog.pg_am a ON a.oid OPERATOR(pg_catalog.=) c.relam
    LEFT JOIN LATERAL @extschema@.learned_index_counters(c.oid::pg_catalog.regclass, true) s ON true
WHERE a.amname OPERATOR(pg_catalog.=) 'learned' AND c.relkind OPERATOR(pg_catalog.=) 'i'
    AND (pg_catalog.pg_has_role(c.relowner, 'USAGE') OR pg_catalog.pg_has_role('pg_stat_scan_tables', 'USAGE'));
COMMENT ON VIEW @extschema@.learned_index_activity IS 'learned indexes of the database that the user may watch, with what sessions have done with them';
GRANT SELECT ON @extschema@.learned_index_activity TO PUBLIC;
