\set VERBOSITY default
-- amvalidate says what is wrong with an operator class, and an index on one that the codes do not
-- serve is refused.
CREATE FUNCTION validate(class name) RETURNS bool LANGUAGE sql AS $$
    SELECT amvalidate(c.oid) FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod
    WHERE amname = 'learned' AND opcname = class
$$;
SELECT validate('int4_ops');
SELECT amvalidate(0::oid);
CREATE TABLE t (k int4, note text);
INSERT INTO t VALUES (1, 'a'), (2, 'b');
-- A type without codes.
CREATE OPERATOR CLASS text_ops DEFAULT FOR TYPE text USING learned AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
    FUNCTION 1 bttextcmp(text, text);
SELECT validate('text_ops');
CREATE INDEX ON t USING learned (note);
DROP OPERATOR FAMILY text_ops USING learned;
-- Another order than the codes have.
CREATE FUNCTION downwards(int4, int4) RETURNS int4 IMMUTABLE STRICT LANGUAGE sql AS 'SELECT btint4cmp($2, $1)';
CREATE OPERATOR CLASS downwards_ops FOR TYPE int4 USING learned AS
    OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <,
    FUNCTION 1 downwards(int4, int4);
SELECT validate('downwards_ops');
CREATE INDEX ON t USING learned (k downwards_ops);
CREATE INDEX CONCURRENTLY t_down ON t USING learned (k downwards_ops);
SELECT count(*) FROM t WHERE k > 0;
INSERT INTO t VALUES (3, 'c');
DROP TABLE t;
DROP OPERATOR FAMILY downwards_ops USING learned;
-- What is missing, and what is not as it should be.
CREATE OPERATOR CLASS empty_ops FOR TYPE int4 USING learned AS STORAGE int4;
SELECT validate('empty_ops');
CREATE OPERATOR CLASS partial_ops FOR TYPE int4 USING learned AS
    OPERATOR 1 <, OPERATOR 3 =, OPERATOR 4 < (int4, int8), FUNCTION 1 btint4cmp(int4, int4), FUNCTION 4 btequalimage(oid);
SELECT validate('partial_ops');
DROP OPERATOR FAMILY empty_ops USING learned;
DROP OPERATOR FAMILY partial_ops USING learned;
-- And what only a hand in the catalogs can do.
BEGIN;
SET LOCAL allow_system_table_mods = on;
CREATE OPERATOR CLASS touched_ops FOR TYPE int4 USING learned AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int4, int4),
    FUNCTION 4 btequalimage(oid);
SELECT validate('touched_ops');
UPDATE pg_amop SET amopstrategy = 6 WHERE amopstrategy = 5
    AND amopfamily = (SELECT oid FROM pg_opfamily WHERE opfname = 'touched_ops');
UPDATE pg_amop SET amoppurpose = 'o', amopsortfamily = 1970 WHERE amopstrategy = 4
    AND amopfamily = (SELECT oid FROM pg_opfamily WHERE opfname = 'touched_ops');
UPDATE pg_amop SET amopopr = '#(int4, int4)'::regoperator WHERE amopstrategy = 3
    AND amopfamily = (SELECT oid FROM pg_opfamily WHERE opfname = 'touched_ops');
UPDATE pg_amproc SET amproc = 'btint4sortsupport'::regproc WHERE amprocnum = 4
    AND amprocfamily = (SELECT oid FROM pg_opfamily WHERE opfname = 'touched_ops');
UPDATE pg_amproc SET amprocnum = 5 WHERE amprocnum = 1
    AND amprocfamily = (SELECT oid FROM pg_opfamily WHERE opfname = 'touched_ops');
SELECT validate('touched_ops');
ROLLBACK;
-- What cannot be declared at all.
CREATE OPERATOR CLASS wrong_ops FOR TYPE int4 USING learned AS OPERATOR 6 <, FUNCTION 1 btint4cmp(int4, int4);
CREATE OPERATOR CLASS wrong_ops FOR TYPE int4 USING learned AS FUNCTION 5 btint4cmp(int4, int4);
CREATE OPERATOR CLASS wrong_ops FOR TYPE int4 USING learned AS STORAGE int8;
CREATE OPERATOR CLASS wrong_ops FOR TYPE int4 USING learned AS OPERATOR 1 < FOR ORDER BY pg_catalog.float_ops;
-- It looks nowhere but in the catalogs, whatever operators there are in the search path.
SET client_min_messages = warning;
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.always(oid, oid) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
CREATE OPERATOR hostile.= (FUNCTION = hostile.always, LEFTARG = oid, RIGHTARG = oid);
CREATE OPERATOR hostile.<> (FUNCTION = hostile.always, LEFTARG = oid, RIGHTARG = oid);
CREATE FUNCTION public.validate_int8() RETURNS bool LANGUAGE sql AS $$
    SELECT pg_catalog.amvalidate(c.oid) FROM pg_catalog.pg_opclass c JOIN pg_catalog.pg_am a ON a.oid OPERATOR(pg_catalog.=) opcmethod
    WHERE amname = 'learned' AND opcname = 'int8_ops'
$$;
SET search_path = hostile, pg_catalog, public;
SELECT 1::oid = 1::oid;
SELECT public.validate_int8();
SHOW search_path;
RESET search_path;
DROP SCHEMA hostile CASCADE;
DROP FUNCTION validate, validate_int8, downwards;
