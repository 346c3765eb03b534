-- The measuring part: two tables with the same rows in the same order, one with a B-tree, one with
-- a learned index, asked in turn. {t} in a query stands for the table, its index is {t}_k.
CREATE EXTENSION omendb_learned;
CREATE TABLE results (
    id int GENERATED ALWAYS AS IDENTITY, keys text, rows bigint, measured text, unit text,
    btree float8, learned float8, ratio float8, low float8, high float8);

CREATE FUNCTION median(float8[]) RETURNS float8 LANGUAGE sql
    AS 'SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY v) FROM unnest($1) v';

CREATE PROCEDURE record(keys text, measured text, unit text, btree float8[], learned float8[]) LANGUAGE plpgsql AS $$
DECLARE
    ratios float8[];
    total bigint;
BEGIN
    SELECT array_agg(b / nullif(l, 0)) INTO ratios FROM unnest(btree, learned) u (b, l);
    EXECUTE format('SELECT count(*) FROM %I', keys || '_btree') INTO total;
    INSERT INTO results (keys, rows, measured, unit, btree, learned, ratio, low, high)
        SELECT record.keys, total, record.measured, record.unit, median(record.btree), median(record.learned),
            median(ratios), min(r), max(r) FROM unnest(ratios) r;
END $$;

-- Builds both indexes `rounds` times in turn and leaves the last ones.
CREATE PROCEDURE build(keys text, rounds int) LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    btree float8[] := '{}';
    learned float8[] := '{}';
    method text;
    took float8;
    total float8;
BEGIN
    FOR round IN 1..rounds LOOP
        FOREACH method IN ARRAY CASE WHEN round % 2 = 0 THEN '{btree,learned}' ELSE '{learned,btree}' END::text[] LOOP
            EXECUTE format('DROP INDEX IF EXISTS %I', keys || '_' || method || '_k');
            started := clock_timestamp();
            EXECUTE format('CREATE INDEX %I ON %I USING %I (k)', keys || '_' || method || '_k', keys || '_' || method, method);
            took := extract(epoch FROM clock_timestamp() - started) * 1000;
            IF method = 'btree' THEN btree := btree || took; ELSE learned := learned || took; END IF;
        END LOOP;
    END LOOP;
    EXECUTE format('SELECT count(*) FROM %I', keys || '_btree') INTO total;
    CALL record(keys, 'index size', 'bytes/row',
        ARRAY[pg_relation_size((keys || '_btree_k')::regclass) / total], ARRAY[pg_relation_size((keys || '_learned_k')::regclass) / total]);
    CALL record(keys, 'CREATE INDEX', 'ms', btree, learned);
END $$;

-- Times one query on both tables in turn, after a round that is not counted. Raises an error where
-- an index is not used or the answers differ. By scans of both indexes, unless the learned one may count.
CREATE PROCEDURE compare(keys text, measured text, query text, rounds int DEFAULT 7, counts bool DEFAULT false)
LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    btree float8[] := '{}';
    learned float8[] := '{}';
    answers text[] := '{}';
    answer text;
    method text;
    sentence text;
    line text;
    plan text := '';
    took float8;
BEGIN
    SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off;
    SET LOCAL enable_memoize = off;
    SET LOCAL enable_bitmapscan = off;
    PERFORM set_config('omendb_learned.enable_count', counts::text, true);
    FOREACH method IN ARRAY '{btree,learned}'::text[] LOOP
        plan := '';
        FOR line IN EXECUTE 'EXPLAIN ' || replace(query, '{t}', keys || '_' || method) LOOP
            plan := plan || line || E'\n';
        END LOOP;
        IF position(format('using %s_%s_k', keys, method) IN plan) = 0
            AND NOT (counts AND position(format('Index: %s_%s_k', keys, method) IN plan) > 0) THEN
            RAISE EXCEPTION 'the % index of % is not used: %', method, keys, plan;
        END IF;
    END LOOP;
    FOR round IN 0..rounds LOOP
        FOREACH method IN ARRAY CASE WHEN round % 2 = 0 THEN '{btree,learned}' ELSE '{learned,btree}' END::text[] LOOP
            sentence := replace(query, '{t}', keys || '_' || method);
            started := clock_timestamp();
            EXECUTE format('SELECT s::text FROM (%s) s', sentence) INTO answer;
            took := extract(epoch FROM clock_timestamp() - started) * 1000;
            answers := answers || answer;
            CONTINUE WHEN round = 0;
            IF method = 'btree' THEN btree := btree || took; ELSE learned := learned || took; END IF;
        END LOOP;
    END LOOP;
    IF (SELECT count(DISTINCT a) <> 1 FROM unnest(answers) a) THEN
        RAISE EXCEPTION 'different answers from %: %', keys, answers;
    END IF;
    CALL record(keys, measured, 'ms', btree, learned);
END $$;

-- Index pages that one warm lookup touches: those of many lookups in one statement, divided. By
-- bitmap scans, whose index node counts no visibility map.
CREATE PROCEDURE pages(keys text, probes text) LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
    touched float8[] := '{}';
    method text;
BEGIN
    SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off;
    SET LOCAL enable_memoize = off;
    SET LOCAL enable_indexscan = off;
    SET LOCAL enable_bitmapscan = on;
    SET LOCAL enable_seqscan = off;
    FOREACH method IN ARRAY '{btree,learned}'::text[] LOOP
        FOR round IN 1..2 LOOP
            EXECUTE format('EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) SELECT * FROM %I p,
                LATERAL (SELECT t.k FROM %I t WHERE t.k = p.k LIMIT 1) t', probes, keys || '_' || method) INTO plan;
        END LOOP;
        SELECT touched || (((n ->> 'Shared Hit Blocks')::float8 + (n ->> 'Shared Read Blocks')::float8) / (n ->> 'Actual Loops')::float8)
            INTO touched
            FROM jsonb_path_query(plan, '$.** ? (@."Node Type" == "Bitmap Index Scan")') n LIMIT 1;
    END LOOP;
    CALL record(keys, 'index pages per warm lookup', 'pages', touched[1:1], touched[2:2]);
END $$;

-- Times one INSERT into both tables in turn, each round with other rows; {t} stands for the table and
-- {round} for the round. Also records the WAL that it writes a row.
CREATE PROCEDURE write(keys text, measured text, statement text, rounds int DEFAULT 7) LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    position pg_lsn;
    btree float8[] := '{}';
    learned float8[] := '{}';
    btree_wal float8[] := '{}';
    learned_wal float8[] := '{}';
    method text;
    added bigint;
    took float8;
    wrote float8;
BEGIN
    FOR round IN 0..rounds LOOP
        FOREACH method IN ARRAY CASE WHEN round % 2 = 0 THEN '{btree,learned}' ELSE '{learned,btree}' END::text[] LOOP
            started := clock_timestamp();
            position := pg_current_wal_insert_lsn();
            EXECUTE replace(replace(statement, '{t}', keys || '_' || method), '{round}', round::text);
            GET DIAGNOSTICS added = ROW_COUNT;
            COMMIT;
            took := extract(epoch FROM clock_timestamp() - started) * 1e6 / added;
            wrote := (pg_current_wal_insert_lsn() - position) / added;
            CONTINUE WHEN round = 0;
            -- Time per row rather than rows per time: a ratio above 1 is better, as everywhere.
            IF method = 'btree' THEN
                btree := btree || took; btree_wal := btree_wal || wrote;
            ELSE
                learned := learned || took; learned_wal := learned_wal || wrote;
            END IF;
        END LOOP;
    END LOOP;
    CALL record(keys, measured, 's per million rows', btree, learned);
    CALL record(keys, measured || ', WAL', 'bytes/row', btree_wal, learned_wal);
END $$;
