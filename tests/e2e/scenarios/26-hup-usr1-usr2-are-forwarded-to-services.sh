#!/bin/bash
# To the main process of every service that runs, but not to oneshots, nor where the service says otherwise.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

config <<YAML
services:
  each: {command: [$daemon, each]}
  one: {command: [$daemon, one], forward_signals: [USR1]}
  once: {command: [$daemon, once], oneshot: true}
  none: {command: [$daemon, none], forward_signals: []}
YAML
boot -c "$T/zei.yaml"
for service in each one once none; do wait_for "$service" journal_has "$service start .*"; done
for signal in HUP USR1 USR2; do
    signal_init "$signal"
    wait_for "$signal in each" journal_has "each ${signal,,}"
done
wait_for "USR1 in one" journal_has 'one usr1'
stop_tree
expect "signals" "$(grep -E ' (hup|usr1|usr2)$' "$T/journal" | sort | paste -sd,)" "each hup,each usr1,each usr2,one usr1"

pass
