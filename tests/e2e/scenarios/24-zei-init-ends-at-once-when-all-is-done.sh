#!/bin/bash
# When the last service has ended for good, the container ends: with 0 if none failed.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

config <<YAML
services:
  one: {command: ["true"], oneshot: true}
  two: {shell: "exit 0", depends_on: [one]}
  last: {shell: "sleep 0.3; cut -d' ' -f1 /proc/uptime >$T/ended", depends_on: [two]}
YAML
run_tree -c "$T/zei.yaml"
now=$(cut -d' ' -f1 /proc/uptime)
expect "exit code" "$CODE" 0
late=$(((${now/./} - $(tr -d . <"$T/ended")) * 10))
# The container engine takes its own time to see the end.
if [ "$WORLD" = docker ]; then limit=3000; else limit=150; fi
expect_below "milliseconds from the last end to zei-init's" "$late" "$limit"

pass
