#!/bin/bash
# `zei-init -c FILE -- COMMAND`: it starts after every service, its code is the container's, and the
# services are stopped in order after it.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

config <<YAML
services:
  db: {command: [$daemon, db]}
  prepare:
    shell: "until grep -q 'db start' $T/journal; do sleep 0.05; done; echo prepare >>$T/journal"
    oneshot: true
YAML
run_tree -c "$T/zei.yaml" -- sh -c "echo cmd \$PWD >>$T/journal; exit 5"
expect "exit code" "$CODE" 5
expect "order" "$(sed 's/ start .*/ start/' "$T/journal" | paste -sd,)" "db start,prepare,cmd /,db term,db gone"

# A service that fails before keeps it from starting.
: >"$T/journal"
config <<YAML
services:
  prepare: {command: [sh, -c, "exit 4"], oneshot: true}
YAML
run_tree -c "$T/zei.yaml" -- sh -c "echo cmd >>$T/journal"
expect "exit code where a oneshot failed" "$CODE" 4
expect "what ran" "$(<"$T/journal")" ""

# TERM goes to the command in its place in the order.
config <<YAML
services:
  db: {command: [$daemon, db]}
YAML
launch -c "$T/zei.yaml" -- "$daemon" cmd
wait_for "db" journal_has 'db start .*'
wait_for "the command" journal_has 'cmd start .*'
signal_init HUP
wait_for "HUP in the command" journal_has 'cmd hup'
stop_tree
expect "order of the ends" "$(sed '/ start /d; / hup/d' "$T/journal" | paste -sd,)" "cmd term,cmd gone,db term,db gone"
expect "HUP went to the command only" "$(journal_count 'db hup')" 0
expect "exit code" "$CODE" 0

pass
