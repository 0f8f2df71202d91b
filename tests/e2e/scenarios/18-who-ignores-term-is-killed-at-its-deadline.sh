#!/bin/bash
# `stop_grace_period` bounds a stop, `shutdown_timeout` the whole shutdown; nothing is left then.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

cat >"$T/stubborn" <<SCRIPT
#!/bin/sh
trap '' TERM
# A child in a session of its own ignores TERM too.
setsid sleep 1000000 &
echo "\$1 \$\$ \$!" >>$T/journal
while :; do wait; done
SCRIPT
chmod 755 "$T/stubborn"
config <<YAML
shutdown_timeout: 1500ms
services:
  short: {command: [$T/stubborn, short], stop_grace_period: 700ms}
  long: {command: [$T/stubborn, long]}
YAML
boot -c "$T/zei.yaml"
for service in short long; do wait_for "$service" journal_has "$service .*"; done
begin=$(now_ms)
expect_code 0 ctl stop short
took=$(($(now_ms) - begin))
[ "$took" -ge 700 ] || fail "stop took $took ms, expected the grace of 700"
expect_below "milliseconds of a stop with 700 ms grace" "$took" 3000
expect "state" "$(field short state)" stopped
read -r _ main child < <(grep '^short ' "$T/journal")
for pid in "$main" "$child"; do
    if inside kill -0 "$pid" 2>/dev/null; then fail "pid $pid of short is left"; fi
done

stop_tree
[ "$TOOK" -ge 1500 ] || fail "the shutdown took $TOOK ms, expected the budget of 1500"
expect_below "milliseconds of a shutdown with a budget of 1500" "$TOOK" 4500
expect "exit code" "$CODE" 0
expect_match "who was killed" "$(errors)" long

pass
