#!/bin/bash
# Worlds: docker
# After `docker restart`, and after SIGKILL of PID 1 and `docker start`, all services run again.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

config <<YAML
services:
  prepare: {shell: "echo prepare >>$T/journal", oneshot: true}
  web: {command: [$daemon, web], depends_on: [prepare]}
YAML
boot -c "$T/zei.yaml"
await web running
wait_for "the first start" journal_has 'web start .*'
docker restart -t "$PATIENCE" "$CONTAINER" >/dev/null
wait_for "the second start" journal_has_count 'web start .*' 2
await web running
expect "runs of the oneshot" "$(journal_count prepare)" 2

for round in 3 4 5; do
    docker kill "$CONTAINER" >/dev/null
    docker wait "$CONTAINER" >/dev/null
    docker start "$CONTAINER" >/dev/null
    wait_for "start $round, after SIGKILL" journal_has_count 'web start .*' "$round"
    await web running
done
stop_tree
expect "exit code" "$CODE" 0

pass
