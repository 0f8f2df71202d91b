#!/bin/bash
# A killed zei-supervise is replaced and its service goes on, under another user as well; how it ends is still learnt,
# and a stop leaves nothing of it.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"
need_root

cat >"$T/forking" <<'SCRIPT'
#!/bin/sh
(setsid sleep 4242 &)
while :; do sleep 4241; done
SCRIPT
cat >"$T/ending" <<'SCRIPT'
#!/bin/sh
trap 'exit 42' USR1
while :; do sleep 1; done
SCRIPT
chmod 755 "$T/forking" "$T/ending"

config <<YAML
services:
  forking: {command: [$T/forking], user: app, restart: always, stop_grace_period: 2s}
  ending: {command: [$T/ending], user: worker}
YAML
boot -c "$T/zei.yaml"
await forking running
await ending running

taken_over() { [ "$(field "$1" supervisor)" != "$2" ]; }
sleeps() { inside sh -c 'grep -l "^sleep" /proc/[0-9]*/comm 2>/dev/null | wc -l'; }
has_sleeps() { [ "$(sleeps)" -ge "$1" ]; }
wait_for "its children" has_sleeps 3

for service in forking ending; do
    before=$(field $service pid):$(field $service start):$(field $service run):$(field $service since)
    for _ in 1 2 3; do
        supervisor=$(field $service supervisor)
        inside kill -KILL "$supervisor"
        wait_for "another supervisor" taken_over $service "$supervisor"
        expect "$service is the same" \
            "$(field $service pid):$(field $service start):$(field $service run):$(field $service since)" "$before"
        expect "$service" "$(field $service state) $(field $service restarts)" "running 0"
    done
done

inside kill -USR1 "$(pid_of ending)"
wait_for "its end" field_is ending state failed
expect "how it ended" "$(field ending exit)" 42

inside kill -KILL "$(pid_of forking)"
wait_for "a restart by policy" field_is forking run 2
expect "its restarts" "$(field forking restarts)" 1
supervisor=$(field forking supervisor)
inside kill -KILL "$supervisor"
wait_for "another supervisor" taken_over forking "$supervisor"
ctl stop forking
expect "what is left" "$(sleeps)" 0

stop_tree
expect "exit code" "$CODE" 0
pass
