#!/bin/bash
# Processes whose parent has gone, made beside the services and within one, leave no zombie behind.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

# With a configuration, and with a bare command.
zombies() { inside sh -c 'grep -l "^State:.Z" /proc/[0-9]*/status 2>/dev/null | wc -l' </dev/null; }
orphans() { inside sh -c 'grep -laE "^(setsid.)?sleep.(0.2|1000000)" /proc/[0-9]*/cmdline 2>/dev/null | wc -l' </dev/null; }
none() { [ "$(orphans)" -eq "$1" ] && [ "$(zombies)" -eq 0 ]; }

config <<YAML
services:
  web: {command: [sh, $T/parent]}
YAML
cat >"$T/parent" <<SCRIPT
i=0
while [ \$i -lt 30 ]; do
    # In a session of its own, and then without a parent.
    (setsid sleep 0.2 &)
    i=\$((i + 1))
done
echo made >>$T/journal
exec $daemon web
SCRIPT
boot -c "$T/zei.yaml"
wait_for "the orphans of the service" journal_has 'web start .*'
inside sh -c 'i=0; while [ $i -lt 30 ]; do (setsid sleep 0.2 &); i=$((i + 1)); done'
# Only the daemon's own child stays.
wait_for "no orphan and no zombie" none 1
expect "state of the service" "$(field web state)" running
stop_tree
expect "exit code" "$CODE" 0

launch -- sh -c 'i=0; while [ $i -lt 30 ]; do (setsid sleep 0.2 &); i=$((i + 1)); done; exec sleep 1000000'
wait_for "no orphan and no zombie under a bare command" none 1

pass
