\set VERBOSITY default
-- Local times against absolute ones, in zones whose clocks change: as a sequential scan compares.
-- POSIX zones may be further from UTC than a day, so that a change of the clocks decides about
-- local times that are days away from it.
SET DateStyle = 'ISO';
CREATE TABLE local_times AS
SELECT t, t::date AS d
FROM generate_series('2024-10-22'::timestamp, '2024-11-14', '1 hour') t
UNION ALL SELECT t, t::date
FROM generate_series('2011-12-27'::timestamp, '2012-01-02', '1 hour') t
UNION ALL VALUES ('-infinity'::timestamp, '-infinity'::date), ('infinity', 'infinity'), (NULL, NULL),
                 ('4714-11-24 BC', '4714-11-24 BC'), ('294276-12-31 23:59', '5874897-12-31');
CREATE INDEX ON local_times USING learned (t);
CREATE INDEX ON local_times USING learned (d);
ANALYZE local_times;

CREATE FUNCTION differences(zone text, col text, OUT compared int, OUT different int)
LANGUAGE plpgsql AS $$
DECLARE
    instant timestamptz;
    op text;
    query text;
    scanned text;
    indexed text;
BEGIN
    compared := 0;
    different := 0;
    PERFORM set_config('TimeZone', zone, true);
    FOR instant IN
        SELECT generate_series('2024-10-24 00:00+00'::timestamptz, '2024-11-12', '170 minutes')
        UNION ALL
        SELECT generate_series('2011-12-29 00:00+00'::timestamptz, '2012-01-01', '1 hour')
        UNION ALL
        SELECT unnest('{infinity, -infinity, 4714-11-24 00:00+00 BC}'::timestamptz[])
    LOOP
        FOREACH op IN ARRAY '{<, <=, =, >=, >}'::text[] LOOP
            query := format('SELECT md5(string_agg(%1$I::text, '','' ORDER BY %1$I)) '
                            'FROM local_times WHERE %1$I %2$s $1', col, op);
            SET LOCAL enable_seqscan = on;
            SET LOCAL enable_indexscan = off;
            SET LOCAL enable_indexonlyscan = off;
            SET LOCAL enable_bitmapscan = off;
            EXECUTE query INTO scanned USING instant;
            SET LOCAL enable_seqscan = off;
            SET LOCAL enable_indexscan = on;
            SET LOCAL enable_indexonlyscan = on;
            EXECUTE query INTO indexed USING instant;
            compared := compared + 1;
            different := different + (scanned IS DISTINCT FROM indexed)::int;
        END LOOP;
    END LOOP;
END $$;

SELECT zone, col, differences.*
FROM unnest('{UTC, America/New_York, Australia/Lord_Howe, Pacific/Apia,
             "AAA-100BBB,M3.2.0,M11.1.0", "AAA+100BBB,M3.2.0,M11.1.0",
             "AAA-150BBB-160,M3.2.0,M11.1.0"}'::text[]) zone,
     unnest('{t, d}'::text[]) col,
     differences(zone, col);

SET enable_seqscan = off;
SET TimeZone = 'America/New_York';
EXPLAIN (COSTS OFF) SELECT t FROM local_times WHERE t = '2024-11-03 05:30+00'::timestamptz;
-- An hour that the clocks show twice stands for its second pass.
SELECT t FROM local_times WHERE t BETWEEN '2024-11-03 04:00+00'::timestamptz AND '2024-11-03 07:00+00'::timestamptz ORDER BY t;
RESET TimeZone;
RESET enable_seqscan;
DROP FUNCTION differences;
DROP TABLE local_times;
