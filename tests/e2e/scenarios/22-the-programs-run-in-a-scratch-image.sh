#!/bin/bash
# Worlds: docker
# The toolkit stage has nothing but the programs, and services run in it, under numeric users too.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

base=$("$E2E/images.sh" base)
toolkit=zei-e2e-toolkit:$$
"$E2E/build.sh" toolkit "$base" "$toolkit" "$T/built" >"$T/build.log" 2>&1
tac "$T/built" >>"$T/images"
id=$(docker create --label "$LABEL" "$toolkit")
expect "what is in the toolkit image" \
    "$(docker export "$id" | tar -t | grep -E '^zei' | sort | xargs)" \
    "zei-cron zei-ctl zei-init zei-log zei-probe zei-setuidgid zei-supervise"

# One program is needed to have something to run; it is no part of the toolkit.
mkdir "$T/image"
cp "$(command -v busybox)" "$T/image/busybox"
cat >"$T/image/zei.yaml" <<YAML
services:
  prepare: {command: [/busybox, "true"], oneshot: true}
  app: {command: [/busybox, sleep, "1000000"], user: "1000:1000", depends_on: [prepare], stop_signal: KILL}
YAML
cat >"$T/image/Dockerfile" <<TEXT
FROM $toolkit
COPY busybox /busybox
COPY zei.yaml /etc/zei/zei.yaml
TEXT
build_image "zei-e2e-scratch:$$" "$T/image"
IMAGE=zei-e2e-scratch:$$
launch
running() { docker exec "$CONTAINER" /zei-ctl wait app --for running --timeout 10s; }
wait_for "the service" running
try docker exec "$CONTAINER" /zei-ctl list
expect_match "list" "$OUT" '^app +running'
expect_match "list" "$OUT" '^prepare +completed'
expect "zei-setuidgid in a scratch image" "$(docker exec "$CONTAINER" /zei-setuidgid 4711:4712 /busybox id -u)" 4711
expect "zei-cron in a scratch image" \
    "$(docker exec "$CONTAINER" /zei-cron --zone Europe/Berlin --after 1774652400000 --count 1 '30 2 29 * *')" \
    "Sun 2026-03-29 03:00:00 +02:00 Europe/Berlin"
try docker exec "$CONTAINER" /zei-probe tcp 1
expect "zei-probe in a scratch image" "$CODE $ERR" "1 zei-probe: tcp localhost:1: Connection refused"
stop_tree
expect "exit code" "$CODE" 0

pass
