#!/bin/bash
# When `stop`, `start` and `restart` return, it has happened; doing it again is no error.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

config <<YAML
services:
  web: {command: [$daemon, web]}
YAML
boot -c "$T/zei.yaml"
await web running
wait_for "the first start" journal_has 'web start .*'
first=$(pid_of web)

expect_code 0 ctl start web
expect "pid after start of a running service" "$(pid_of web)" "$first"

expect_code 0 ctl restart web
second=$(pid_of web)
[ "$second" != "$first" ] || fail "restart kept pid $first"
if inside kill -0 "$first" 2>/dev/null; then fail "restart left pid $first behind"; fi
expect "state after restart" "$(field web state)" running

expect_code 0 ctl stop web
expect "state after stop" "$(field web state)" stopped
if inside kill -0 "$second" 2>/dev/null; then fail "stop left pid $second behind"; fi
expect_code 0 ctl stop web
expect_code 3 ctl status web

expect_code 0 ctl start web
expect "state after start" "$(field web state)" running
expect_code 0 ctl stop web
expect_code 0 ctl restart web
expect "state after restart of a stopped service" "$(field web state)" running

for verb in start stop restart; do expect_code 4 ctl "$verb" nosuch; done
expect_code 100 ctl strat web

pass
