#!/bin/bash
# Under another init the same services run, orphans are reaped, the code is the same; a second zei-init in
# the same run directory is refused.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

config <<YAML
services:
  web: {command: [$daemon, web]}
  job:
    shell: "until grep -q 'web start' $T/journal; do sleep 0.05; done; (setsid sleep 1000000 &); exit 9"
    on_failure: shutdown
YAML
run_tree -- zei-init -c "$T/zei.yaml"
expect "exit code" "$CODE" 9
expect "the service was stopped" "$(journal_count 'web gone')" 1

config <<YAML
services:
  web: {command: [$daemon, web]}
YAML
: >"$T/journal"
boot -c "$T/zei.yaml"
await web running
expect_code 100 inside zei-init -c "$T/zei.yaml" </dev/null
expect_match "what is in the way and what helps" "$ERR" '/run/zei.*ZEI_RUN|ZEI_RUN.*/run/zei'
expect "state of the first one's service" "$(field web state)" running

pass
