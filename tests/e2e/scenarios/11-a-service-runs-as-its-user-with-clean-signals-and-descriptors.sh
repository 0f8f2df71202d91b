#!/bin/bash
# Users, groups, HOME and umask as configured; no signal blocked or ignored; descriptors 0, 1, 2 only.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"
need_root

cat >"$T/probe" <<'SCRIPT'
#!/bin/sh
# ls itself has the directory open.
ls -l /proc/self/fd | sed -n '/[0-9]\/fd$/d; s/.* \([0-9]*\) -> .*/fd: \1/p'
echo "stdin: $(readlink /proc/self/fd/0)"
echo "id: $(id -un 2>/dev/null || id -u)"
echo "pwd: $(pwd)"
for name in HOME USER LOGNAME SHELL FROM_IMAGE FROM_FILE FROM_MAP; do
    eval "echo \"$name: \${$name-unset}\""
done
exec cat /proc/self/status
SCRIPT
chmod 755 "$T/probe"
printf '# a comment\nFROM_FILE=file\nFROM_MAP=file\n' >"$T/env"

config <<YAML
defaults: {oneshot: true}
services:
  own:
    command: [$T/probe]
    user: app
    umask: "0027"
    stdout: $T/own.out
    env_file: $T/env
    environment: {FROM_MAP: "map \$HOME %d"}
  listed: {command: [$T/probe], user: app, groups: [more], stdout: $T/listed.out}
  split: {command: [$T/probe], user: "worker:extra", stdout: $T/split.out, working_dir: /tmp}
  number: {command: [$T/probe], user: "4711:4712", stdout: $T/number.out}
  root: {command: [$T/probe], stdout: $T/root.out, clear_environment: true, environment: [FROM_MAP=list]}
YAML
BOOT_ENV=(FROM_IMAGE=image)
run_tree -c "$T/zei.yaml"
expect "exit code" "$CODE" 0

line() { sed -n "s/^$2:[[:space:]]*//p" "$T/$1.out" | tr -s '\t ' ' ' | sed 's/ $//'; }
# The service's own group may stand among the supplementary ones or not, as with other tools.
groups() { line "$1" Groups | tr ' ' '\n' | grep -vx "$2" | paste -sd' ' -; }

for service in own listed split number root; do
    expect "$service: descriptors" "$(line "$service" fd | paste -sd' ' -)" "0 1 2"
    expect "$service: standard input" "$(line "$service" stdin)" /dev/null
    expect "$service: blocked signals" "$(line "$service" SigBlk)" 0000000000000000
    expect "$service: ignored signals" "$(line "$service" SigIgn)" 0000000000000000
done

expect "own: uids" "$(line own Uid)" "1000 1000 1000 1000"
expect "own: gids" "$(line own Gid)" "1000 1000 1000 1000"
expect "own: groups of the group file" "$(groups own 1000)" "2000 2001"
expect "own: umask" "$(line own Umask)" 0027
expect "own: HOME" "$(line own HOME)" /home/app
expect "own: USER" "$(line own USER)" app
expect "own: LOGNAME" "$(line own LOGNAME)" app
expect "own: SHELL" "$(line own SHELL)" /bin/sh
expect "own: the image's variables" "$(line own FROM_IMAGE)" image
expect "own: env_file" "$(line own FROM_FILE)" file
expect "own: environment wins" "$(line own FROM_MAP)" 'map $HOME %d'
expect "own: owner and mode of the file made for stdout" "$(stat -c '%u %g %a' "$T/own.out")" "1000 1000 640"

expect "listed: groups" "$(groups listed 1000)" 2001
expect "split: uids" "$(line split Uid)" "1001 1001 1001 1001"
expect "split: gids" "$(line split Gid)" "2000 2000 2000 2000"
expect "split: directory" "$(line split pwd)" /tmp
expect "number: uids" "$(line number Uid)" "4711 4711 4711 4711"
expect "number: gids" "$(line number Gid)" "4712 4712 4712 4712"
expect "number: groups" "$(groups number 4712)" ""
expect "root: uids" "$(line root Uid)" "0 0 0 0"
expect "root: clear_environment" "$(line root FROM_IMAGE)" unset
expect "root: environment as a list" "$(line root FROM_MAP)" list

pass
