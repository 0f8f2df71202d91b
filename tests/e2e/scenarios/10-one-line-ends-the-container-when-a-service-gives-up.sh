#!/bin/bash
# `on_failure: shutdown` and `on_exit: shutdown` stop all others in order; the code is that service's, and a failure is
# told last.
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
expect_match "who it was and why, on stderr" "$(errors)" \
    '^zei-init: the container failed, exit code 9: job ended by exit code 9, .* after its start$'
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
expect_no_match "nothing is said about a good end" "$(errors)" 'the container failed'

pass
