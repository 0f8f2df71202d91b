#!/bin/bash
# `restart: always`: after `kill -9` from outside of zei it runs again, with a new pid; the status counts.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

config <<YAML
services:
  web: {command: [$daemon, web], restart: always, restart_delay: 0}
YAML
boot -c "$T/zei.yaml"
await web running
for round in 1 2 3; do
    wait_for "start $round" journal_has_count 'web start .*' "$round"
    pid=$(pid_of web)
    inside kill -9 "$pid"
    wait_for "start $((round + 1))" journal_has_count 'web start .*' "$((round + 1))"
    await web running
    wait_for "the count in the status" field_is web restarts "$round"
    [ "$(pid_of web)" != "$pid" ] || fail "the pid is still $pid"
done
expect "starts" "$(journal_count 'web start .*')" 4
stop_tree
expect "exit code" "$CODE" 0

pass
