# Stages: prebuilt | builder -> binaries -> toolkit, runtime (the default); test.
#
#   docker build -t zei .                                       Alpine with zei-init as its entrypoint
#   docker build -t zei --build-arg RUNTIME_IMAGE=debian:bookworm-slim .
#   docker build -t zei-toolkit --target toolkit .              only the programs, for
#                                                               COPY --from=zei-toolkit / /usr/local/bin/
#   docker build --target test .                                cargo's tests
#
# BINARIES=prebuilt takes what `make dist` left in target/dist instead of compiling.
# Nothing names an architecture: what is built is what RUST_IMAGE runs on.

ARG RUST_IMAGE=rust:alpine
ARG RUNTIME_IMAGE=alpine:3.22
ARG BINARIES=builder

# LICENSE is always there, so the pattern may match nothing else.
FROM scratch AS prebuilt
COPY LICENSE target/dis[t]/zei-* /dist/

# A builder that builds every stage in turn (Docker without BuildKit) comes through here with
# BINARIES=prebuilt too; then there is nothing to do.
FROM ${RUST_IMAGE} AS builder
ARG BINARIES
WORKDIR /src
COPY . .
RUN if [ "$BINARIES" = builder ]; then \
        if command -v apk >/dev/null; then apk add --no-cache make musl-dev; fi && \
        make dist DIST=/dist; \
    fi

FROM ${BINARIES} AS binaries

# Everything in it is a program, so that `COPY --from=… / DIR/` copies just those.
FROM scratch AS toolkit
COPY --from=binaries /dist/zei-* /
ENTRYPOINT ["/zei-init"]

FROM ${RUNTIME_IMAGE} AS runtime
COPY --from=binaries /dist/zei-* /usr/local/bin/
# Without a configuration zei-init runs the command it is given, as tini does. Services are added
# by COPY into /etc/zei/zei.yaml or /etc/zei/zei.d/.
ENTRYPOINT ["/usr/local/bin/zei-init"]

FROM builder AS test
RUN cargo test --workspace --locked

FROM runtime
