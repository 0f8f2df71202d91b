#!/bin/bash
# `apply` replaces what differs, in order, and leaves the rest alone; a mistake changes nothing; HUP can be mapped
# to it.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

write() { # VALUE: a configuration with it
    config <<YAML
signals: {HUP: reload}
services:
  db: {command: [$daemon, db], environment: {V: "$1"}}
  web: {command: [$daemon, web], depends_on: [db], environment: {V: "$1"}}
  other: {command: [$daemon, other]}
YAML
}

journal() { grep -xE -- "$1" "$T/journal" || :; } # REGEX: the lines that are like it

write 1
boot -c "$T/zei.yaml"
for service in db web other; do await "$service" running; done
other=$(journal 'other start .*')

echo 'services: {db: {comand: [x]}}' >"$T/zei.yaml"
expect_code 100 ctl apply
expect_match "the mistake" "$ERR" 'did you mean "command"'
expect "nothing has happened" "$(journal '.* (term|gone)')" ""

write 2
expect_code 0 ctl apply --dry-run
expect "what differs" "$OUT" $'~ db: environment\n~ web: environment\n= 1 unchanged'
expect_match "status says so" "$(ctl status web || :)" '^configuration: changed on disk'
expect_code 0 ctl apply
expect_code 0 ctl wait db web
for service in db web; do wait_for "$service" journal_has_count "$service start .*" 2; done
# A service runs before its first line is written, so whose line comes first is not said.
lines=$(journal '(db|web) (gone|start .*)' | sed 's/ start .*/ start/' | tail -n 4)
expect "the order of the ends" "$(head -n 2 <<<"$lines" | xargs)" "web gone db gone"
expect "the starts" "$(tail -n 2 <<<"$lines" | sort | xargs)" "db start web start"
expect "the other one" "$(journal 'other .*')" "$other"
expect_no_match "status says no more" "$(ctl status web || :)" 'changed on disk'

write 3
signal_init HUP
wait_for "the third start" journal_has_count 'web start .*' 3
expect_match "it is said on stderr" "$(errors)" 'zei-init: apply: ~ web: environment'
expect "the other one" "$(journal 'other .*')" "$other"

echo "command: [$daemon, extra]" >"$T/extra.yaml"
chmod 644 "$T/extra.yaml"
expect_code 0 ctl add "$T/extra.yaml"
await extra running
expect_code 0 ctl stop extra
expect_code 0 ctl forget extra
expect "services" "$(ctl list | sed 1d | cut -d' ' -f1 | sort | xargs)" "db other web"
stop_tree
expect "exit code" "$CODE" 0

pass
