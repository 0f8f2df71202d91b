#!/bin/bash
# stdout and stderr: a path, null, the container's own, joined; a symbolic link is not followed.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

both="echo NAME-out; echo NAME-err >&2"
ln -s "$T/target" "$T/link"
config <<YAML
defaults: {oneshot: true}
services:
  file: {shell: "${both//NAME/file}", stdout: $T/file.log, stderr: stdout}
  none: {shell: "${both//NAME/none}", stdout: "null"}
  swap: {shell: "${both//NAME/swap}", stdout: /dev/stderr, stderr: /dev/stdout}
  same: {shell: "${both//NAME/same}"}
YAML
echo before >"$T/file.log"
run_tree -c "$T/zei.yaml"
expect "exit code" "$CODE" 0
expect "a path, with stderr joined: appended in order" "$(paste -sd, "$T/file.log")" "before,file-out,file-err"
expect_match "stderr of the one with stdout: null" "$(errors)" 'none-err$'
expect_match "stdout: /dev/stderr" "$(errors)" 'swap-out$'
expect_match "stderr: /dev/stdout" "$(output)" 'swap-err$'
expect_match "stdout by default" "$(output)" 'same-out$'
expect_match "stderr by default" "$(errors)" 'same-err$'
expect_no_match "standard output" "$(output)" 'none-out|file-|swap-out|same-err'
expect_no_match "standard error" "$(errors)" 'none-out|file-|swap-err|same-out'

config <<YAML
services:
  link: {shell: "echo link >>$T/journal", stdout: $T/link}
YAML
run_tree -c "$T/zei.yaml"
[ "$CODE" -ne 0 ] || fail "a symbolic link as stdout: expected a failure, got exit code 0"
expect_match "the error names it" "$(errors)" "link.*$T/link"
[ ! -e "$T/target" ] || fail "the symbolic link was followed"
expect "what ran" "$(<"$T/journal")" ""

pass
