# shellcheck shell=bash disable=SC2034
# What every scenario sources: one set of words for both worlds.
#
# The world is ZEI_E2E_WORLD: `namespace` (zei-init is PID 1 of a fresh PID and mount namespace on
# this machine's root, with a tmpfs on /run) or `docker` (PID 1 of a container of $IMAGE). The
# directory $T has the same path in both and is writable by everybody; `run` removes it, and with it
# whatever the scenario has left behind. Nothing here cleans up, so a scenario may die anywhere.
#
# `pass`, `skip` and `fail` end a scenario; any command that fails does too, as a failure.
set -eEu -o pipefail

NAME=$(basename "$0" .sh)
WORLD=${ZEI_E2E_WORLD:?start scenarios through tests/e2e/run}
T=${ZEI_E2E_DIR:?start scenarios through tests/e2e/run}
BIN=${ZEI_BIN_DIR:?start scenarios through tests/e2e/run}
E2E=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LABEL=zei-e2e=$(basename "$T")
# Set by `run` in the docker world: the runtime stage of the Dockerfile on a busybox base.
IMAGE=${ZEI_E2E_IMAGE:-}
# Seconds that anything may take here before it counts as never.
PATIENCE=${ZEI_E2E_PATIENCE:-20}

# For the next `launch`: variables of the container, and further options of `docker run`.
BOOT_ENV=()
DOCKER_OPTIONS=()
# Not empty: the container may be at its limit of processes, so that no other can be made in it at times.
CROWDED=''
KEEPER='' INIT='' CONTAINER='' CODE='' OUT='' ERR='' TOOK=''
declare -A READERS

trap 'fail "line $LINENO: \`$BASH_COMMAND\` exited $?"' ERR

# --- how a scenario ends --------------------------------------------------------------------------

# The verdict is a file, since a failure may be noticed where standard output goes elsewhere; the first
# one counts.
fail() { # MESSAGE: says it, with all that helps to understand it
    trap - ERR
    set +eE
    if [ ! -e "$T/verdict" ]; then
        {
            echo "FAIL $NAME: $*"
            [ ! -e "$T/zei.yaml" ] || sed 's/^/    config | /' "$T/zei.yaml"
            [ -z "$OUT$ERR" ] || printf 'last command, exit %s: %s\n%s\n' "$CODE" "$OUT" "$ERR" | sed 's/^/    /'
            output 2>/dev/null | tail -n 30 | sed 's/^/    stdout | /'
            errors 2>/dev/null | tail -n 30 | sed 's/^/    stderr | /'
            tail -n 30 "$T/screen" 2>/dev/null | sed "s/^/    screen | /"
        } >"$T/verdict" 2>&1
    fi
    exit 1
}

skip() { # REASON
    echo "skip $NAME: $*"
    exit 77
}

pass() { # the last line of every scenario, so that one that ends early has not passed
    echo "ok $NAME"
    exit 0
}

# Other users than one's own exist only for root.
need_root() { [ "$WORLD" = docker ] || [ "$(id -u)" -eq 0 ] || skip "needs root"; }

# --- expectations ---------------------------------------------------------------------------------

expect() { # WHAT ACTUAL EXPECTED
    [ "$2" = "$3" ] || fail "$1: expected '$3', got '$2'"
}

expect_match() { # WHAT ACTUAL REGEX
    grep -qE -- "$3" <<<"$2" || fail "$1: expected a line that matches '$3', got:"$'\n'"$2"
}

expect_no_match() { # WHAT ACTUAL REGEX
    ! grep -qE -- "$3" <<<"$2" || fail "$1: expected no line that matches '$3', got:"$'\n'"$2"
}

expect_below() { # WHAT ACTUAL LIMIT
    [ "$2" -lt "$3" ] || fail "$1: expected less than $3, got $2"
}

try() { # COMMAND…: runs it; CODE, OUT, ERR tell
    CODE=0
    OUT=$("$@" 2>"$T/.try") || CODE=$?
    ERR=$(<"$T/.try")
}

expect_code() { # CODE COMMAND…: runs it as `try` does
    local wanted=$1
    shift
    try "$@"
    [ "$CODE" -eq "$wanted" ] || fail "\`$*\`: expected exit code $wanted, got $CODE"
}

# Waits until COMMAND succeeds. Where zei offers an event (`ctl wait`), that is used instead.
wait_for() { # WHAT COMMAND…
    local what=$1 end=$((SECONDS + PATIENCE))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || fail "waited $PATIENCE s for: $what"
        sleep 0.02
    done
}

now_ms() { # wall clock in milliseconds; only differences are used
    echo "$((${EPOCHREALTIME/[.,]/} / 1000))"
}

# --- a tree ---------------------------------------------------------------------------------------

config() { # writes standard input to $T/zei.yaml
    cat >"$T/zei.yaml"
}

tree() { # [USER]: one service of USER, else of whoever zei-init is, and one with a process beside its own
    config <<YAML
services:
  web: {command: [sleep, "1000000"]${1:+, user: $1}}
  own: {shell: "sleep 1000001 & sleep 1000002"}
YAML
}

# A daemon for services: `command: [$daemon, NAME]`. It says in $T/journal what happens to it, one
# line each: `NAME start PID`, `NAME hup`, `NAME usr1`, `NAME usr2`, `NAME int`, and on TERM `NAME term`,
# then `NAME gone`. It does nothing else.
daemon=$T/daemon
cat >"$daemon" <<SCRIPT
#!/bin/sh
say() { echo "\$name \$*" >>"$T/journal"; }
SCRIPT
cat >>"$daemon" <<'SCRIPT'
name=$1
for signal in HUP USR1 USR2 INT; do
    # shellcheck disable=SC2064 # now
    trap "say $(echo $signal | tr A-Z a-z)" $signal
done
trap 'say term; kill $child; say gone; exit 0' TERM
sleep 1000000 &
child=$!
say start $$
while kill -0 $child 2>/dev/null; do wait $child; done
SCRIPT
chmod 755 "$daemon"

# Where both worlds have it: the journal, writable by every user.
: >"$T/journal"
chmod 666 "$T/journal"

# Like env: without what this shell adds to its background jobs, which ignore INT and QUIT, and without
# what would lead zei elsewhere. A container has neither.
pristine() {
    local clean=()
    if env --default-signal=INT true 2>/dev/null; then clean=("--default-signal=INT,QUIT"); fi
    exec env -u ZEI_RUN -u ZEI_CONFIG -u NOTIFY_SOCKET ${clean[@]+"${clean[@]}"} "$@"
}

launch() { # ARGUMENTS of zei-init…: starts it as PID 1, and waits for nothing
    INIT='' CONTAINER='' KEEPER=''
    case "$WORLD" in
    docker)
        local variable options=()
        for variable in ${BOOT_ENV[@]+"${BOOT_ENV[@]}"}; do options+=(-e "$variable"); done
        CONTAINER=$(docker run -d --label "$LABEL" -v "$T:$T" ${options[@]+"${options[@]}"} \
            ${DOCKER_OPTIONS[@]+"${DOCKER_OPTIONS[@]}"} "$IMAGE" "$@")
        ;;
    namespace)
        local stream user=()
        [ "$(id -u)" -eq 0 ] || user=(--user --map-root-user)
        rm -rf "$T/etc-accounts" "$T"/.out "$T"/.err
        mkdir "$T/etc-accounts"
        "$E2E/images.sh" accounts "$T/etc-accounts"
        # Pipes, as Docker gives.
        for stream in out err; do
            mkfifo "$T/.$stream"
            : >"$T/std$stream"
            cat "$T/.$stream" >>"$T/std$stream" &
            READERS[$stream]=$!
        done
        pristine PATH="$BIN:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" HOME=/root \
            ${BOOT_ENV[@]+"${BOOT_ENV[@]}"} \
            unshare ${user[@]+"${user[@]}"} --pid --fork --mount --mount-proc --kill-child -- sh -c '
                set -e
                mount -t tmpfs -o mode=755 tmpfs /run
                mount --bind "$1/passwd" /etc/passwd
                mount --bind "$1/group" /etc/group
                shift
                cd /
                exec "$@"' sh "$T/etc-accounts" "$BIN/zei-init" "$@" \
            </dev/null >"$T/.out" 2>"$T/.err" &
        KEEPER=$!
        ;;
    esac
}

boot() { # ARGUMENTS of zei-init…: starts it and waits until it can be controlled
    launch "$@"
    wait_for "zei-init's status file" booted
}

booted() {
    if ! alive; then
        finish
        fail "zei-init ended before it could be controlled, with code $CODE"
    fi
    inside test -e /run/zei/init/status
}

alive() { # whether PID 1 is still there
    case "$WORLD" in
    docker) [ "$(docker inspect -f '{{.State.Running}}' "$CONTAINER")" = true ] ;;
    namespace) kill -0 "$KEEPER" 2>/dev/null ;;
    esac
}

find_init() { # INIT=pid of PID 1 as this machine counts; fails until the exec of zei-init
    local child
    alive || fail "zei-init has ended"
    child=$(cat "/proc/$KEEPER/task/$KEEPER/children" 2>/dev/null) || return 1
    child=${child%% *}
    [ -n "$child" ] && [ "$(tr '\0' '\n' 2>/dev/null <"/proc/$child/cmdline" | head -n 1)" = "$BIN/zei-init" ] || return 1
    INIT=$child
}

init_pid() { # waits for find_init
    if [ -z "$INIT" ]; then wait_for "the exec of zei-init" find_init; fi
}

inside() { # COMMAND…: runs it beside the services, as root; standard input is passed on
    case "$WORLD" in
    docker)
        local code end=$((SECONDS + PATIENCE))
        while :; do
            code=0
            docker exec -i "$CONTAINER" "$@" || code=$?
            # Docker's own code where it can make no process there.
            [ -n "$CROWDED" ] && [ "$code" -eq 126 ] && [ "$SECONDS" -lt "$end" ] || return "$code"
        done
        ;;
    namespace)
        init_pid
        local user=()
        [ "$(id -u)" -eq 0 ] || user=(--user --preserve-credentials)
        nsenter --target "$INIT" ${user[@]+"${user[@]}"} --mount --pid -- \
            env -u ZEI_RUN -u ZEI_CONFIG PATH="$BIN:$PATH" ${BOOT_ENV[@]+"${BOOT_ENV[@]}"} "$@"
        ;;
    esac
}

ctl() { inside zei-ctl "$@" </dev/null; }

signal_init() { # SIGNAL (without SIG), from outside
    case "$WORLD" in
    docker) docker kill -s "$1" "$CONTAINER" >/dev/null ;;
    namespace) init_pid && kill -s "$1" "$INIT" ;;
    esac
}

finish() { # waits until PID 1 has ended; CODE is its exit code
    CODE=0
    case "$WORLD" in
    docker) CODE=$(docker wait "$CONTAINER") ;;
    namespace)
        wait "$KEEPER" || CODE=$?
        wait "${READERS[@]}" || :
        ;;
    esac
}

stop_tree() { # asks PID 1 to end and waits; CODE, and TOOK in milliseconds
    local begin
    [ "$WORLD" = docker ] || init_pid
    begin=$(now_ms)
    case "$WORLD" in
    docker) docker stop -t "$PATIENCE" "$CONTAINER" >/dev/null ;;
    namespace) kill -s TERM "$INIT" ;;
    esac
    # What was started by this shell is waited for in any case; the clock stops with PID 1.
    if [ "$WORLD" = namespace ]; then
        CODE=0
        wait "$KEEPER" || CODE=$?
        TOOK=$(($(now_ms) - begin))
    else
        # When PID 1 had ended, not when the engine had taken its file system apart.
        TOOK=$(($(date -d "$(docker inspect -f '{{.State.FinishedAt}}' "$CONTAINER")" +%s%3N) - begin))
    fi
    finish
}

run_tree() { # ARGUMENTS of zei-init…: from start to end; CODE, and TOOK in milliseconds
    local begin
    begin=$(now_ms)
    launch "$@"
    finish
    TOOK=$(($(now_ms) - begin))
}

output() { # the container's standard output so far
    case "$WORLD" in
    docker) docker logs "$CONTAINER" 2>/dev/null ;;
    namespace) cat "$T/stdout" ;;
    esac
}

errors() { # the container's standard error so far
    case "$WORLD" in
    docker) { docker logs "$CONTAINER" >/dev/null; } 2>&1 ;;
    namespace) cat "$T/stderr" ;;
    esac
}

output_has() { output | grep -E -- "$1" >/dev/null; }
errors_have() { errors | grep -E -- "$1" >/dev/null; }

# --- what the files under /run/zei say --------------------------------------------------------------

field() { # SERVICE KEY: a value from its status file
    inside sed -n "s/^$2=//p; /^end=/q" "/run/zei/services/$1/status" </dev/null
}

field_is() { [ "$(field "$1" "$2")" = "$3" ]; }

# Waits for it; fails at once where the service can't come there.
await() { # SERVICE STATE [ready|running|stopped|done]
    ctl wait "$1" --for "$2" --timeout "${PATIENCE}s" >/dev/null
}

pid_of() { field "$1" pid; }

# Lines of $T/journal, as services append to it.
journal_has() { grep -qxE -- "$1" "$T/journal"; }
journal_count() { grep -cxE -- "$1" "$T/journal" || :; }
journal_has_count() { [ "$(journal_count "$1")" -ge "$2" ]; }

# --- images of one scenario (docker) ----------------------------------------------------------------

debian_runtime() { # makes zei-e2e-debian-runtime:$$, zei on Debian with real programs; `run` removes it
    local debian
    debian=$("$E2E/images.sh" debian 2>"$T/why") || skip "no Debian image: $(tail -n 1 "$T/why")"
    "$E2E/build.sh" runtime "$debian" "zei-e2e-debian-runtime:$$" "$T/built" >"$T/build.log" 2>&1
    tac "$T/built" >>"$T/images"
}

# IMAGE with a zei-init that is setuid root, whose user is app, and which is IMAGE from then on. Standard input is its
# configuration; LINEs come before USER. Who may read /etc/zei/secret.env is root, and what it has is SECRET=xyzzy.
setuid_image() { # TAG [LINE…]
    mkdir -p "$T/image"
    cat >"$T/image/zei.yaml"
    echo 'SECRET=xyzzy' >"$T/image/secret.env"
    printf '%s\n' "FROM $IMAGE" "COPY zei.yaml secret.env /etc/zei/" \
        "RUN chmod u+s /usr/local/bin/zei-init && chmod 600 /etc/zei/secret.env" "${@:2}" "USER app" >"$T/image/Dockerfile"
    build_image "$1:$$" "$T/image"
    IMAGE=$1:$$
}

build_image() { # TAG DIRECTORY: builds the Dockerfile there; `run` removes the image
    echo "$1" >>"$T/images"
    docker build --network none --label "$LABEL" -t "$1" "$2" >"$T/.build" 2>&1 || fail "docker build: $(cat "$T/.build")"
}
