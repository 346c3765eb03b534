\set VERBOSITY default
-- Operators that others add to an operator family: a value is read as what it is, or refused, and never
-- taken for a value of the column's type.
SET client_min_messages = warning;
CREATE FUNCTION validate(class name) RETURNS bool LANGUAGE sql AS $$
    SELECT amvalidate(c.oid) FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod
    WHERE amname = 'learned' AND opcname = class
$$;
CREATE TABLE t (k int4, o oid, n numeric);
INSERT INTO t SELECT g, (g + 758)::oid, g FROM generate_series(1, 1000) g;
CREATE INDEX t_k ON t USING learned (k);
CREATE INDEX t_o ON t USING learned (o);
SET enable_seqscan = off;

-- A type that is passed by reference.
CREATE FUNCTION same(int4, numeric) RETURNS bool IMMUTABLE STRICT LANGUAGE plpgsql AS 'BEGIN RETURN $1::numeric = $2; END';
CREATE OPERATOR = (FUNCTION = same, LEFTARG = int4, RIGHTARG = numeric);
ALTER OPERATOR FAMILY integer_ops USING learned ADD OPERATOR 3 = (int4, numeric);
RESET client_min_messages;
SELECT validate('int4_ops');
EXPLAIN (COSTS off) SELECT k FROM t WHERE k = 7::numeric;
SELECT k FROM t WHERE k = 7::numeric;
SELECT k FROM t WHERE k = ANY (ARRAY[7, 8]::numeric[]);
SELECT a.k FROM t a, t b WHERE b.k = 7 AND a.k = b.n;
SELECT k FROM t WHERE k = NULL::numeric;
SELECT k FROM t WHERE k = 7;
ALTER OPERATOR FAMILY integer_ops USING learned DROP OPERATOR 3 (int4, numeric);
SELECT k FROM t WHERE k = 7::numeric;

-- One with codes, which are not those of the column's type.
CREATE FUNCTION same(int4, oid) RETURNS bool IMMUTABLE STRICT LANGUAGE plpgsql AS 'BEGIN RETURN $1::oid = $2; END';
CREATE OPERATOR = (FUNCTION = same, LEFTARG = int4, RIGHTARG = oid);
ALTER OPERATOR FAMILY integer_ops USING learned ADD OPERATOR 3 = (int4, oid);
SELECT validate('int4_ops');
SELECT k FROM t WHERE k = 7::oid;
ALTER OPERATOR FAMILY integer_ops USING learned DROP OPERATOR 3 (int4, oid);

-- One that is stored as the column's.
CREATE FUNCTION same(oid, regclass) RETURNS bool IMMUTABLE STRICT LANGUAGE plpgsql AS 'BEGIN RETURN $1 = $2::oid; END';
CREATE OPERATOR = (FUNCTION = same, LEFTARG = oid, RIGHTARG = regclass);
ALTER OPERATOR FAMILY oid_ops USING learned ADD OPERATOR 3 = (oid, regclass);
EXPLAIN (COSTS off) SELECT k FROM t WHERE o = 'pg_class'::regclass;
SELECT k FROM t WHERE o = 'pg_class'::regclass;
SELECT k FROM t WHERE o = ANY (ARRAY['pg_class', 'pg_class']::regclass[]);
ALTER OPERATOR FAMILY oid_ops USING learned DROP OPERATOR 3 (oid, regclass);

-- One that is stored as another type of the family: int4 = int8 would take it for an int4.
CREATE DOMAIN wide AS int8;
CREATE FUNCTION same(int4, wide) RETURNS bool IMMUTABLE STRICT LANGUAGE plpgsql AS 'BEGIN RETURN $1 = $2::int8; END';
SET client_min_messages = error;
CREATE OPERATOR = (FUNCTION = same, LEFTARG = int4, RIGHTARG = wide);
RESET client_min_messages;
ALTER OPERATOR FAMILY integer_ops USING learned ADD OPERATOR 3 = (int4, wide);
EXPLAIN (COSTS off) SELECT k FROM t WHERE k = 7::wide;
SELECT k FROM t WHERE k = 7::wide;
SELECT k FROM t WHERE k = (2 ^ 32 + 7)::int8::wide;
ALTER OPERATOR FAMILY integer_ops USING learned DROP OPERATOR 3 (int4, wide);

-- What core's operators come with: all of it is of the family.
PREPARE of_regclass (regclass) AS SELECT k FROM t WHERE o = $1;
EXECUTE of_regclass ('pg_class');
SELECT k FROM t WHERE o = 'pg_class'::regclass;
CREATE DOMAIN small AS int2;
SELECT k FROM t WHERE k = 7::small;
SELECT k FROM t WHERE k = ANY (ARRAY[7, 8]::small[]);
SELECT k FROM t WHERE k = 7::int8::wide;
DROP TABLE t;
DROP OPERATOR = (int4, numeric);
DROP OPERATOR = (int4, oid);
DROP OPERATOR = (oid, regclass);
DROP OPERATOR = (int4, wide);
DROP FUNCTION same(int4, numeric), same(int4, oid), same(oid, regclass), same(int4, wide), validate;
DROP DOMAIN wide, small;
