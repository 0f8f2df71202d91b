#!/bin/bash
# Worlds: docker
# A random uid without a passwd entry, a read-only root, no capability: services run as that user; one
# that wants another user is a configuration error.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

DOCKER_OPTIONS=(--user 4711:0 --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs "/run:noexec,mode=0777")
config <<YAML
services:
  web: {shell: "id -u >$T/id; exec $daemon web"}
YAML
launch -c "$T/zei.yaml"
wait_for "the service" journal_has 'web start .*'
expect "its uid" "$(<"$T/id")" 4711
expect_code 0 ctl wait web --for running --timeout 10s
expect_code 0 ctl restart web
wait_for "the second start" journal_has_count 'web start .*' 2
places='/run/zei /tmp/zei-4711 /dev/shm/zei-4711-*'
expect "the run directory is private" "$(inside sh -c "stat -c '%u %a' $places 2>/dev/null" </dev/null || :)" "4711 700"
stop_tree
expect "exit code" "$CODE" 0

config <<YAML
services:
  web: {command: ["true"], user: app}
YAML
run_tree -c "$T/zei.yaml"
expect "exit code where a service wants another user" "$CODE" 100
expect_match "why" "$(errors)" '"web": user: .*as root'

pass
