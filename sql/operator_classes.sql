-- Operator families and classes: the exact members of btree's families of the same
-- names, with btree's strategy numbers and support function numbers.
--
-- They have to be complete. From PostgreSQL 18 on the planner asks every ordered
-- access method which families an equality operator belongs to, and merges
-- equivalence classes only where the answers agree: a family with int8 = int8 but
-- without int4 = int8 would cost queries on other people's tables their joins.
-- The operators are core's own: an ordering that the index does not really have
-- can therefore not be claimed here.

CREATE OPERATOR FAMILY integer_ops USING learned;

CREATE OPERATOR CLASS int2_ops DEFAULT FOR TYPE pg_catalog.int2 USING learned FAMILY integer_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.btint2cmp(pg_catalog.int2, pg_catalog.int2),
    FUNCTION 2 pg_catalog.btint2sortsupport(pg_catalog.internal),
    FUNCTION 3 pg_catalog.in_range(pg_catalog.int2, pg_catalog.int2, pg_catalog.int2, pg_catalog.bool, pg_catalog.bool),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

CREATE OPERATOR CLASS int4_ops DEFAULT FOR TYPE pg_catalog.int4 USING learned FAMILY integer_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.btint4cmp(pg_catalog.int4, pg_catalog.int4),
    FUNCTION 2 pg_catalog.btint4sortsupport(pg_catalog.internal),
    FUNCTION 3 pg_catalog.in_range(pg_catalog.int4, pg_catalog.int4, pg_catalog.int4, pg_catalog.bool, pg_catalog.bool),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

CREATE OPERATOR CLASS int8_ops DEFAULT FOR TYPE pg_catalog.int8 USING learned FAMILY integer_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.btint8cmp(pg_catalog.int8, pg_catalog.int8),
    FUNCTION 2 pg_catalog.btint8sortsupport(pg_catalog.internal),
    FUNCTION 3 pg_catalog.in_range(pg_catalog.int8, pg_catalog.int8, pg_catalog.int8, pg_catalog.bool, pg_catalog.bool),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

ALTER OPERATOR FAMILY integer_ops USING learned ADD
    OPERATOR 1 pg_catalog.< (pg_catalog.int2, pg_catalog.int4),
    OPERATOR 2 pg_catalog.<= (pg_catalog.int2, pg_catalog.int4),
    OPERATOR 3 pg_catalog.= (pg_catalog.int2, pg_catalog.int4),
    OPERATOR 4 pg_catalog.>= (pg_catalog.int2, pg_catalog.int4),
    OPERATOR 5 pg_catalog.> (pg_catalog.int2, pg_catalog.int4),
    FUNCTION 1 (pg_catalog.int2, pg_catalog.int4) pg_catalog.btint24cmp(pg_catalog.int2, pg_catalog.int4),
    FUNCTION 3 (pg_catalog.int2, pg_catalog.int4) pg_catalog.in_range(pg_catalog.int2, pg_catalog.int2, pg_catalog.int4, pg_catalog.bool, pg_catalog.bool),
    OPERATOR 1 pg_catalog.< (pg_catalog.int2, pg_catalog.int8),
    OPERATOR 2 pg_catalog.<= (pg_catalog.int2, pg_catalog.int8),
    OPERATOR 3 pg_catalog.= (pg_catalog.int2, pg_catalog.int8),
    OPERATOR 4 pg_catalog.>= (pg_catalog.int2, pg_catalog.int8),
    OPERATOR 5 pg_catalog.> (pg_catalog.int2, pg_catalog.int8),
    FUNCTION 1 (pg_catalog.int2, pg_catalog.int8) pg_catalog.btint28cmp(pg_catalog.int2, pg_catalog.int8),
    FUNCTION 3 (pg_catalog.int2, pg_catalog.int8) pg_catalog.in_range(pg_catalog.int2, pg_catalog.int2, pg_catalog.int8, pg_catalog.bool, pg_catalog.bool);

ALTER OPERATOR FAMILY integer_ops USING learned ADD
    OPERATOR 1 pg_catalog.< (pg_catalog.int4, pg_catalog.int2),
    OPERATOR 2 pg_catalog.<= (pg_catalog.int4, pg_catalog.int2),
    OPERATOR 3 pg_catalog.= (pg_catalog.int4, pg_catalog.int2),
    OPERATOR 4 pg_catalog.>= (pg_catalog.int4, pg_catalog.int2),
    OPERATOR 5 pg_catalog.> (pg_catalog.int4, pg_catalog.int2),
    FUNCTION 1 (pg_catalog.int4, pg_catalog.int2) pg_catalog.btint42cmp(pg_catalog.int4, pg_catalog.int2),
    FUNCTION 3 (pg_catalog.int4, pg_catalog.int2) pg_catalog.in_range(pg_catalog.int4, pg_catalog.int4, pg_catalog.int2, pg_catalog.bool, pg_catalog.bool),
    OPERATOR 1 pg_catalog.< (pg_catalog.int4, pg_catalog.int8),
    OPERATOR 2 pg_catalog.<= (pg_catalog.int4, pg_catalog.int8),
    OPERATOR 3 pg_catalog.= (pg_catalog.int4, pg_catalog.int8),
    OPERATOR 4 pg_catalog.>= (pg_catalog.int4, pg_catalog.int8),
    OPERATOR 5 pg_catalog.> (pg_catalog.int4, pg_catalog.int8),
    FUNCTION 1 (pg_catalog.int4, pg_catalog.int8) pg_catalog.btint48cmp(pg_catalog.int4, pg_catalog.int8),
    FUNCTION 3 (pg_catalog.int4, pg_catalog.int8) pg_catalog.in_range(pg_catalog.int4, pg_catalog.int4, pg_catalog.int8, pg_catalog.bool, pg_catalog.bool);

ALTER OPERATOR FAMILY integer_ops USING learned ADD
    OPERATOR 1 pg_catalog.< (pg_catalog.int8, pg_catalog.int2),
    OPERATOR 2 pg_catalog.<= (pg_catalog.int8, pg_catalog.int2),
    OPERATOR 3 pg_catalog.= (pg_catalog.int8, pg_catalog.int2),
    OPERATOR 4 pg_catalog.>= (pg_catalog.int8, pg_catalog.int2),
    OPERATOR 5 pg_catalog.> (pg_catalog.int8, pg_catalog.int2),
    FUNCTION 1 (pg_catalog.int8, pg_catalog.int2) pg_catalog.btint82cmp(pg_catalog.int8, pg_catalog.int2),
    OPERATOR 1 pg_catalog.< (pg_catalog.int8, pg_catalog.int4),
    OPERATOR 2 pg_catalog.<= (pg_catalog.int8, pg_catalog.int4),
    OPERATOR 3 pg_catalog.= (pg_catalog.int8, pg_catalog.int4),
    OPERATOR 4 pg_catalog.>= (pg_catalog.int8, pg_catalog.int4),
    OPERATOR 5 pg_catalog.> (pg_catalog.int8, pg_catalog.int4),
    FUNCTION 1 (pg_catalog.int8, pg_catalog.int4) pg_catalog.btint84cmp(pg_catalog.int8, pg_catalog.int4);

CREATE OPERATOR FAMILY float_ops USING learned;

CREATE OPERATOR CLASS float4_ops DEFAULT FOR TYPE pg_catalog.float4 USING learned FAMILY float_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.btfloat4cmp(pg_catalog.float4, pg_catalog.float4),
    FUNCTION 2 pg_catalog.btfloat4sortsupport(pg_catalog.internal);

CREATE OPERATOR CLASS float8_ops DEFAULT FOR TYPE pg_catalog.float8 USING learned FAMILY float_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.btfloat8cmp(pg_catalog.float8, pg_catalog.float8),
    FUNCTION 2 pg_catalog.btfloat8sortsupport(pg_catalog.internal),
    FUNCTION 3 pg_catalog.in_range(pg_catalog.float8, pg_catalog.float8, pg_catalog.float8, pg_catalog.bool, pg_catalog.bool);

ALTER OPERATOR FAMILY float_ops USING learned ADD
    OPERATOR 1 pg_catalog.< (pg_catalog.float4, pg_catalog.float8),
    OPERATOR 2 pg_catalog.<= (pg_catalog.float4, pg_catalog.float8),
    OPERATOR 3 pg_catalog.= (pg_catalog.float4, pg_catalog.float8),
    OPERATOR 4 pg_catalog.>= (pg_catalog.float4, pg_catalog.float8),
    OPERATOR 5 pg_catalog.> (pg_catalog.float4, pg_catalog.float8),
    FUNCTION 1 (pg_catalog.float4, pg_catalog.float8) pg_catalog.btfloat48cmp(pg_catalog.float4, pg_catalog.float8),
    FUNCTION 3 (pg_catalog.float4, pg_catalog.float8) pg_catalog.in_range(pg_catalog.float4, pg_catalog.float4, pg_catalog.float8, pg_catalog.bool, pg_catalog.bool);

ALTER OPERATOR FAMILY float_ops USING learned ADD
    OPERATOR 1 pg_catalog.< (pg_catalog.float8, pg_catalog.float4),
    OPERATOR 2 pg_catalog.<= (pg_catalog.float8, pg_catalog.float4),
    OPERATOR 3 pg_catalog.= (pg_catalog.float8, pg_catalog.float4),
    OPERATOR 4 pg_catalog.>= (pg_catalog.float8, pg_catalog.float4),
    OPERATOR 5 pg_catalog.> (pg_catalog.float8, pg_catalog.float4),
    FUNCTION 1 (pg_catalog.float8, pg_catalog.float4) pg_catalog.btfloat84cmp(pg_catalog.float8, pg_catalog.float4);

CREATE OPERATOR FAMILY datetime_ops USING learned;

CREATE OPERATOR CLASS date_ops DEFAULT FOR TYPE pg_catalog.date USING learned FAMILY datetime_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.date_cmp(pg_catalog.date, pg_catalog.date),
    FUNCTION 2 pg_catalog.date_sortsupport(pg_catalog.internal),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

CREATE OPERATOR CLASS timestamp_ops DEFAULT FOR TYPE pg_catalog.timestamp USING learned FAMILY datetime_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.timestamp_cmp(pg_catalog.timestamp, pg_catalog.timestamp),
    FUNCTION 2 pg_catalog.timestamp_sortsupport(pg_catalog.internal),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

CREATE OPERATOR CLASS timestamptz_ops DEFAULT FOR TYPE pg_catalog.timestamptz USING learned FAMILY datetime_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.timestamptz_cmp(pg_catalog.timestamptz, pg_catalog.timestamptz),
    FUNCTION 2 pg_catalog.timestamp_sortsupport(pg_catalog.internal),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

ALTER OPERATOR FAMILY datetime_ops USING learned ADD
    OPERATOR 1 pg_catalog.< (pg_catalog.date, pg_catalog.timestamp),
    OPERATOR 2 pg_catalog.<= (pg_catalog.date, pg_catalog.timestamp),
    OPERATOR 3 pg_catalog.= (pg_catalog.date, pg_catalog.timestamp),
    OPERATOR 4 pg_catalog.>= (pg_catalog.date, pg_catalog.timestamp),
    OPERATOR 5 pg_catalog.> (pg_catalog.date, pg_catalog.timestamp),
    FUNCTION 1 (pg_catalog.date, pg_catalog.timestamp) pg_catalog.date_cmp_timestamp(pg_catalog.date, pg_catalog.timestamp),
    OPERATOR 1 pg_catalog.< (pg_catalog.date, pg_catalog.timestamptz),
    OPERATOR 2 pg_catalog.<= (pg_catalog.date, pg_catalog.timestamptz),
    OPERATOR 3 pg_catalog.= (pg_catalog.date, pg_catalog.timestamptz),
    OPERATOR 4 pg_catalog.>= (pg_catalog.date, pg_catalog.timestamptz),
    OPERATOR 5 pg_catalog.> (pg_catalog.date, pg_catalog.timestamptz),
    FUNCTION 1 (pg_catalog.date, pg_catalog.timestamptz) pg_catalog.date_cmp_timestamptz(pg_catalog.date, pg_catalog.timestamptz),
    FUNCTION 3 (pg_catalog.date, pg_catalog.interval) pg_catalog.in_range(pg_catalog.date, pg_catalog.date, pg_catalog.interval, pg_catalog.bool, pg_catalog.bool);

ALTER OPERATOR FAMILY datetime_ops USING learned ADD
    OPERATOR 1 pg_catalog.< (pg_catalog.timestamp, pg_catalog.date),
    OPERATOR 2 pg_catalog.<= (pg_catalog.timestamp, pg_catalog.date),
    OPERATOR 3 pg_catalog.= (pg_catalog.timestamp, pg_catalog.date),
    OPERATOR 4 pg_catalog.>= (pg_catalog.timestamp, pg_catalog.date),
    OPERATOR 5 pg_catalog.> (pg_catalog.timestamp, pg_catalog.date),
    FUNCTION 1 (pg_catalog.timestamp, pg_catalog.date) pg_catalog.timestamp_cmp_date(pg_catalog.timestamp, pg_catalog.date),
    OPERATOR 1 pg_catalog.< (pg_catalog.timestamp, pg_catalog.timestamptz),
    OPERATOR 2 pg_catalog.<= (pg_catalog.timestamp, pg_catalog.timestamptz),
    OPERATOR 3 pg_catalog.= (pg_catalog.timestamp, pg_catalog.timestamptz),
    OPERATOR 4 pg_catalog.>= (pg_catalog.timestamp, pg_catalog.timestamptz),
    OPERATOR 5 pg_catalog.> (pg_catalog.timestamp, pg_catalog.timestamptz),
    FUNCTION 1 (pg_catalog.timestamp, pg_catalog.timestamptz) pg_catalog.timestamp_cmp_timestamptz(pg_catalog.timestamp, pg_catalog.timestamptz),
    FUNCTION 3 (pg_catalog.timestamp, pg_catalog.interval) pg_catalog.in_range(pg_catalog.timestamp, pg_catalog.timestamp, pg_catalog.interval, pg_catalog.bool, pg_catalog.bool);

ALTER OPERATOR FAMILY datetime_ops USING learned ADD
    OPERATOR 1 pg_catalog.< (pg_catalog.timestamptz, pg_catalog.date),
    OPERATOR 2 pg_catalog.<= (pg_catalog.timestamptz, pg_catalog.date),
    OPERATOR 3 pg_catalog.= (pg_catalog.timestamptz, pg_catalog.date),
    OPERATOR 4 pg_catalog.>= (pg_catalog.timestamptz, pg_catalog.date),
    OPERATOR 5 pg_catalog.> (pg_catalog.timestamptz, pg_catalog.date),
    FUNCTION 1 (pg_catalog.timestamptz, pg_catalog.date) pg_catalog.timestamptz_cmp_date(pg_catalog.timestamptz, pg_catalog.date),
    OPERATOR 1 pg_catalog.< (pg_catalog.timestamptz, pg_catalog.timestamp),
    OPERATOR 2 pg_catalog.<= (pg_catalog.timestamptz, pg_catalog.timestamp),
    OPERATOR 3 pg_catalog.= (pg_catalog.timestamptz, pg_catalog.timestamp),
    OPERATOR 4 pg_catalog.>= (pg_catalog.timestamptz, pg_catalog.timestamp),
    OPERATOR 5 pg_catalog.> (pg_catalog.timestamptz, pg_catalog.timestamp),
    FUNCTION 1 (pg_catalog.timestamptz, pg_catalog.timestamp) pg_catalog.timestamptz_cmp_timestamp(pg_catalog.timestamptz, pg_catalog.timestamp),
    FUNCTION 3 (pg_catalog.timestamptz, pg_catalog.interval) pg_catalog.in_range(pg_catalog.timestamptz, pg_catalog.timestamptz, pg_catalog.interval, pg_catalog.bool, pg_catalog.bool);

CREATE OPERATOR FAMILY time_ops USING learned;

CREATE OPERATOR CLASS time_ops DEFAULT FOR TYPE pg_catalog.time USING learned FAMILY time_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.time_cmp(pg_catalog.time, pg_catalog.time),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

ALTER OPERATOR FAMILY time_ops USING learned ADD
    FUNCTION 3 (pg_catalog.time, pg_catalog.interval) pg_catalog.in_range(pg_catalog.time, pg_catalog.time, pg_catalog.interval, pg_catalog.bool, pg_catalog.bool);

CREATE OPERATOR FAMILY oid_ops USING learned;

CREATE OPERATOR CLASS oid_ops DEFAULT FOR TYPE pg_catalog.oid USING learned FAMILY oid_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.btoidcmp(pg_catalog.oid, pg_catalog.oid),
    FUNCTION 2 pg_catalog.btoidsortsupport(pg_catalog.internal),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

CREATE OPERATOR FAMILY bool_ops USING learned;

CREATE OPERATOR CLASS bool_ops DEFAULT FOR TYPE pg_catalog.bool USING learned FAMILY bool_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.btboolcmp(pg_catalog.bool, pg_catalog.bool),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

CREATE OPERATOR FAMILY char_ops USING learned;

CREATE OPERATOR CLASS char_ops DEFAULT FOR TYPE pg_catalog."char" USING learned FAMILY char_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.btcharcmp(pg_catalog."char", pg_catalog."char"),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

CREATE OPERATOR FAMILY money_ops USING learned;

CREATE OPERATOR CLASS money_ops DEFAULT FOR TYPE pg_catalog.money USING learned FAMILY money_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.cash_cmp(pg_catalog.money, pg_catalog.money),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

CREATE OPERATOR FAMILY macaddr_ops USING learned;

CREATE OPERATOR CLASS macaddr_ops DEFAULT FOR TYPE pg_catalog.macaddr USING learned FAMILY macaddr_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.macaddr_cmp(pg_catalog.macaddr, pg_catalog.macaddr),
    FUNCTION 2 pg_catalog.macaddr_sortsupport(pg_catalog.internal),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

CREATE OPERATOR FAMILY macaddr8_ops USING learned;

CREATE OPERATOR CLASS macaddr8_ops DEFAULT FOR TYPE pg_catalog.macaddr8 USING learned FAMILY macaddr8_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.macaddr8_cmp(pg_catalog.macaddr8, pg_catalog.macaddr8),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

CREATE OPERATOR FAMILY pg_lsn_ops USING learned;

CREATE OPERATOR CLASS pg_lsn_ops DEFAULT FOR TYPE pg_catalog.pg_lsn USING learned FAMILY pg_lsn_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.pg_lsn_cmp(pg_catalog.pg_lsn, pg_catalog.pg_lsn),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

CREATE OPERATOR FAMILY xid8_ops USING learned;

CREATE OPERATOR CLASS xid8_ops DEFAULT FOR TYPE pg_catalog.xid8 USING learned FAMILY xid8_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.xid8cmp(pg_catalog.xid8, pg_catalog.xid8),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

CREATE OPERATOR FAMILY timetz_ops USING learned;

CREATE OPERATOR CLASS timetz_ops DEFAULT FOR TYPE pg_catalog.timetz USING learned FAMILY timetz_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.timetz_cmp(pg_catalog.timetz, pg_catalog.timetz),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

ALTER OPERATOR FAMILY timetz_ops USING learned ADD
    FUNCTION 3 (pg_catalog.timetz, pg_catalog.interval) pg_catalog.in_range(pg_catalog.timetz, pg_catalog.timetz, pg_catalog.interval, pg_catalog.bool, pg_catalog.bool);

CREATE OPERATOR FAMILY uuid_ops USING learned;

CREATE OPERATOR CLASS uuid_ops DEFAULT FOR TYPE pg_catalog.uuid USING learned FAMILY uuid_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.uuid_cmp(pg_catalog.uuid, pg_catalog.uuid),
    FUNCTION 2 pg_catalog.uuid_sortsupport(pg_catalog.internal),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

CREATE OPERATOR FAMILY numeric_ops USING learned;

CREATE OPERATOR CLASS numeric_ops DEFAULT FOR TYPE pg_catalog.numeric USING learned FAMILY numeric_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.numeric_cmp(pg_catalog.numeric, pg_catalog.numeric),
    FUNCTION 2 pg_catalog.numeric_sortsupport(pg_catalog.internal),
    FUNCTION 3 pg_catalog.in_range(pg_catalog.numeric, pg_catalog.numeric, pg_catalog.numeric, pg_catalog.bool, pg_catalog.bool);

CREATE OPERATOR FAMILY network_ops USING learned;

-- Columns of cidr have it too, as in btree.
CREATE OPERATOR CLASS inet_ops DEFAULT FOR TYPE pg_catalog.inet USING learned FAMILY network_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.network_cmp(pg_catalog.inet, pg_catalog.inet),
    FUNCTION 2 pg_catalog.network_sortsupport(pg_catalog.internal),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

CREATE OPERATOR FAMILY interval_ops USING learned;

CREATE OPERATOR CLASS interval_ops DEFAULT FOR TYPE pg_catalog.interval USING learned FAMILY interval_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 pg_catalog.interval_cmp(pg_catalog.interval, pg_catalog.interval),
    FUNCTION 3 pg_catalog.in_range(pg_catalog.interval, pg_catalog.interval, pg_catalog.interval, pg_catalog.bool, pg_catalog.bool);
