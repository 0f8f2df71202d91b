#!/bin/bash
# On a terminal a shell under zei-init has a controlling terminal, ^C, ^Z and its exit code, with and
# without a configuration.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"
need_root
command -v script >/dev/null || skip "script is not installed (Debian: bsdutils)"

screen=$T/screen
shown() { grep -qE -- "$1" "$screen"; }
type_in() { printf '%b' "$1" >&"$keys"; }

# The engine gives PID 1 a session of its own with the terminal; setsid does here.
on_terminal() { # ARGUMENTS of zei-init…: starts it on a new terminal; `keys` is its keyboard
    local line
    rm -f "$T/keys"
    mkfifo "$T/keys"
    exec {keys}<>"$T/keys"
    case "$WORLD" in
    docker) line="docker run -it --label $LABEL -v $T:$T -e ENV= $IMAGE $*" ;;
    namespace)
        line="unshare --pid --fork --mount --mount-proc --kill-child --"
        [ "$(id -u)" -eq 0 ] || line="unshare --user --map-root-user ${line#unshare }"
        line+=" sh -c 'mount -t tmpfs tmpfs /run && exec setsid --ctty $BIN/zei-init $*'"
        ;;
    esac
    : >"$screen"
    pristine ENV= PATH="$BIN:$PATH" script -qec "$line" /dev/null <"$T/keys" >"$screen" 2>&1 {keys}>&- &
    KEEPER=$!
}

session() {
    # What is typed is shown too, so every word to look for is typed in two halves.
    type_in ': </dev/tty && echo contr""olling\n'
    wait_for "a controlling terminal" shown 'controlling'
    type_in "sh -c 'echo fi\"\"rst; exec sleep 1000000'\n"
    wait_for "a job in the foreground" shown 'first'
    type_in '\003'
    type_in 'echo code""-$?\n'
    wait_for "^C to end the job" shown 'code-130'
    type_in "sh -c 'echo sec\"\"ond; exec sleep 1000000'\n"
    wait_for "another job" shown 'second'
    type_in '\032'
    type_in 'echo code""-$?; jobs; kill -9 %1\n'
    wait_for "^Z to stop the job" shown 'code-(146|147|148)'
    wait_for "the shell to list it" shown 'Stopped'
    # A shell may warn once about jobs that it has not yet seen to end.
    type_in 'exit 6\nexit 6\n'
    CODE=0
    wait "$KEEPER" || CODE=$?
    expect_no_match "what the shell said" "$(<"$screen")" 'no job control|access tty'
    expect "exit code" "$CODE" 6
    exec {keys}>&-
}

on_terminal -- sh -i
session

config <<YAML
services:
  web: {command: [$daemon, web]}
YAML
on_terminal -c "$T/zei.yaml" -- sh -i
session
wait_for "the service to be stopped after the shell" journal_has 'web gone'

pass
