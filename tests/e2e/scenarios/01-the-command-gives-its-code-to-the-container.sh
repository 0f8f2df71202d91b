#!/bin/bash
# `zei-init COMMAND` without a configuration, and `zei-init -- COMMAND`, end with the command's code.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

run_tree -- sh -c 'echo hello; echo oops >&2; exit 42'
expect "exit code" "$CODE" 42
expect "standard output" "$(output)" hello
expect "standard error" "$(errors)" oops

run_tree sh -c 'exit 0'
expect "exit code without --" "$CODE" 0

run_tree -- sh -c 'kill -s KILL $$'
expect "exit code of a command killed by signal 9" "$CODE" 137

run_tree -- /no/such/program
expect "exit code where there is no such program" "$CODE" 127

: >"$T/data"
chmod 644 "$T/data"
run_tree -- "$T/data"
expect "exit code where the file is no program" "$CODE" 126

pass
