#!/bin/bash
# Worlds: docker
# Timeout: 120
# USER app and a zei-init that is setuid root: services run under other users, and zei-init and its supervisors are app at
# rest. What says what runs must be root's alone.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

setuid_image zei-e2e-setuid <<YAML
services:
  web: {command: [$daemon, web], user: www-data, restart: always}
  stray: {shell: "sleep 4242 & $daemon stray", user: worker}
  own: {command: [$daemon, own], user: app}
  root: {shell: "{ id -u; pwd; umask; echo \$PATH \$LD_PRELOAD \$PYTHONPATH \$A \$HOME \$SECRET; } >$T/root; exec $daemon root", env_file: secret.env}
  late: {command: [$daemon, late], user: redis, autostart: false}
YAML

as_app() { docker exec -u app "$CONTAINER" "$@"; }
appctl() { as_app zei-ctl "$@"; }
uids() { docker exec "$CONTAINER" sed -n 's/^Uid:\t//p' "/proc/$1/status" | tr '\t' ' '; }
effective() { docker exec "$CONTAINER" sed -n 's/^CapEff:\t//p' "/proc/$1/status"; }

# What the starter says reaches neither root nor what is root's.
DOCKER_OPTIONS=(-e LD_PRELOAD=/tmp/evil.so -e PYTHONPATH=/tmp -e "PATH=/tmp:/usr/local/bin:/usr/bin:/bin" -e A=1 -e ZEI_RUN=/tmp/zei -e "ZEI_CONFIG=$T/nothing")
boot
for service in web stray own root; do await "$service" running; done
wait_for "root's start" journal_has 'root start .*'
expect "zei-init" "$(uids 1)" "0 1000 0 1000"
expect "its capabilities at rest" "$(effective 1)" 0000000000000000
for service in web stray own root late; do
    supervisor=$(field $service supervisor)
    expect "the supervisor of $service" "$(uids "$supervisor") $(effective "$supervisor")" "0 1000 0 1000 0000000000000000"
done
expect "web" "$(uids "$(pid_of web)")" "33 33 33 33"
expect "own" "$(uids "$(pid_of own)")" "1000 1000 1000 1000"
expect "root" "$(xargs <"$T/root")" \
    "0 / 0022 /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin 1 /root xyzzy"
expect "where it writes" "$(docker exec "$CONTAINER" stat -c '%u %a' /run/zei /run/zei/services/web /run/zei/services/web/status)" \
    $'0 755\n0 755\n0 644'
expect "the FIFOs are the user's" "$(docker exec "$CONTAINER" stat -c '%u %a' /run/zei/init/control /run/zei/services/web/control)" \
    $'1000 600\n1000 600'

expect_code 100 as_app env -u ZEI_CONFIG zei-ctl check
expect_no_match "what the user may not read is all that is wrong for him" "$(grep -v 'secret.env' <<<"$OUT$ERR")" 'user:'
# Control is the user's, over services of others, too.
expect_code 0 appctl restart web --timeout 10s
wait_for "another web" journal_has_count 'web start .*' 2
expect "the new web" "$(uids "$(pid_of web)")" "33 33 33 33"
expect_code 0 appctl signal web:HUP
wait_for "web's HUP" journal_has 'web hup'
expect_code 0 appctl stop stray --timeout 10s
expect_match "what was left by stray" "$(docker exec "$CONTAINER" ps -o pid,args | grep -c '[s]leep 4242' || :)" '^0$'
expect_code 0 appctl start late --timeout 10s
expect "late" "$(uids "$(pid_of late)")" "101 101 101 101"

# A killed supervisor is replaced, and the service of another user goes on.
before=$(pid_of web)
supervisor=$(field web supervisor)
docker exec -u root "$CONTAINER" kill -9 "$supervisor"
replaced() { [ "$(field web supervisor)" != "$supervisor" ]; }
wait_for "another supervisor" replaced
expect "web under it" "$(pid_of web)" "$before"
docker exec -u root "$CONTAINER" kill -9 "$before"
wait_for "a restart by policy" journal_has_count 'web start .*' 3
expect_code 0 appctl upgrade --timeout 30s
expect "zei-init after an upgrade" "$(uids 1) $(effective 1)" "0 1000 0 1000 0000000000000000"
expect "web's supervisor after an upgrade" "$(uids "$(field web supervisor)")" "0 1000 0 1000"
expect_code 0 appctl restart web --timeout 10s
expect "web after that" "$(uids "$(pid_of web)")" "33 33 33 33"

# The configuration is root's: the user applies it, and nothing else.
docker exec -u root "$CONTAINER" sed -i 's/^  late: .*/  late: {command: [sleep, "1"], user: worker}/' /etc/zei/zei.yaml
expect_code 0 appctl apply --timeout 10s
expect_match "apply" "$OUT" 'late'
expect_match "only what differs" "$OUT" '^0 added, 1 changed|late'
as_app sh -c 'echo "services: {mine: {command: [sleep, \"1\"], user: root}}" >/tmp/mine.yaml'
expect_code 100 appctl add /tmp/mine.yaml
expect_match "why" "$ERR$OUT" 'only what the configuration has can be added'
stop_tree
expect "exit code" "$CODE" 0
expect_match "everyone was asked" "$(tail -n 20 "$T/journal")" '^web gone$'

# What is not root's alone is not gone by.
BOOT_ENV=() DOCKER_OPTIONS=()
refuses() { # WHAT LINE REGEX: builds on it, and boots nothing
    printf 'FROM %s\nUSER root\n%s\nUSER app\n' "zei-e2e-setuid:$$" "$2" >"$T/image/Dockerfile"
    build_image "zei-e2e-setuid-no:$$" "$T/image"
    IMAGE=zei-e2e-setuid-no:$$
    run_tree
    expect "$1: exit code" "$CODE" "${4:-100}"
    expect_match "$1" "$(errors)" "$3"
}
must="zei-init is setuid root and was started by user 1000, so what it goes by must be root's alone"
refuses "a file of the user's" "RUN chown app /etc/zei/zei.yaml" "$must: /etc/zei/zei.yaml belongs to user 1000; make it root's"
refuses "a file that others may write to" "RUN chmod 666 /etc/zei/zei.yaml" "$must: /etc/zei/zei.yaml may be written to"
refuses "a directory" "RUN chmod 777 /etc/zei" "$must: /etc/zei may be written to"
refuses "an env_file" "RUN chmod 622 /etc/zei/secret.env" "$must: /etc/zei/secret.env may be written to"
refuses "a link" "RUN mv /etc/zei/zei.yaml /tmp/ && ln -s /tmp/zei.yaml /etc/zei/zei.yaml" "$must: /tmp may be written to"
refuses "the users" "RUN chown app /etc/passwd" "$must: /etc/passwd belongs to user 1000"
refuses "the programs" "RUN chmod 777 /usr/local/bin" \
    "zei-init is setuid root, so its programs must be root's alone: /usr/local/bin may be written to" 111

# Nobody gets anything from it but as PID 1; without its rights it is what starts it.
IMAGE=zei-e2e-setuid:$$
boot
expect_code 100 as_app zei-init
expect_match "under another init" "$ERR" \
    "user 33 can't be had, because services can run as uid 1000 only: zei was not started as root, and the setuid bit counts for PID 1 only; to"
stop_tree
DOCKER_OPTIONS=(--security-opt no-new-privileges)
run_tree
expect "exit code without new privileges" "$CODE" 100
expect_match "without new privileges" "$(errors)" \
    "user 33 can't be had, because services can run as uid 1000 only: zei was not started as root, and no_new_privs is set; to"

# A command alone is the user's own, with all that was said to it.
DOCKER_OPTIONS=(-e LD_PRELOAD=/nowhere.so -e "ZEI_CONFIG=/nowhere.yaml" --entrypoint /bin/sh)
run_tree -c 'rm -f /etc/zei/*; exec zei-init -c /nowhere'
expect "a configuration that is not there" "$CODE" 100
printf 'FROM %s\nUSER root\nRUN rm -r /etc/zei\nUSER app\n' "zei-e2e-setuid:$$" >"$T/image/Dockerfile"
build_image "zei-e2e-setuid-none:$$" "$T/image"
IMAGE=zei-e2e-setuid-none:$$
DOCKER_OPTIONS=(-e PYTHONPATH=/p)
# shellcheck disable=SC2016 # by the shell inside
run_tree -- sh -c 'echo "$PYTHONPATH $(grep -E "^(Uid|CapPrm)" /proc/self/status | xargs) $(grep ^Uid /proc/1/status | xargs)"'
expect "the command" "$(output)" "/p Uid: 1000 1000 1000 1000 CapPrm: 0000000000000000 Uid: 1000 1000 1000 1000"

pass
