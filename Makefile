# What each target needs is installed by scripts/setup (Debian 12, as root), but for `all` and `install`, which need
# only Rust, cargo-pgrx and the headers of the PostgreSQL that PG_CONFIG names.
PG_CONFIG ?= pg_config

.PHONY: all demo test test-long bench bench-full report install package fmt lint setup

# Hours of `make test-long`.
HOURS ?= 2

# By name, for archives that were unpacked without permissions.
all:
	bash scripts/stage "$(PG_CONFIG)"

demo:
	scripts/setup --demo
	demo/run

test: lint
	scripts/test

test-long:
	scripts/test-long "$(HOURS)"

bench:
	scripts/setup --demo
	scripts/bench quick

bench-full:
	scripts/setup --demo
	scripts/bench full

# Where the page goes.
OUT ?= target/report

report:
	scripts/setup --demo
	scripts/bench report --out "$(OUT)"

install:
	bash scripts/install "$(PG_CONFIG)"

package: setup
	scripts/package

fmt:
	cargo fmt --all

lint: setup
	scripts/lint

setup:
	scripts/setup
