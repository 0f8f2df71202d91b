#!/bin/bash
# `restart: on-failure` ends with the first success; `max_restarts: 3` allows four runs; the code of the
# failure becomes the container's.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

config <<YAML
services:
  flaky:
    shell: "echo flaky >>$T/journal; [ \$(grep -c flaky $T/journal) -eq 3 ]"
    restart: on-failure
    restart_delay: 10ms
  broken:
    shell: "echo broken >>$T/journal; exit 7"
    restart: always
    max_restarts: 3
    restart_delay: 10ms
  signalled:
    shell: "echo signalled >>$T/journal; kill -s KILL \$\$"
    restart: on-failure
    max_restarts: 1
    restart_delay: 100ms
YAML
run_tree -c "$T/zei.yaml"
expect "runs until success" "$(journal_count flaky)" 3
expect "runs with max_restarts: 3" "$(journal_count broken)" 4
expect "a death by signal is a failure" "$(journal_count signalled)" 2
expect "exit code: that of the first failure" "$CODE" 7

# The same seen from inside, while something else runs.
cat >>"$T/zei.yaml" <<YAML
  stays: {command: [$daemon, stays]}
YAML
: >"$T/journal"
boot -c "$T/zei.yaml"
await flaky "done"
expect "state after success" "$(field flaky state)" completed
wait_for "broken to give up" field_is broken state failed
expect "restarts" "$(field broken restarts)" 3
expect "exit code in the status" "$(field broken exit)" 7
expect_code 1 await broken "done"

pass
