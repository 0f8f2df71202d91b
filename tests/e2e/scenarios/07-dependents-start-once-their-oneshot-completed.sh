#!/bin/bash
# Three services that depend on one oneshot start after it exited 0, and never if it failed.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

config <<YAML
services:
  web: {command: [$daemon, web], depends_on: [prepare]}
  api: {command: [$daemon, api], depends_on: [prepare]}
  worker: {command: [$daemon, worker], depends_on: [prepare]}
  prepare:
    shell: "echo prepare begin >>$T/journal; sleep 0.3; echo prepare end >>$T/journal"
    oneshot: true
YAML
boot -c "$T/zei.yaml"
for service in web api worker; do await "$service" running; done
for service in web api worker; do wait_for "the start of $service" journal_has "$service start .*"; done
expect "state of the oneshot" "$(field prepare state)" completed
expect "the first two lines" "$(head -n 2 "$T/journal" | paste -sd, -)" "prepare begin,prepare end"
expect "runs of the oneshot" "$(journal_count 'prepare begin')" 1
stop_tree

: >"$T/journal"
config <<YAML
services:
  prepare: {command: [sh, -c, "exit 3"], oneshot: true}
  web: {command: [$daemon, web], depends_on: [prepare]}
  other: {command: [$daemon, other]}
YAML
boot -c "$T/zei.yaml"
wait_for "web to fail" field_is web state failed
expect "reason" "$(field web reason)" dependency:prepare
expect "state of the oneshot" "$(field prepare state)" failed
expect_code 1 await web running
expect "starts of web" "$(journal_count 'web start .*')" 0

pass
