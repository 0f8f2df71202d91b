#!/bin/bash
# With two services each line bears its service's name, whoever kills zei-log; zei-ctl log shows what was kept, and follows.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

config <<YAML
services:
  web: {command: [$daemon, web], user: nobody}
  talker: {shell: 'echo one; echo two >&2; while read -r line; do echo "\$line"; done <$T/words; exec sleep 1000'}
  plain: {shell: 'echo as it is; exec sleep 1000', log: inherit}
YAML
mkfifo -m 666 "$T/words"
boot -c "$T/zei.yaml"
exec 7>"$T/words"
wait_for "a labelled line" output_has '^talker \| one$'
wait_for "one of standard error" errors_have '^talker \| two$'
wait_for "one that is not labelled" output_has '^as it is$'

inside sh -c 'kill -9 $(pidof zei-log)'
echo three >&7
wait_for "a line after a kill of zei-log" output_has '^talker \| three$'
expect "how often the line before is there" "$(output | grep -c '^talker | one$')" 1

log=$(ctl log talker)
expect "what zei-ctl log shows" "$(sort <<<"$log" | paste -sd,)" "one,three,two"
expect_match "as JSON" "$(ctl log --json talker)" '"service":"talker","run":1,"stream":"err","message":"two"'
expect_match "who keeps none" "$(ctl log plain 2>&1 || :)" 'plain.*log: prefix'
mode=$(inside stat -c %a%U /run/zei/services/talker/log)
expect "who may read it" "$mode" 600root

ctl log -f talker >"$T/followed" 2>&1 &
wait_for "the last line" grep -qx three "$T/followed"
echo four >&7
wait_for "a line that comes" grep -qx four "$T/followed"
exec 7>&-
stop_tree
expect "exit code" "$CODE" 0
wait_for "the end of the follower" sh -c "! kill -0 $! 2>/dev/null"

pass
