# What each target needs is installed by scripts/setup (Debian 12, as root).
PG_CONFIG ?= pg_config

.PHONY: demo test test-long bench bench-full install fmt lint setup

# Hours of `make test-long`.
HOURS ?= 2

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

install:
	scripts/install "$(PG_CONFIG)"

fmt:
	cargo fmt --all

lint: setup
	scripts/lint

setup:
	scripts/setup
