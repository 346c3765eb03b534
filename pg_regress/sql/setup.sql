-- What cargo pgrx regress runs first. scripts/regress has pg_regress create the extension.
CREATE EXTENSION omendb_learned;
