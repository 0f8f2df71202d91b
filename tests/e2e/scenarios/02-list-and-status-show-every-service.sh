#!/bin/bash
# `zei-ctl list` has a row per service with state and pid; `status` has the exit code that fits.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

config <<YAML
services:
  web: {command: [$daemon, web]}
  once: {command: ["true"], oneshot: true}
  manual: {command: [$daemon, manual], autostart: false}
YAML
boot -c "$T/zei.yaml"
await web running
await once "done"

expect_code 0 ctl list
expect_match "the head of list" "$(head -n 1 <<<"$OUT")" '^NAME +STATUS +PID +RESTARTS +UPTIME'
expect_match "list" "$OUT" "^web +running +$(pid_of web) +0 "
expect_match "list" "$OUT" '^once +completed '
expect_match "list" "$OUT" '^manual +stopped '
expect "rows of list" "$(wc -l <<<"$OUT")" 4

inside kill -0 "$(pid_of web)" || fail "the pid of web is no process"

expect_code 0 ctl status web
expect_match "status" "$OUT" 'running'
expect_code 0 ctl status once
expect_code 3 ctl status manual
expect_code 4 ctl status wbe
expect_match "the near name" "$ERR" 'web'

expect_code 0 ctl list --json
expect_match "list --json" "$OUT" '"web"'
expect_code 0 ctl status --json web
expect_match "status --json" "$OUT" '"running"'

pass
