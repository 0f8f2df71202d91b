#!/bin/bash
# USER, USER:GROUP, several groups, numbers; groups of the group file; rights; no process stays between; clear exit codes.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"
need_root

launch -- sh -c 'exec sleep 1000000'
as() { inside zei-setuidgid "$@" </dev/null; }

expect "USER" "$(as app id -u)" 1000
expect "its group" "$(as app id -g)" 1000
expect "its groups" "$(as app id -G | tr ' ' '\n' | sort -n | xargs)" "1000 2000 2001"
expect "USER:GROUP" "$(as app:extra id -g)" 2000
expect "USER:GROUP:GROUP" "$(as app:extra:more id -G | tr ' ' '\n' | sort -n | xargs)" "2000 2001"
expect "the user's own groups and another" "$(as app::4712 id -G | tr ' ' '\n' | sort -n | xargs)" "1000 2000 2001 4712"
expect "numbers without an entry" "$(as 4711:4712 sh -c 'echo $(id -u) $(id -g)')" "4711 4712"
expect "HOME" "$(as app sh -c 'echo $HOME')" /home/app

expect "HOME that stays" "$(inside env HOME=/kept zei-setuidgid --keep-home app sh -c 'echo $HOME' </dev/null)" /kept
rights() { sed -n "s/^$1:[[:space:]]*//p" <<<"$2"; }
status=$(as --no-new-privileges --capabilities NET_BIND_SERVICE app cat /proc/self/status)
expect "the capability that it keeps" "$(rights CapEff "$status")" 0000000000000400
expect "those that it can get" "$(rights CapBnd "$status")" 0000000000000400
expect "no new privileges" "$(rights NoNewPrivs "$status")" 1

expect "the program takes zei-setuidgid's place" \
    "$(inside sh -c 'echo $$; exec zei-setuidgid app sh -c "echo \$\$"' </dev/null | uniq | wc -l)" 1

expect_code 7 as app sh -c 'exit 7'
expect_code 127 as app /no/such/program
expect_match "what was not found" "$ERR" '/no/such/program'
expect_code 126 as app /etc/passwd
expect_code 100 as
try as nosuch true
[ "$CODE" -ne 0 ] || fail "an unknown user: expected a failure"
expect_match "the unknown user" "$ERR" nosuch

pass
