#!/bin/bash
# Exit code 102 for what needs a running zei; `list` shows the configuration instead.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

config <<YAML
services:
  web: {command: [$daemon, web]}
YAML
launch -- sh -c 'exec sleep 1000000'
for verb in start stop restart; do
    expect_code 102 ctl "$verb" web
    expect_match "where it looked" "$ERR" '/run/zei'
done
expect_code 102 ctl signal web:HUP

try inside env ZEI_CONFIG="$T/zei.yaml" zei-ctl list
expect "exit code of list" "$CODE" 0
expect_match "list" "$OUT" '^NAME +STATUS'
expect_match "list" "$OUT" '^web +-'
expect "lines on standard error" "$(wc -l <<<"$ERR")" 1

pass
