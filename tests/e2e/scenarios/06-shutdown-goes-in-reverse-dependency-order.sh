#!/bin/bash
# TERM to zei-init: what depends on others stops first; each gets its signal once; the code is 0.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

# A daemon that takes a moment to end, so that a wrong order would show.
sed 's/kill \$child;/sleep 0.2; kill $child;/' "$daemon" >"$T/slow"
chmod 755 "$T/slow"
config <<YAML
services:
  web: {command: [$T/slow, web], depends_on: [api]}
  db: {command: [$T/slow, db]}
  api: {command: [$T/slow, api], depends_on: [db]}
YAML
boot -c "$T/zei.yaml"
for service in db api web; do
    await "$service" running
    wait_for "the start of $service" journal_has "$service start .*"
done

stop_tree
expect "exit code" "$CODE" 0
expect "starts" "$(sed -n 's/ start .*//p' "$T/journal" | sort | xargs)" "api db web"
expect "order of the ends" "$(sed '/ start /d' "$T/journal" | paste -sd, -)" \
    "web term,web gone,api term,api gone,db term,db gone"
expect_below "milliseconds of the shutdown" "$TOOK" 5000

pass
