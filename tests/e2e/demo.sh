#!/bin/bash
# `make demo`: the tree of skel/demo/zei.yaml as PID 1 of a fresh PID namespace: what runs, its control,
# its lines, an orderly end. Prints each command before what it says, and ends by itself.
set -eu -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
BIN=$(realpath -m "${ZEI_BIN_DIR:-$top/target/dist}")
PATH=$BIN:$PATH

user=() enter=()
if [ "$(id -u)" -ne 0 ]; then
    user=(--user --map-root-user)
    enter=(--user --preserve-credentials)
fi
if ! unshare ${user[@]+"${user[@]}"} --pid --fork --mount --mount-proc --kill-child -- true; then
    echo "the demo needs root, or a kernel that lets users make namespaces" >&2
    exit 111
fi

keeper='' pipe=$(mktemp -u /tmp/zei-demo.XXXXXX)
trap '[ -z "$keeper" ] || kill -9 "$keeper" 2>/dev/null; rm -f "$pipe"' EXIT
mkfifo "$pipe"

title() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
[ -t 1 ] || title() { printf '\n== %s\n' "$*"; }

# Runs a command beside the services, as `docker exec` would.
inside() { nsenter --target "$init" ${enter[@]+"${enter[@]}"} --mount --pid -- env PATH="$PATH" "$@"; }
show() { # COMMAND…
    local code=0
    echo "\$ $*"
    inside "$@" </dev/null || code=$?
    [ "$code" -eq 0 ] || echo "(exit code $code)"
}
shell() { # TEXT: the same through a shell
    echo "\$ $1"
    inside sh -c "$1" </dev/null
}

# How often a service was started.
runs() { inside sed -n 's/^run=//p; /^end=/q' "/run/zei/services/$1/status" </dev/null; }

title "a container's PID 1: zei-init -c skel/demo/zei.yaml"
sed -u 's/^/    container | /' <"$pipe" &
printer=$!
unshare ${user[@]+"${user[@]}"} --pid --fork --mount --mount-proc --kill-child -- \
    sh -c 'mount -t tmpfs -o mode=755 tmpfs /run && cd / && exec zei-init -c "$1"' sh "$top/skel/demo/zei.yaml" \
    </dev/null >"$pipe" 2>&1 &
keeper=$!

# The tree is up once zei-init has a status file; before that there is nothing that could tell.
for ((attempt = 0; ; attempt++)); do
    init=$(cat "/proc/$keeper/task/$keeper/children" 2>/dev/null) && init=${init%% *}
    if [ -n "$init" ] && inside test -e /run/zei/init/status 2>/dev/null; then break; fi
    if [ "$attempt" -ge 500 ] || ! kill -0 "$keeper" 2>/dev/null; then
        echo "zei-init did not come up" >&2
        exit 1
    fi
    sleep 0.02
done
inside zei-ctl wait web --for running --timeout 10s
inside zei-ctl wait heartbeat --for running --timeout 10s

title "what runs: started in the order of their dependencies"
show zei-ctl list
title "one of them in detail"
show zei-ctl status web
title "restart: answered when it runs again"
show zei-ctl restart database
title "a signal to one service"
show zei-ctl signal web:HUP
title "a crash: restart: always brings it back, after restart_delay"
starts=$(runs database)
show zei-ctl signal database:KILL
until [ "$(runs database)" -gt "$starts" ]; do sleep 0.02; done
show zei-ctl status database
title "stop and start"
show zei-ctl stop heartbeat
show zei-ctl start heartbeat
title "the same control from a shell, with echo and cat"
shell "echo '- restart' >/run/zei/services/database/control"
shell "cat /run/zei/services/web/status"
show zei-ctl list

title "an orderly end: dependents first, then what they depend on"
echo "\$ kill -TERM 1     # what docker stop does"
kill -TERM "$init"
code=0
wait "$keeper" || code=$?
keeper=''
# The last lines may still be on their way.
wait "$printer"
echo "exit code of the container: $code"
exit "$code"
