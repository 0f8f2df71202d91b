#!/bin/bash
# `on_failure: shutdown` and `on_exit: shutdown` stop all others in order; the code is that service's.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

config <<YAML
services:
  web: {command: [$daemon, web]}
  job:
    shell: "until grep -q 'web start' $T/journal; do sleep 0.05; done; exit 9"
    on_failure: shutdown
YAML
run_tree -c "$T/zei.yaml"
expect "exit code after on_failure" "$CODE" 9
expect "the other service was asked to stop" "$(journal_count 'web gone')" 1

: >"$T/journal"
config <<YAML
services:
  web: {command: [$daemon, web]}
  job:
    shell: "until grep -q 'web start' $T/journal; do sleep 0.05; done; exit 0"
    on_exit: shutdown
YAML
run_tree -c "$T/zei.yaml"
expect "exit code after on_exit" "$CODE" 0
expect "the other service was asked to stop" "$(journal_count 'web gone')" 1

pass
