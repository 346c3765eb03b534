# The official image of PostgreSQL with the extension:
#   docker build --build-arg PG_MAJOR=18 -t postgres-learned .
# Then CREATE EXTENSION omendb_learned in a database.
ARG PG_MAJOR=18
ARG CODENAME=bookworm

FROM postgres:${PG_MAJOR}-${CODENAME} AS build
ARG PG_MAJOR
ARG RUST_VERSION=1.95
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates clang curl gcc git libc6-dev libclang-dev \
        libssl-dev make pkg-config postgresql-server-dev-${PG_MAJOR}
RUN curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain ${RUST_VERSION}
ENV PATH=/root/.cargo/bin:$PATH
RUN cargo install cargo-pgrx --version 0.18.1 --locked
WORKDIR /build
COPY . .
RUN DESTDIR=/installed make install PG_CONFIG=/usr/lib/postgresql/${PG_MAJOR}/bin/pg_config

FROM postgres:${PG_MAJOR}-${CODENAME}
COPY --from=build /installed/ /
