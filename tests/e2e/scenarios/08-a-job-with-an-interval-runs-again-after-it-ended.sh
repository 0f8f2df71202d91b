#!/bin/bash
# `interval`: whatever its code, it runs again that long after it ended, never twice at once.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

config <<YAML
services:
  tick:
    shell: "echo tick begin >>$T/journal; sleep 0.1; echo tick end >>$T/journal"
    oneshot: true
    interval: 100ms
  sour:
    shell: "echo sour >>$T/journal; exit 1"
    oneshot: true
    interval: 100ms
  rare:
    shell: "echo rare >>$T/journal"
    oneshot: true
    interval: 1h
YAML
boot -c "$T/zei.yaml"
wait_for "four runs" journal_has_count 'tick end' 4
wait_for "three failed runs" journal_has_count 'sour' 3
expect_no_match "begin and end take turns" "$(grep tick "$T/journal" | paste -d, - -)" '^tick end|begin,tick begin'
expect "state between runs" "$(field rare state)" scheduled
expect "runs of the rare one" "$(journal_count rare)" 1

# `start` runs it now.
expect_code 0 ctl start rare
wait_for "the run by hand" journal_has_count rare 2

expect_code 0 ctl stop tick
runs=$(journal_count 'tick begin')
wait_for "two more of the other" journal_has_count sour "$(($(journal_count sour) + 3))"
expect "runs after stop" "$(journal_count 'tick begin')" "$runs"

pass
