#!/bin/bash
# Worlds: docker
# Timeout: 400
# What the user of a container, and a service that was broken into, try against a zei that can be root: each attempt fails.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

setuid_image zei-e2e-attack "RUN mkdir -p /srv/logs && chown www-data /srv/logs" <<YAML
services:
  web: {command: [$daemon, web], user: www-data}
  worker: {command: [$daemon, worker], user: worker, env_file: secret.env}
  root: {command: [$daemon, root]}
  told: {shell: "echo \$NOTIFY_SOCKET >$T/told; exec $daemon told", user: worker, ready: {notify: systemd}, autostart: false}
  said: {shell: "echo up; exec $daemon said", user: worker, ready: {log: up}}
  logs: {command: [$daemon, logs], user: www-data, stdout: /srv/logs/out, autostart: false}
  deep: {command: [$daemon, deep], user: www-data, stdout: /srv/logs/deep/out, autostart: false}
YAML
attacked=$IMAGE

root() { docker exec -u root "$CONTAINER" "$@"; }
user() { docker exec -u app "$CONTAINER" "$@"; }
service() { docker exec -u www-data "$CONTAINER" "$@"; }
field() { root sed -n "s/^$2=//p; /^end=/q" "/run/zei/services/$1/status"; }
fails() { # WHAT COMMAND…
    local what=$1
    shift
    try "$@"
    [ "$CODE" -ne 0 ] || fail "$what: it can: $OUT"
}
denied() { # WHAT COMMAND…: by the system
    fails "$@"
    expect_match "$1" "$OUT$ERR" 'ermission denied|not permitted|Read-only|refused'
}

# --- before it begins: an own configuration for a program that is root --------------------------------

evil='services: {evil: {shell: "id -u >/tmp/evil; sleep 1", user: root}}'
as_pid_1() { # SCRIPT [OPTION…]: the user's shell becomes zei-init
    DOCKER_OPTIONS=(--entrypoint /bin/sh "${@:2}")
    run_tree -c "echo '$evil' >/tmp/evil.yaml; $1"
}
no_root() { # WHAT [CODE]
    expect_no_match "$1" "$(docker diff "$CONTAINER")" ' /tmp/evil$'
    [ -z "${2:-}" ] || expect "$1: exit code" "$CODE" "$2"
}
as_pid_1 'exec zei-init -c /tmp/evil.yaml'
no_root "an own configuration" 100
as_pid_1 'ZEI_CONFIG=/tmp/evil.yaml exec zei-init -- cat /proc/self/status'
no_root "an own configuration by a variable" 0
expect_match "the command beside the image's services" "$(output)" '^Uid:[[:space:]]1000[[:space:]]1000[[:space:]]1000[[:space:]]1000$'
as_pid_1 'mkdir /tmp/d && ln -s /tmp/evil.yaml /tmp/d/zei.yaml; exec zei-init -c /tmp/d'
no_root "a directory with a link" 100
as_pid_1 'exec zei-init -c /proc/self/fd/0 </tmp/evil.yaml'
no_root "a descriptor" 100
as_pid_1 'cat /tmp/evil.yaml | exec zei-init -c /dev/stdin'
no_root "a pipe"
as_pid_1 'mkfifo /tmp/p; cat /tmp/evil.yaml >/tmp/p & exec zei-init -c /dev/stdin </tmp/p'
no_root "a pipe of PID 1's" 100
as_pid_1 'mkdir /tmp/a; cd /tmp/a; rmdir /tmp/a; exec zei-init -c ../evil.yaml'
no_root "a directory that is gone" 100
# shellcheck disable=SC2016 # by a shell of root's
as_pid_1 'ln -s /usr/local/bin/zei-init "/tmp/shell: \$A"; export A="id -u >/tmp/evil"; exec "/tmp/shell: \$A" -c /proc/self/comm'
no_root "the name of the program" 100
as_pid_1 'exec zei-init -c /etc/zei/secret.env'
no_root "a file that the user may not read" 100
expect_no_match "what is in it" "$(errors)" 'xyzzy'
as_pid_1 'exec zei-init --compile-plan apply x </tmp/evil.yaml'
no_root "the program's own way to read it"
as_pid_1 'exec zei-init --resume 0 </tmp/evil.yaml'
no_root "the program's own way to go on"
[ "$CODE" -ne 0 ] || fail "it went on"
as_pid_1 'zei-init -c /tmp/evil.yaml; exec sleep 0'
no_root "not as PID 1"
# With programs of the user's beside it.
as_pid_1 'cp /bin/busybox /tmp/zei-supervise; cp /usr/local/bin/zei-init /tmp; exec /tmp/zei-init'
no_root "a copy" 100
as_pid_1 'cp /bin/busybox /tmp/zei-supervise; ln /usr/local/bin/zei-init /tmp/zei-init && exec /tmp/zei-init; exit 111'
no_root "a hard link" 111

# --- before it begins: what lies where it will write --------------------------------------------------

shadow=$(docker run --rm --entrypoint /bin/sh -u root "$attacked" -c '{ ls -A /etc; cat /etc/passwd; } | md5sum')
planted() { # SCRIPT: as the user, in a /run that anyone may write to
    DOCKER_OPTIONS=(--entrypoint /bin/sh)
    launch -c "$1; exec zei-init"
    wait_for "the tree" root zei-ctl status root
    expect "what it has led to" "$(root sh -c '{ ls -A /etc; cat /etc/passwd; } | md5sum')" "$shadow"
    expect "who may write to where it writes" \
        "$(root sh -c 'for d in /run/zei /dev/shm/zei-0-*; do [ "$(stat -c %u $d/init/status 2>/dev/null)" = 0 ] && stat -c "%u %a" "$d"; done; :' || :)" "$2"
    stop_tree
}
mkdir "$T/open"
printf 'FROM %s\nUSER root\nRUN chmod 1777 /run\nUSER app\n' "$attacked" >"$T/open/Dockerfile"
build_image "zei-e2e-attack-open:$$" "$T/open"
IMAGE=zei-e2e-attack-open:$$
planted 'ln -s /etc /run/zei' "0 755"
planted 'mkdir /run/zei /run/zei/init; ln -s /etc/passwd /run/zei/init/status; mkfifo /run/zei/init/control' "0 755"
planted 'mkfifo /run/zei' "0 755"
planted ': nothing' "0 755"
IMAGE=$attacked

# --- before it begins: what is inherited ---------------------------------------------------------------

DOCKER_OPTIONS=(--entrypoint /bin/sh -e GLIBC_TUNABLES=glibc.malloc.check=3 -e LD_PRELOAD=/tmp/x.so -e BASH_ENV=/tmp/x -e ENV=/tmp/x
    -e PERL5OPT=-Mx -e NODE_OPTIONS=--x -e IFS=/)
launch -c 'exec zei-init'
wait_for "the tree" eval "docker exec -u root $CONTAINER zei-ctl status root"
main=$(field root pid)
expect "what reaches root" \
    "$(root sh -c "tr '\0' '\n' </proc/$main/environ" | grep -cE '^(GLIBC_TUNABLES|LD_PRELOAD|BASH_ENV|ENV|PERL5OPT|NODE_OPTIONS|IFS)=' || :)" 0
stop_tree

# By root, too: the C library fills them only where the file gives rights.
for starter in app root; do
    DOCKER_OPTIONS=(--entrypoint /bin/sh -u "$starter")
    launch -c 'exec zei-init <&- >&- 2>&-'
    wait_for "the tree of $starter without streams" eval "docker exec -u root $CONTAINER zei-ctl status root"
    init=$(docker inspect -f '{{.State.Pid}}' "$CONTAINER")
    expect "closed streams of $starter" "$(for n in 0 1 2; do readlink "/proc/$init/fd/$n"; done | sort -u)" /dev/null
    stop_tree
done
DOCKER_OPTIONS=(--entrypoint /bin/sh)

# A stream that the user may only read is not one that root's services write to.
launch -c 'exec zei-init 1</etc/passwd 2</etc/passwd'
wait_for "the tree" eval "docker exec -u root $CONTAINER zei-ctl status root"
init=$(docker inspect -f '{{.State.Pid}}' "$CONTAINER")
expect "streams for reading" "$(for n in 1 2; do readlink "/proc/$init/fd/$n"; done | sort -u)" /dev/null
stop_tree

# Limits at nothing: it says what it can't, or lives; in no case is anything root's that should not be.
for limit in '-n 3' '-f 0' '-u 1' '-s 64' '-v 4000' '-d 100' '-d 200' '-l 0' '-i 0' '-q 0' '-t 1'; do
    launch -c "ulimit $limit && exec zei-init || exit 100"
    settled() { ! alive || docker exec -u root "$CONTAINER" pidof zei-supervise || errors_have 'no memory; waiting'; }
    wait_for "an outcome with ulimit $limit" settled
    # Whoever runs is who the configuration says.
    for name in web:www-data worker:worker; do
        expect "who runs as ${name%:*} with ulimit $limit" \
            "$(root ps -o user,args 2>/dev/null | grep "$daemon ${name%:*}" | grep -cv "^${name#*:} " || :)" 0
    done
    docker kill "$CONTAINER" >/dev/null 2>&1 || :
    # Services have the same limit, and may die of it; zei waits.
    expect_no_match "$limit" "$(errors)" 'panicked|memory allocation of'
done
big=$(head -c 100000 /dev/zero | tr '\0' x)
launch -c "for n in 1 2 3 4 5 6 7 8 9; do export V\$n=$big; done; exec zei-init"
wait_for "the tree with a huge environment" eval "docker exec -u root $CONTAINER zei-ctl status root"
stop_tree
# What is hidden is so behind however many others.
many=$(for n in $(seq 8000); do echo "export V$n=$n;"; done)
echo "$many exec env LD_PRELOAD=/tmp/x.so zei-init" >"$T/many"
launch "$T/many"
wait_for "the tree with many variables" eval "docker exec -u root $CONTAINER zei-ctl status root"
main=$(field root pid)
expect "what reaches root behind many variables" \
    "$(root sh -c "tr '\0' '\n' </proc/$main/environ" | grep -cE '^(LD_PRELOAD|V8000)=' || :)" 1
stop_tree

# --- while it runs -------------------------------------------------------------------------------------

# What each of these tries while it runs; `zei` are the pids of zei-init and the supervisors.
try_all() { # WHO…
    local who pid signal file name
    for who in "$@"; do
        for pid in $zei; do
            for signal in KILL STOP TERM INT HUP; do
                denied "$who: $signal to $pid" "$who" kill -s "$signal" "$pid"
            done
            for file in environ mem maps; do
                denied "$who: $file of $pid" "$who" head -c 1 "/proc/$pid/$file"
            done
            denied "$who: descriptors of $pid" "$who" ls "/proc/$pid/fd"
        done
        for file in init/status init/lock init/events services/web/status services/worker/status; do
            denied "$who: $file" "$who" sh -c "echo forged >>/run/zei/$file"
        done
        for file in services/web/acks services/web/status.new init/new services/new init/acks; do
            denied "$who: $file" "$who" sh -c "echo forged >/run/zei/$file"
        done
        for name in control event status; do
            fails "$who: removing $name" "$who" rm -f "/run/zei/services/web/$name"
        done
    done
}

# What a service under another user than all others, and than who has started zei, tries beside.
try_neighbours() { # WHO
    local who=$1 name pid
    for name in worker root; do
        pid=$(field "$name" pid)
        denied "$who: environment of $name" "$who" cat "/proc/$pid/environ"
        denied "$who: memory of $name" "$who" head -c 1 "/proc/$pid/mem"
        denied "$who: KILL to $name" "$who" kill -9 "$pid"
    done
    denied "$who: the last lines of said" "$who" cat /run/zei/services/said/last
    for name in web worker root; do
        denied "$who: control of $name" "$who" sh -c "echo '- stop' >/run/zei/services/$name/control"
        fails "$who: zei-ctl stop $name" "$who" zei-ctl stop "$name" --timeout 5s
    done
    denied "$who: control of zei-init" "$who" sh -c "echo '- shutdown' >/run/zei/init/control"
    denied "$who: who waits for web" "$who" sh -c "cat /run/zei/services/web/event"
}

begin() {
    boot
    for name in web worker root said; do await "$name" running; done
    zei="1 $(for name in web worker root told logs; do field "$name" supervisor; done | xargs)"
}

# Started by root, as most are.
DOCKER_OPTIONS=(--user root)
begin
root sh -c 'mkfifo -m 600 /run/zei/services/web/event 2>/dev/null || :'
try_all user service
try_neighbours user
try_neighbours service
stop_tree

DOCKER_OPTIONS=()
begin
expect_code 0 user zei-ctl start told --no-wait
wait_for "told" journal_has 'told start .*'
try_all user service
try_neighbours service

# Another's readiness.
socket=$(<"$T/told")
[ -n "$socket" ] || fail "told has no notify socket"
say_ready() { # UID: in the container's namespaces, by this machine's perl, as busybox has nothing for it
    # shellcheck disable=SC2016 # perl's
    nsenter -t "$(docker inspect -f '{{.State.Pid}}' "$CONTAINER")" -n -p -- setpriv --reuid "$1" --regid "$1" --clear-groups \
        perl -MSocket -e 'socket(S, AF_UNIX, SOCK_DGRAM, 0) or die $!; (my $n = $ARGV[0]) =~ s/^@/\0/;
            send(S, "READY=1", 0, pack_sockaddr_un($n)) or die $!' "$socket"
}
say_ready 33
expect_code 0 user zei-ctl signal told:CONT
expect "told is not ready by another's word" "$(field told state)" starting
say_ready 1001
expect_code 0 user zei-ctl wait told --for ready --timeout 10s

# A definition of the user's.
user sh -c "echo '$evil' >/tmp/evil.yaml"
fails "adding a file of the user's" user zei-ctl add /tmp/evil.yaml
fails "adding a link to it" user sh -c 'ln -s /tmp/evil.yaml /tmp/link.yaml; zei-ctl add /tmp/link.yaml'
fails "what came of it" root test -e /tmp/evil
fails "adding a file that the user may not read" user zei-ctl add /etc/zei/secret.env
expect_no_match "what is in it" "$OUT$ERR" xyzzy
fails "adding a file that the user may read" user zei-ctl add /etc/zei/zei.yaml
fails "what zei has read" user cat /run/zei/init/sources

# Who holds a lock on what everyone may read holds nobody up.
service sh -c 'for d in /run/zei/services/web /run/zei/services/root /run/zei/init; do flock $d sleep 60 & done; wait' >/dev/null 2>&1 &
locked() { ! service flock -n /run/zei/services/root true && ! service flock -n /run/zei/init true; }
wait_for "the locks" locked
before=$(field root pid)
supervisor=$(field root supervisor)
root kill -9 "$supervisor"
taken_over() { [ "$(field root supervisor)" != "$supervisor" ]; }
wait_for "another supervisor beside the lock" taken_over
expect_code 0 user zei-ctl restart root --timeout 10s
[ "$(field root pid)" != "$before" ] || fail "root was not restarted"
expect_code 0 user zei-ctl upgrade --timeout 20s
zei="1 $(for name in web worker root told logs; do field "$name" supervisor; done | xargs)"

# A log that leads somewhere else.
root sh -c 'echo mine >/etc/mine; chmod 644 /etc/mine'
service ln -s /etc/mine /srv/logs/out
fails "a log through a link" user zei-ctl start logs --timeout 5s
expect "the file behind it" "$(root cat /etc/mine)" mine
service sh -c 'rm /srv/logs/out; mkfifo /srv/logs/out'
expect_code 1 user zei-ctl start logs --timeout 5s
expect_match "a log into a FIFO that nobody reads" "$ERR$OUT" 'No such device or address'
# A directory on the way is the service's to lead elsewhere, but what is made there is made as the service.
service ln -s /etc /srv/logs/deep
fails "a log through a linked directory" user zei-ctl start deep --timeout 5s
fails "what it made there" root test -e /etc/out

# Nothing of zei's is open in a service.
for name in web worker root; do
    expect "descriptors of $name" "$(root sh -c "ls /proc/$(field $name pid)/fd" | grep -cvxE '0|1|2|10' || :)" 0
done

# A flood of lines, of the user who may, is taken, and holds nobody up.
floods() { user timeout "$PATIENCE" sh -c "$1"; }
(floods 'i=0; while [ $i -lt 3000 ]; do echo "garbage $i" >/run/zei/services/web/control; i=$((i + 1)); done' || exit 1) &
flood=$!
expect_code 0 floods 'head -c 2000000 /dev/urandom >/run/zei/services/worker/control'
expect_code 0 user zei-ctl restart web --timeout 20s
expect_code 0 user zei-ctl restart worker --timeout 20s
wait $flood || fail "the lines were not taken in $PATIENCE s"
# What never becomes a line is not kept, and nobody waits for its end.
for control in services/web/control init/control; do
    (floods "head -c 50000000 /dev/zero | tr '\\0' x >/run/zei/$control" || exit 1) &
    endless[$!]=$control
done
expect_code 0 floods 'yes garbage | head -n 20000 >/run/zei/services/worker/control'
before=$(field root pid)
expect_code 0 user zei-ctl restart root --timeout 20s
[ "$(field root pid)" != "$before" ] || fail "root was not restarted beside the floods"
for flood in "${!endless[@]}"; do
    wait "$flood" || fail "what was written to ${endless[$flood]} without an end was not taken in $PATIENCE s"
done
# The line has not ended yet.
root kill -9 "$(field web pid)"
wait_for "web's end beside a line without an end" field_is web state failed
expect_code 0 user zei-ctl restart web --timeout 20s
expect_code 0 user zei-ctl apply --timeout 20s
for pid in $zei; do
    root test -d "/proc/$pid" || fail "$pid has ended"
    expect_below "kB of $pid after the floods" "$(root sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB$/\1/p' "/proc/$pid/status")" 20000
done
for name in web worker root; do expect "$name after the floods" "$(field "$name" state)" running; done
stop_tree
expect "exit code" "$CODE" 0
pass
