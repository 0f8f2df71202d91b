#!/bin/bash
# Worlds: docker
# Timeout: 600
# 64 workers that double-fork and call setsid as fast as they can, under a limit of 1500 processes: after `zei-ctl stop`
# nothing of them is left, at once; where they ignore TERM, at once after the grace period. ROUNDS=50 measures.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

debian_runtime
# shellcheck disable=SC2034 # for lib.sh
IMAGE=zei-e2e-debian-runtime:$$
# shellcheck disable=SC2034
DOCKER_OPTIONS=(--pids-limit 1500)

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
  polite: {command: [$T/storm], user: "1234", autostart: false, stop_grace_period: 5s}
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
hoppers() { inside sh -c 'grep -lE "^(storm|perl)" /proc/[0-9]*/comm 2>/dev/null | wc -l' </dev/null; }
storms() { [ "$(hoppers)" -ge 64 ]; }

for service in polite deaf; do
    times=()
    for ((round = 0; round < ${ROUNDS:-3}; round++)); do
        expect_code 0 ctl start "$service"
        wait_for "the storm" storms
        expect "$service" "$(field "$service" state)" running
        expect_code 0 ctl stop "$service" --timeout 30s
        took=$(stop_time "$service")
        [ "$service" = polite ] || took=$((took - GRACE))
        times+=("$took")
        expect "processes of $service that are left" "$(hoppers)" 0
    done
    echo "$service, milliseconds until all were gone: $(printf '%s\n' "${times[@]}" | sort -n | tr '\n' ' ')"
done
expect "steady" "$(field steady state) $(field steady run)" "running 1"
stop_tree
expect "exit code" "$CODE" 0
pass
