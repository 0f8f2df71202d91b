#!/bin/bash
# control_group: its members control by zei-ctl and echo, others are told whom control is for; apply changes the group.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"
need_root

# Where every user can execute it.
cp "$BIN/zei-ctl" "$T/zei-ctl"
chmod 755 "$T/zei-ctl"
as() { # USER:GROUP… COMMAND…
    inside zei-setuidgid "$@" </dev/null
}
group_of() { inside stat -c '%G %a' "/run/zei/$1/control"; }

config <<YAML
control_group: extra
services:
  web: {command: [$daemon, web]}
YAML
boot -c "$T/zei.yaml"
await web running
expect "the service's FIFO" "$(group_of services/web)" "extra 620"
expect "that of zei-init" "$(group_of init)" "extra 620"

first=$(pid_of web)
expect_code 0 as app::extra "$T/zei-ctl" restart web
[ "$(pid_of web)" != "$first" ] || fail "restart kept pid $first"
# shellcheck disable=SC2016 # for the shell inside
expect_code 0 as app:extra sh -c 'echo "- stop" >/run/zei/services/web/control'
await web stopped
expect_code 0 as app:extra "$T/zei-ctl" start web

second=$(pid_of web)
expect_code 111 as worker:worker "$T/zei-ctl" restart web
expect_match "whom control is for" "$ERR" 'control is for root, user 0, .*, and group 2000 \(control_group\)'
expect "pid after a restart that was refused" "$(pid_of web)" "$second"

sed -i '/^control_group/d' "$T/zei.yaml"
expect_code 0 as app:extra "$T/zei-ctl" apply
expect "the FIFO without a group" "$(inside stat -c '%G %a' /run/zei/services/web/control)" "root 600"
expect_code 111 as app:extra "$T/zei-ctl" restart web
expect "pid" "$(pid_of web)" "$second"

# Not root, with no rights at all: the group is one of its own, and so is the private run directory.
if [ "$WORLD" = docker ]; then
    DOCKER_OPTIONS=(--user 4711:2000 --cap-drop ALL --security-opt no-new-privileges)
    config <<-YAML
		control_group: extra
		services: {web: {command: [$daemon, web]}}
	YAML
    : >"$T/journal"
    launch -c "$T/zei.yaml"
    wait_for "the service" journal_has 'web start .*'
    place=/tmp/zei-4711
    expect "the run directory" "$(inside stat -c '%u %G %a' $place)" "4711 extra 750"
    expect "the service's FIFO" "$(inside stat -c '%u %G %a' $place/services/web/control)" "4711 extra 620"
    expect_code 0 docker exec -u 1000:2000 "$CONTAINER" zei-ctl restart web
    wait_for "the second start" journal_has_count 'web start .*' 2
    expect_code 102 docker exec -u 1001:1001 "$CONTAINER" zei-ctl restart web
    expect_match "whose it is" "$ERR" 'it is for root, user 4711, as which zei-init runs, and group 2000'
    stop_tree
    DOCKER_OPTIONS[1]=4711:4711
    run_tree -c "$T/zei.yaml"
    expect "exit code where it is not in the group" "$CODE" 100
    expect_match "why" "$(errors)" "zei.yaml:1: control_group: control can't be given to group 2000"
fi

pass
