\set VERBOSITY default
-- Who may see and do what, with a B-tree on the same column beside it wherever the two must agree.
SET client_min_messages = error;
SET datestyle = 'ISO';
SET timezone = 'UTC';
CREATE ROLE regress_learned_owner;
CREATE ROLE regress_learned_reader;
GRANT CREATE, USAGE ON SCHEMA public TO regress_learned_owner;

-- The functions are for whom they are granted to, and then for the owners of indexes.
SELECT p.oid::regprocedure AS function, prosecdef, proleakproof,
       has_function_privilege('regress_learned_reader', p.oid, 'EXECUTE') AS anybody
FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid JOIN pg_extension e ON e.oid = d.refobjid
WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass AND extname = 'omendb_learned'
ORDER BY 1;
SELECT rolsuper FROM pg_extension JOIN pg_roles r ON r.oid = extowner WHERE extname = 'omendb_learned';
SELECT superuser, trusted, relocatable FROM pg_available_extension_versions WHERE name = 'omendb_learned';
-- The handler is not to be called.
SELECT learned_amhandler(0);
SET ROLE regress_learned_owner;
CREATE ACCESS METHOD mine TYPE INDEX HANDLER learned_amhandler;
CREATE OPERATOR CLASS mine FOR TYPE int4 USING learned AS OPERATOR 1 <;
CREATE OPERATOR FAMILY mine USING learned;
ALTER OPERATOR FAMILY integer_ops USING learned DROP OPERATOR 1 (int4, int4);
RESET ROLE;

-- Settings of the session, at their ends.
SHOW omendb_learned.directory_memory;
SET ROLE regress_learned_reader;
SET omendb_learned.directory_memory = 0;
SHOW omendb_learned.directory_memory;
SET omendb_learned.directory_memory = '1023GB';
SHOW omendb_learned.directory_memory;
-- (What is said of the range depends on the version.)
DO $$
DECLARE
    value text;
BEGIN
    FOREACH value IN ARRAY '{-1, 1TB, 2147483648, 1e100}'::text[] LOOP
        BEGIN
            PERFORM set_config('omendb_learned.directory_memory', value, false);
            RAISE EXCEPTION '% was accepted', value;
        EXCEPTION WHEN invalid_parameter_value THEN
            NULL;
        END;
    END LOOP;
END $$;
SET omendb_learned.directory_memory = 'much';
SET omendb_learned.no_such_setting = 1;
RESET ROLE;
-- (A build for tests has one more.)
SELECT name, setting, unit, context, vartype, min_val, max_val, boot_val, short_desc
FROM pg_settings WHERE name LIKE 'omendb%' AND name <> 'omendb_learned.stop_points' \gx
RESET omendb_learned.directory_memory;

-- Row security. Two tables alike but for the access method.
SET ROLE regress_learned_owner;
CREATE TABLE secrets (k int4, d date, visible bool);
INSERT INTO secrets SELECT g, date '2024-01-01' + g, g % 2 = 0 FROM generate_series(1, 1000) g;
CREATE TABLE plain AS SELECT * FROM secrets;
CREATE INDEX secrets_k ON secrets USING learned (k);
CREATE INDEX secrets_d ON secrets USING learned (d);
CREATE INDEX plain_k ON plain USING btree (k);
CREATE INDEX plain_d ON plain USING btree (d);
ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE plain ENABLE ROW LEVEL SECURITY;
CREATE POLICY even ON secrets USING (visible);
CREATE POLICY even ON plain USING (visible);
GRANT SELECT, INSERT ON secrets, plain TO regress_learned_reader;
ANALYZE secrets, plain;
RESET ROLE;
GRANT CREATE, USAGE ON SCHEMA public TO regress_learned_reader;
SET ROLE regress_learned_reader;
-- An operator of the reader's, which tells what it is called with.
CREATE FUNCTION tells(int4, int4) RETURNS bool LANGUAGE plpgsql IMMUTABLE COST 0.0001 AS $$
BEGIN
    RAISE NOTICE 'called with %', $1;
    RETURN $1 = $2;
END $$;
CREATE OPERATOR <<>> (FUNCTION = tells, LEFTARG = int4, RIGHTARG = int4);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
-- What the index may look for before the policy: comparisons that cannot leak, and no others.
CREATE FUNCTION compare(condition text) RETURNS TABLE (same bool, conditions text) LANGUAGE plpgsql AS $$
DECLARE
    line text;
    learned text := '';
    btree text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) SELECT k FROM secrets WHERE ' || condition LOOP
        learned := learned || CASE WHEN line LIKE '%Disabled%' THEN '' ELSE line || E'\n' END;
    END LOOP;
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) SELECT k FROM plain WHERE ' || condition LOOP
        btree := btree || CASE WHEN line LIKE '%Disabled%' THEN '' ELSE line || E'\n' END;
    END LOOP;
    RETURN QUERY SELECT replace(learned, 'secrets', 'plain') = btree, learned;
END $$;
SELECT * FROM compare('k = 7');
SELECT * FROM compare('k BETWEEN 10 AND 20');
SELECT * FROM compare('k IN (4, 5)');
SELECT * FROM compare('k = 7::int8');
SELECT * FROM compare('k <<>> 7');
SELECT * FROM compare('k < 10 AND k <<>> 7');
-- A comparison that may raise an error, or depends on the time zone, is no such one.
SELECT * FROM compare('d = timestamptz ''2024-01-08 00:00+00''');
SELECT * FROM compare('d < timestamp ''2024-01-08''');
SET client_min_messages = notice;
SELECT k FROM secrets WHERE k BETWEEN 6 AND 9 AND k <<>> 7;
SELECT k FROM plain WHERE k BETWEEN 6 AND 9 AND k <<>> 7;
SET client_min_messages = error;
SELECT k FROM secrets WHERE k BETWEEN 6 AND 9 ORDER BY k;
SELECT min(k), max(k), count(*) FROM secrets WHERE k > 0;
RESET ROLE;

-- A violation tells the key to whom may read it: not where there are policies, nor without the right to
-- read the column.
CREATE UNIQUE INDEX secrets_u ON secrets USING learned (k);
CREATE UNIQUE INDEX plain_u ON plain USING btree (k);
SET ROLE regress_learned_reader;
INSERT INTO secrets VALUES (7, NULL, true);
INSERT INTO plain VALUES (7, NULL, true);
RESET ROLE;
ALTER TABLE secrets DISABLE ROW LEVEL SECURITY;
ALTER TABLE plain DISABLE ROW LEVEL SECURITY;
SET ROLE regress_learned_reader;
INSERT INTO secrets VALUES (7, NULL, true);
INSERT INTO plain VALUES (7, NULL, true);
RESET ROLE;
REVOKE SELECT ON secrets, plain FROM regress_learned_reader;
GRANT SELECT (d) ON secrets, plain TO regress_learned_reader;
SET ROLE regress_learned_reader;
INSERT INTO secrets VALUES (7, NULL, true);
INSERT INTO plain VALUES (7, NULL, true);
RESET ROLE;
GRANT SELECT (k) ON secrets, plain TO regress_learned_reader;
SET ROLE regress_learned_reader;
INSERT INTO secrets VALUES (7, NULL, true);
INSERT INTO plain VALUES (7, NULL, true);
RESET ROLE;
-- The key of an expression, to whom may read the whole table.
DROP INDEX secrets_u, plain_u;
CREATE UNIQUE INDEX secrets_u ON secrets USING learned ((-k));
CREATE UNIQUE INDEX plain_u ON plain USING btree ((-k));
SET ROLE regress_learned_reader;
INSERT INTO secrets VALUES (7, NULL, true);
INSERT INTO plain VALUES (7, NULL, true);
RESET ROLE;
INSERT INTO secrets VALUES (7, NULL, true);
INSERT INTO plain VALUES (7, NULL, true);

-- What an index evaluates is run as the table's owner, however the index is maintained.
GRANT CREATE ON DATABASE :"DBNAME" TO regress_learned_owner;
SET ROLE regress_learned_owner;
CREATE FUNCTION spy(k int4) RETURNS int4 IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    IF current_user <> 'regress_learned_owner' THEN
        RAISE EXCEPTION 'run as %', current_user;
    END IF;
    RETURN -k;
END $$;
CREATE TABLE trap (k int4);
INSERT INTO trap SELECT generate_series(1, 100);
CREATE INDEX trap_spy ON trap USING learned (spy(k)) WHERE spy(k) < 0;
RESET ROLE;
REINDEX INDEX trap_spy;
REINDEX INDEX CONCURRENTLY trap_spy;
REINDEX TABLE trap;
CREATE INDEX trap_more ON trap USING learned (spy(k));
CREATE INDEX CONCURRENTLY trap_yet_more ON trap USING learned (spy(k) DESC);
DROP INDEX trap_yet_more;
CLUSTER trap USING trap_more;
VACUUM FULL trap;
VACUUM (ANALYZE) trap;
ANALYZE trap;
ALTER TABLE trap ADD added int8 DEFAULT random() * 10;
-- An insert evaluates it as whoever inserts.
INSERT INTO trap VALUES (101);
SET ROLE regress_learned_owner;
INSERT INTO trap SELECT generate_series(101, 1000);
DELETE FROM trap WHERE k % 3 = 0;
RESET ROLE;
-- None of these evaluates anything: the function would refuse.
SET ROLE regress_learned_owner;
CREATE OR REPLACE FUNCTION spy(k int4) RETURNS int4 IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RAISE 'evaluated'; END $$;
RESET ROLE;
VACUUM (INDEX_CLEANUP on) trap;
SELECT merged_rows FROM learned_retrain('trap_spy');
SELECT merged_rows FROM learned_retrain('trap_more');
SELECT pages > 0 AS checked FROM learned_check('trap_spy');
-- This does, as the owner.
SET ROLE regress_learned_owner;
CREATE OR REPLACE FUNCTION spy(k int4) RETURNS int4 IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    IF current_user <> 'regress_learned_owner' THEN
        RAISE EXCEPTION 'run as %', current_user;
    END IF;
    RETURN -k;
END $$;
RESET ROLE;
SELECT entries - dead_entries + unmerged_entries AS found FROM learned_check('trap_more', heapallindexed => true);

-- Nobody but an owner retrains or checks, whatever was granted; not even who may read.
GRANT EXECUTE ON FUNCTION learned_retrain, learned_check TO regress_learned_reader;
SET ROLE regress_learned_reader;
SELECT learned_retrain('secrets_k');
SELECT learned_check('secrets_k');
SELECT learned_retrain('pg_class_oid_index');
RESET ROLE;
GRANT regress_learned_owner TO regress_learned_reader;
SET ROLE regress_learned_reader;
SELECT merged_rows FROM learned_retrain('secrets_k');
RESET ROLE;
DROP OWNED BY regress_learned_owner, regress_learned_reader CASCADE;
DROP ROLE regress_learned_owner, regress_learned_reader;
