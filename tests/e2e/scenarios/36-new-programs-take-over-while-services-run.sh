#!/bin/bash
# zei-ctl upgrade: zei-init and every supervisor become the programs on the disk; services keep their processes, and
# what was true of the tree before is true of it after.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

config <<YAML
exit: {when: {service: web}}
services:
  web: {shell: "trap 'exit 42' USR1; while :; do sleep 1; done", depends_on: [db]}
  db: {command: [sleep, "4242"], restart: always, stop_grace_period: 1s}
YAML
boot -c "$T/zei.yaml"
await web running
await db running

lives() { for service in web db; do echo "$service $(field $service pid) $(field $service since) $(field $service run)"; done; }
before=$(lives)
for _ in 1 2 3; do
    expect_code 0 ctl upgrade --timeout 30s
    expect_match "its answer" "$OUT" '^zei-init and 2 supervisors are zei '
    expect "the services" "$(lives)" "$before"
done

main=$(pid_of db)
inside kill -KILL "$main"
wait_for "a restart by policy" field_is db run 2
inside kill -USR1 "$(pid_of web)"
finish
expect "exit code" "$CODE" 42
pass
