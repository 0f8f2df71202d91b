#!/bin/bash
# Worlds: docker
# `--read-only` without any tmpfs: `zei-init COMMAND` works, and makes no run directory.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

DOCKER_OPTIONS=(--read-only --cap-drop ALL --security-opt no-new-privileges)
run_tree sh -c 'ls -d /run/zei 2>/dev/null; touch /tmp/x 2>/dev/null && echo writable; exit 3'
expect "exit code" "$CODE" 3
expect "standard output" "$(output)" ""
expect "standard error" "$(errors)" ""

DOCKER_OPTIONS+=(--user 4711:0)
run_tree sh -c 'id -u; exit 4'
expect "exit code as another user" "$CODE" 4
expect "standard output" "$(output)" 4711

pass
