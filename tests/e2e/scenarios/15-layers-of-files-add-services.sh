#!/bin/bash
# A file and a directory: fragments, bare services named after their file; a name twice is an error that
# names both files unless the later one says how to merge.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

mkdir -p "$T/etc/zei.d"
cat >"$T/etc/zei.yaml" <<YAML
services:
  web: {command: [$daemon, web]}
YAML
cat >"$T/etc/zei.d/10-worker.yaml" <<YAML
services:
  worker: {command: [$daemon, worker], depends_on: [web]}
YAML
cat >"$T/etc/zei.d/cache.yaml" <<YAML
command: [$daemon, cache]
YAML
echo 'services: {odd: {command: ["true"]}}' >"$T/etc/zei.d/README"
boot -c "$T/etc/zei.yaml" -c "$T/etc/zei.d"
for service in web worker cache; do await "$service" running; done
expect "services" "$(ctl list | sed 1d | cut -d' ' -f1 | sort | xargs)" "cache web worker"
stop_tree
expect "exit code" "$CODE" 0

cat >"$T/etc/zei.d/20-again.yaml" <<YAML
services:
  web: {restart: always}
YAML
run_tree -c "$T/etc/zei.yaml" -c "$T/etc/zei.d"
expect "exit code with the same service twice" "$CODE" 100
expect_match "it names the later file" "$(errors)" '20-again\.yaml'
expect_match "it names the earlier file" "$(errors)" 'etc/zei\.yaml'

: >"$T/journal"
cat >"$T/etc/zei.d/20-again.yaml" <<YAML
override: merge
services:
  web: {restart: always, restart_delay: 10ms}
YAML
boot -c "$T/etc/zei.yaml" -c "$T/etc/zei.d"
wait_for "web" journal_has 'web start .*'
expect_code 0 ctl signal web:KILL
wait_for "the merged restart policy" journal_has_count 'web start .*' 2

pass
