#!/bin/bash
# Worlds: docker
# Timeout: 600
# After `docker restart`, and after SIGKILL of PID 1 and `docker start`, all services run again, whatever is left in the run
# directory: a command that is half written, files of an older version, a file in the place of a directory. ROUNDS=100
# goes on for so long.
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

# What somebody, or another version, may have left there.
litter=(
    'printf half >/run/zei/services/web/control'
    'echo state=strange >/run/zei/services/web/status; echo 1 >/run/zei/services/web/from-the-future'
    'rm -rf /run/zei/services/web; echo file >/run/zei/services/web'
    'rm -f /run/zei/init/lock /run/zei/init/control; mkdir -p /run/zei/services/gone/deep; mkfifo /run/zei/services/gone/event'
    'chmod 000 /run/zei/init/status; ln -sf /etc/passwd /run/zei/services/web/acks'
)
for ((round = 3; round < 3 + ${ROUNDS:-5}; round++)); do
    inside sh -c "${litter[round % ${#litter[@]}]}" </dev/null
    if ((round % 4 == 0)); then
        docker stop -t "$PATIENCE" "$CONTAINER" >/dev/null
    else
        docker kill "$CONTAINER" >/dev/null
        docker wait "$CONTAINER" >/dev/null
    fi
    docker start "$CONTAINER" >/dev/null
    wait_for "start $round" journal_has_count 'web start .*' "$round"
    await web running
    expect "starts of web" "$(journal_count 'web start .*')" "$round"
    expect_code 0 ctl restart prepare
done
stop_tree
expect "exit code" "$CODE" 0

pass
