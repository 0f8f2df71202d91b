#!/bin/bash
# Worlds: docker
# Timeout: 1500
# 64 workers that double-fork and call setsid as fast as they can, under a limit of 1500 processes: after `zei-ctl stop`
# nothing of them is left, at once; where they ignore TERM, at once after the grace period; where their supervisor was
# killed meanwhile, its successor finds them. ROUNDS=50 measures.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

debian_runtime
# shellcheck disable=SC2034 # for lib.sh
IMAGE=zei-e2e-debian-runtime:$$
# shellcheck disable=SC2034
DOCKER_OPTIONS=(--pids-limit 1500)
# shellcheck disable=SC2034
CROWDED=1

cat >"$T/storm" <<'PERL'
#!/usr/bin/perl
# Whoever is left goes on alone after a minute, so that no accident lasts.
my $end = time + 60;
for (1 .. 64) {
    my $worker = fork;
    redo if !defined $worker;
    next if $worker;
    while (time < $end) {
        my $child = fork;
        if (!defined $child) { next }
        if ($child) { exit 0 }
        syscall(112);
    }
    exit 0;
}
sleep 60;
PERL
chmod 755 "$T/storm"

GRACE=300
config <<YAML
services:
  polite: {command: [$T/storm], user: "1234", autostart: false, stop_grace_period: 1h}
  deaf: {shell: "trap '' TERM; exec $T/storm", user: "1235", autostart: false, stop_grace_period: ${GRACE}ms}
  steady: {command: [sleep, "4242"]}
YAML
boot -c "$T/zei.yaml"
await steady running

# The time from the first word of a service's last stop to its end, in milliseconds, as its supervisor tells it.
stop_time() {
    local from to
    read -r from to < <(inside zei-ctl events --no-follow "$1" </dev/null |
        sed -n 's/.*"time":"\([^"]*\)".*"state":"\([a-z]*\)".*/\2 \1/p' |
        awk '$1 == "running" {from = ""} $1 == "stopping" && !from {from = $2} $1 == "stopped" {to = $2} END {print from, to}')
    echo $(($(date -d "$to" +%s%3N) - $(date -d "$from" +%s%3N)))
}
# Of its processes, those whose state (proc(5)) is one of these. What has ended may wait for its turn to be reaped.
hoppers() { # STATES
    inside sh -c "cat /proc/[0-9]*/stat 2>/dev/null | grep -cE '^[0-9]+ [(](storm|perl)[)] [$1]' || true" </dev/null
}
storms() { [ "$(hoppers A-Z)" -ge 64 ]; }

taken_over() { [ "$(field "$1" supervisor)" != "$2" ]; }

start_storm() {
    expect_code 0 ctl start "$1"
    wait_for "the storm" storms
    expect "$1" "$(field "$1" state)" running
}

# Ends its storm; all of it is gone then. TIMES gets the milliseconds.
stop_storm() {
    local took
    expect_code 0 ctl stop "$1" --timeout 30s
    took=$(stop_time "$1")
    [ "$1" = polite ] || took=$((took - GRACE))
    TIMES+=("$took")
    expect "processes of $1 that are left" "$(hoppers A-Y)" 0
}

# STORMS=deaf runs only that.
for service in ${STORMS:-polite deaf}; do
    TIMES=()
    for ((round = 0; round < ${ROUNDS:-3}; round++)); do
        start_storm "$service"
        stop_storm "$service"
    done
    echo "$service, milliseconds until all were gone: $(printf '%s\n' "${TIMES[@]}" | sort -n | tr '\n' ' ')"
    TIMES=()
    for ((round = 0; round < ${ROUNDS:-3}; round++)); do
        start_storm "$service"
        begun=$(field "$service" run)
        supervisor=$(field "$service" supervisor)
        inside kill -KILL "$supervisor"
        wait_for "another supervisor" taken_over "$service" "$supervisor"
        stop_storm "$service"
        expect "run of $service" "$(field "$service" run)" "$begun"
    done
    echo "the same with its supervisor killed: $(printf '%s\n' "${TIMES[@]}" | sort -n | tr '\n' ' ')"
done
expect "steady" "$(field steady state) $(field steady run)" "running 1"
stop_tree
expect "exit code" "$CODE" 0
pass
