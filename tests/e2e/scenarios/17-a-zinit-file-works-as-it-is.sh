#!/bin/bash
# A directory of one-service files with zinit's words and zinit's defaults.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

mkdir "$T/zinit" "$T/place"
cat >"$T/zinit/prepare.yaml" <<YAML
exec: sh -c "echo prepare >>$T/journal"
oneshot: true
YAML
cat >"$T/zinit/web.yaml" <<YAML
exec: sh -c 'echo "in \$PWD with \$FOO" >>$T/journal; exec $daemon web'
after:
  - prepare
env:
  FOO: bar
dir: $T/place
signal:
  stop: SIGUSR2
shutdown_timeout: 1
YAML
boot -c "$T/zinit"
await web running
wait_for "web" journal_has 'web start .*'
expect "order, directory and environment" "$(head -n 2 "$T/journal" | paste -sd,)" "prepare,in $T/place with bar"
first=$(pid_of web)
expect_code 0 ctl signal web:KILL
wait_for "a restart without being told" journal_has_count 'web start .*' 2
[ "$(pid_of web)" != "$first" ] || fail "web kept its pid after KILL"

expect_code 0 ctl stop web
wait_for "its stop signal" journal_has 'web usr2'
expect "state" "$(field web state)" stopped

pass
