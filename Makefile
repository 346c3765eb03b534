# What each target needs is installed by scripts/setup (Debian 12, as root).
PG_CONFIG ?= pg_config

.PHONY: demo test test-long bench install fmt lint setup

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
	demo/run --synthetic

install:
	scripts/install "$(PG_CONFIG)"

fmt:
	cargo fmt --all

lint: setup
	scripts/lint

setup:
	scripts/setup
