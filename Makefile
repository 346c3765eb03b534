# What each target needs is installed by scripts/setup (Debian 12, as root).
PG_CONFIG ?= pg_config

.PHONY: demo test bench install fmt lint setup

demo: setup
	demo/run

test: lint
	scripts/test

bench: setup
	demo/run --synthetic

install:
	scripts/install "$(PG_CONFIG)"

fmt:
	cargo fmt --all

lint: setup
	scripts/lint

setup:
	scripts/setup
