#!/bin/bash
# Worlds: docker
# Timeout: 300
# New files of all programs take over ten times while redis-benchmark runs: it loses no connection, and redis keeps its
# process.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

debian_runtime
mkdir "$T/image"
cat >"$T/image/Dockerfile" <<TEXT
FROM zei-e2e-debian-runtime:$$
COPY zei.yaml /etc/zei/zei.yaml
TEXT
cat >"$T/image/zei.yaml" <<'YAML'
services:
  redis:
    command: [redis-server, --supervised, systemd, --bind, 127.0.0.1, --dir, /tmp, --save, ""]
    user: redis
    ready: {notify: systemd}
    healthcheck: {test: {tcp: 6379}, interval: 200ms}
  load:
    command: [redis-benchmark, -q, -c, "50", -n, "400000", -t, "set,get"]
    user: nobody
    depends_on: [redis]
    restart: no
  other: {command: [sleep, "4242"]}
YAML
cp "$T/image/zei.yaml" "$T/zei.yaml"
build_image "zei-e2e-upgrade:$$" "$T/image"
# shellcheck disable=SC2034 # for lib.sh
IMAGE=zei-e2e-upgrade:$$

boot
await redis ready
await load running
life() { echo "$(field "$1" pid) $(field "$1" start) $(field "$1" run) $(field "$1" since)"; }
redis=$(life redis) load=$(life load)
# As a package manager does it: a new file, put in the place of the old one.
replace='for file in "$(dirname "$(command -v zei-init)")"/zei-*; do cp -p "$file" "$file.new" && mv "$file.new" "$file"; done'
old() { inside sh -c 'ls -l /proc/[0-9]*/exe 2>/dev/null | grep -c "/zei-.*deleted"' </dev/null || :; }
for _ in {1..10}; do
    inside sh -c "$replace" </dev/null
    [ "$(old)" -gt 0 ] || fail "the old programs do not run"
    expect_code 0 ctl upgrade --timeout 30s
    wait_for "the end of the old programs" test "$(old)" = 0
done
expect "the load" "$(field load state) $(life load)" "running $load"
expect "redis" "$(life redis)" "$redis"
expect_code 0 ctl wait load --for "done" --timeout 3m
expect "the load's exit code" "$(field load exit)" 0
expect "redis after the load" "$(life redis)" "$redis"
output_has "GET: [0-9.]+ requests per second" || fail "no result of redis-benchmark"
! { output; errors; } | grep -iE 'error|reset|refused|lost' || fail "redis-benchmark has noticed something"
stop_tree
expect "exit code" "$CODE" 0
pass
