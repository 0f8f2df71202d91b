#!/bin/bash
# Timeout: 180
# A thousand services, a chain of twenty among them, start, are listed and stop; with the engine's default
# limits, and with /run on the image's own layers in Docker.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"
PATIENCE=60

{
    echo "services:"
    echo "  s0: {command: [sleep, '1000000']}"
    for n in {1..19}; do echo "  s$n: {command: [sleep, '1000000'], depends_on: [s$((n - 1))]}"; done
    for n in {20..999}; do echo "  s$n: {command: [sleep, '1000000']}"; done
} | config

begin=$(now_ms)
boot -c "$T/zei.yaml"
running() { ctl list | grep -cE '^s[0-9]+ +running '; }
all_run() { [ "$(running)" -eq 1000 ]; }
wait_for "a thousand running services" all_run
echo "$(($(now_ms) - begin)) ms until all are seen to run"

begin=$(now_ms)
expect_code 0 ctl list
echo "$(($(now_ms) - begin)) ms for list"
expect "rows" "$(wc -l <<<"$OUT")" 1001
expect_code 0 ctl restart s500

stop_tree
echo "$TOOK ms for the shutdown"
expect "exit code" "$CODE" 0
expect_below "milliseconds of the shutdown" "$TOOK" 10000

pass
