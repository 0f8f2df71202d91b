#!/bin/bash
# Worlds: docker
# Timeout: 600
# In each kind of container `zei-init doctor` says exactly what is so, and leaves nothing behind; a service under another
# user is restarted there, or refused with the reason, and then the same tree runs without it.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

path=/usr/local/bin/zei-init
root="start the container as root (no USER line, no --user)"
no_setuid="zei was not started as root, and $path is not setuid root"
profile="; to change that: a seccomp profile that allows it (Docker 20.10.10 or later has one), a kernel that has it"

# Where the number of the PID namespace stands in a path, it is N; blanks are single.
doctor() { # LINE…: what it must say, among others, with the options of DOCKER_OPTIONS
    local line
    CONTAINER=$(docker create --label "$LABEL" "${DOCKER_OPTIONS[@]}" "$IMAGE" "${WORDS[@]}" doctor)
    CODE=0
    docker start -a "$CONTAINER" >"$T/doctor" 2>"$T/doctor.err" || CODE=$?
    ERR=$(<"$T/doctor.err")
    OUT=$(sed -E 's/ +/ /g; s|(/dev/shm/zei-[0-9]+-)[0-9]+|\1N|g; s/process [0-9]+/process N/' "$T/doctor")
    for line in "$@"; do
        grep -qxF -- "$line" <<<"$OUT" || fail "$WHERE: doctor does not say '$line'"
    done
    expect "$WHERE: exit code of doctor" "$CODE" 0
    # The engine itself puts its init there.
    expect "$WHERE: what doctor leaves behind" "$(docker diff "$CONTAINER" | grep -vE '^. /(dev|sbin$|sbin/docker-init)' || :)" ""
    docker rm -f "$CONTAINER" >/dev/null
    CONTAINER=''
}

up() { # SERVICE…: boots, restarts each, twice, and ends well
    local service first second
    launch "${WORDS[@]}" "${CONFIGURED[@]}"
    for service in "$@"; do
        wait_for "$WHERE: $service" await "$service" running
        first=$(restarted "$service")
        second=$(restarted "$service")
        [ "$first" != "$second" ] || fail "$WHERE: $service is the same process after a restart: $first"
        if [ "$service" = web ] && [ -n "$RUNS_AS" ]; then
            expect "$WHERE: the user of web" "$(inside grep '^Uid:' "/proc/$second/status" </dev/null | tr '\t' ' ')" "$RUNS_AS"
        fi
    done
    stop_tree
    expect "$WHERE: exit code" "$CODE" 0
}

# The run directory is not the same in all of them, so the client tells the pid.
restarted() { # SERVICE: prints the pid that its restart led to
    ctl restart "$1" | sed -n 's/.* pid=//p' | grep .
}

# Where the configuration is.
CONFIGURED=(-c "$T/zei.yaml")
WORDS=() RUNS_AS=''
environment() { # NAME OPTION…
    WHERE=$1
    shift
    DOCKER_OPTIONS=("$@")
}

# Services can run as others: LINE… of doctor.
others_run() {
    doctor "$@"
    RUNS_AS="Uid: 1001 1001 1001 1001"
    tree worker
    up web own
    RUNS_AS=''
    echo "$WHERE: another user's service was restarted"
}

# They can't: REASON behind `user: `; the rest as above.
others_are_refused() {
    local reason=$1
    shift
    doctor "$@"
    tree worker
    run_tree "${WORDS[@]}" "${CONFIGURED[@]}"
    expect "$WHERE: exit code where another user is wanted" "$CODE" 100
    expect "$WHERE: the reason" "$(errors)" \
        "zei-init: ${CONFIGURED[1]:-/etc/zei/zei.yaml}:2: service \"web\": user: $reason, or take this away"
    tree
    local CONFIGURED=(-c "$T/zei.yaml")
    up web own
    echo "$WHERE: another user was refused, and the tree ran without"
}

not_root() { echo "user 1001 can't be had, because zei-init runs as user $1 and not as root; $root"; }
lacks() { echo "$1 can't be had, because this container lacks CAP_$2; start it with --cap-add $2"; }

environment default
others_run "ok user zei runs as uid 0, gid 0 (root)" "ok pid zei is PID 1" "ok users services can run as other users" \
    "ok kill services under other users can be signalled" "ok passwd users can be named as in /etc/passwd" \
    "ok programs zei-supervise, zei-probe, zei-cron and zei-log lie beside zei-init" \
    "ok run_directory services can be controlled: /run/zei" "ok memfd_create memfd_create works" \
    "ok proc /proc is mounted, and shows all processes" "ok null /dev/null is there" "ok stdout standard output is a pipe"

environment "another user" --user 1000:1000
others_are_refused "$(not_root 1000)" "ok user zei runs as uid 1000, gid 1000 (app in /etc/passwd)" \
    "degraded users services can run as uid 1000 only: $no_setuid; to change that: $root, or chown root and chmod u+s that file" \
    "ok kill services can be signalled, as all run as the same user" \
    "ok run_directory services can be controlled: /tmp/zei-1000, instead of /run/zei (Permission denied)"

environment read-only --read-only
others_run "ok run_directory services can be controlled: /dev/shm/zei-0-N, instead of /run/zei (read-only), /tmp/zei-0 (read-only)"

lacks_both="and this container lacks CAP_SETUID, and this container lacks CAP_SETGID"
adds_both="docker run --cap-add SETUID --cap-add SETGID"

environment "no capability" --cap-drop ALL
others_are_refused "$(lacks "user 1001" SETUID)" \
    "degraded users services can run as uid 0 only: ${lacks_both#and }; to change that: $adds_both" \
    "degraded kill what becomes another user by itself can't be signalled, as this container lacks CAP_KILL and CAP_SETUID; to change that: docker run --cap-add KILL"

environment "no new privileges" --security-opt no-new-privileges
others_run "ok users services can run as other users"

environment "all of that" --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /run:noexec
others_are_refused "$(lacks "user 1001" SETUID)" "ok run_directory services can be controlled: /run/zei"

environment "all of that, as a user without name" \
    --user 4711:0 --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /run:noexec
others_are_refused "$(not_root 4711)" "ok user zei runs as uid 4711, gid 0 (no entry in /etc/passwd, and none is needed)" \
    "degraded users services can run as uid 4711 only: $no_setuid, and no_new_privs is set, $lacks_both; to change that: $adds_both, and $root, or chown root and chmod u+s that file and start without --security-opt no-new-privileges" \
    "ok run_directory services can be controlled: /dev/shm/zei-4711-N, instead of /run/zei (Permission denied), /tmp/zei-4711 (read-only)"

environment "noexec run directory" --tmpfs /run:noexec
others_run "ok run_directory services can be controlled: /run/zei"

environment "no SETUID" --cap-drop SETUID
others_are_refused "$(lacks "user 1001" SETUID)" \
    "degraded users services can run as uid 0 only: this container lacks CAP_SETUID; to change that: docker run --cap-add SETUID"

environment "no SETGID" --cap-drop SETGID
others_are_refused "$(lacks "group 1001" SETGID)" \
    "degraded users services can run as uid 0 only: this container lacks CAP_SETGID; to change that: docker run --cap-add SETGID"

environment "no KILL" --cap-drop KILL
others_run "ok users services can run as other users" \
    "degraded kill services under other users are signalled by a process that becomes that user, as this container lacks CAP_KILL; to change that: docker run --cap-add KILL"

environment "another init" --init
others_run "ok pid zei is process N, under docker-init, and a child subreaper: all is the same"

environment "few processes" --pids-limit 15
others_run "degraded processes there may be 15 processes at once, and 1 are there; a service takes two, and its start waits for room; to change that: docker run --pids-limit with a greater number"

environment "few descriptors" --ulimit nofile=64:64
others_run "degraded nofile the limit of descriptors is 64 (hard: 64); zei-init takes three for a service; to change that: docker run --ulimit nofile=1024:524288"

environment "no profile" --security-opt seccomp=unconfined
others_run "ok clone3 clone3 works" "ok close_range close_range works" "ok pidfd_open pidfd_open works" \
    "ok sched_setattr sched_setattr works" "ok processes the number of processes is not limited here"

# What such a profile does not name is allowed, but for what an older Docker lets nobody do without SYS_ADMIN.
refuses() { # ERRNO CALL…: prints the options
    local errno=$1 names
    shift
    names=$(printf '"%s",' "$@")
    cat >"$T/seccomp.json" <<JSON
{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [${names%,}], "action": "SCMP_ACT_ERRNO", "errnoRet": $errno}]}
JSON
    environment "refused with $errno: $*" --security-opt "seccomp=$T/seccomp.json"
}
descriptors="inherited descriptors are closed one by one, and a start of a supervisor copies all descriptors$profile"
opens="signals go by pid, right after a look at whose it is, and a main process that a service names (MAINPID) is not taken$profile"
sends="signals go by pid, while the process is held$profile"

refuses 38 clone3
others_run "ok clone3 clone3 is answered ENOSYS: zei makes processes by clone" "ok close_range close_range works"
refuses 38 close_range unshare
others_run "degraded close_range close_range is answered ENOSYS: $descriptors" "ok clone3 clone3 works"
refuses 38 pidfd_open pidfd_send_signal
others_run "degraded pidfd_open pidfd_open is answered ENOSYS: $opens" \
    "degraded pidfd_send_signal pidfd_send_signal is answered ENOSYS: $sends"
refuses 38 clone3 close_range unshare pidfd_open pidfd_send_signal
others_run "degraded close_range close_range is answered ENOSYS: $descriptors" \
    "degraded pidfd_open pidfd_open is answered ENOSYS: $opens"
# As Docker 19.03 does.
refuses 1 clone3 close_range unshare pidfd_open pidfd_send_signal faccessat2 openat2
others_run "ok clone3 clone3 is answered EPERM: zei makes processes by clone" \
    "degraded close_range close_range is answered EPERM: $descriptors" \
    "degraded pidfd_open pidfd_open is answered EPERM: $opens"

# No system call by which to say it with another code.
refuses 38 memfd_create
try docker run --rm --label "$LABEL" "${DOCKER_OPTIONS[@]}" "$IMAGE" doctor
expect "exit code of doctor without memfd_create" "$CODE" 111
expect_match "what is missing" "$OUT" '^missing +memfd_create +memfd_create is answered ENOSYS: no service can run'

# Images of their own.
derive() { # TAG LINE…
    local tag=$1
    shift
    mkdir -p "$T/image"
    printf '%s\n' "FROM $IMAGE" "$@" >"$T/image/Dockerfile"
    build_image "$tag:$$" "$T/image"
}
runtime=$IMAGE
derive zei-e2e-openshift "RUN chmod 0777 /run"
derive zei-e2e-user "USER app"

IMAGE=zei-e2e-openshift:$$
environment OpenShift --user 1000730000:0 --cap-drop ALL
others_are_refused "$(not_root 1000730000)" \
    "ok user zei runs as uid 1000730000, gid 0 (no entry in /etc/passwd, and none is needed)" \
    "ok run_directory services can be controlled: /run/zei"

IMAGE=zei-e2e-user:$$
environment "an image with USER"
others_are_refused "$(not_root 1000)" "ok user zei runs as uid 1000, gid 1000 (app in /etc/passwd)"

# A zei-init that is setuid root, started by app.
IMAGE=$runtime
tree worker
setuid_image zei-e2e-setuid <"$T/zei.yaml"
others="ok users services can run as other users: $path is setuid root (uids 1000 0 0)"
others_signalled="ok kill services under other users can be signalled"
elevated_runs() { # LINE… of doctor
    local CONFIGURED=()
    others_run "ok user zei runs as uid 1000, gid 1000 (app in /etc/passwd)" "$others" "$@"
}
# Boot and doctor give the same reason.
elevation_is_refused() { # REASON
    local reason="services can run as uid 1000 only: zei was not started as root, and $1"
    local CONFIGURED=()
    others_are_refused "user 1001 can't be had, because $reason" "degraded users $reason" \
        "ok kill services can be signalled, as all run as the same user"
}
environment "setuid root"
elevated_runs "$others_signalled" "ok run_directory services can be controlled: /run/zei"
environment "setuid root, read-only" --read-only --tmpfs /run
elevated_runs "$others_signalled" "ok run_directory services can be controlled: /run/zei"
environment "setuid root, read-only, without /run" --read-only
elevated_runs "ok run_directory services can be controlled: /dev/shm/zei-0-N, instead of /run/zei (read-only)"
few=(--cap-drop ALL --cap-add SETUID --cap-add SETGID --cap-add KILL)
environment "setuid root with few capabilities" "${few[@]}" --cap-add CHOWN
elevated_runs "$others_signalled"
environment "setuid root without CHOWN" "${few[@]}"
no_control="services run without control, as this container lacks CAP_CHOWN, and so nothing to control them by can be uid 1000's; to change that: docker run --cap-add CHOWN"
doctor "$others" "$others_signalled" "degraded run_directory $no_control"
launch
runs_as_worker() { docker top "$CONTAINER" -eo pid,uid,args | grep -E '^ *[0-9]+ +1001 +sleep 1000000$'; }
wait_for "$WHERE: web" runs_as_worker
expect "$WHERE: what is said" "$(errors)" "zei-init: $no_control"
stop_tree
expect "$WHERE: exit code" "$CODE" 0
echo "$WHERE: another user's service was stopped"
environment "setuid root without KILL" --cap-drop KILL
elevated_runs "degraded kill services under other users are signalled by a process that becomes that user, as this container lacks CAP_KILL; to change that: docker run --cap-add KILL"
environment "setuid root, few processes" --pids-limit 15
elevated_runs "$others_signalled"
refuses 38 clone3 close_range unshare pidfd_open pidfd_send_signal
WHERE="setuid root, $WHERE"
elevated_runs "degraded close_range close_range is answered ENOSYS: $descriptors" \
    "degraded pidfd_open pidfd_open is answered ENOSYS: $opens" \
    "degraded pidfd_send_signal pidfd_send_signal is answered ENOSYS: $sends"
environment "setuid root without new privileges" --security-opt no-new-privileges
elevation_is_refused "no_new_privs is set; to change that: $root, or start without --security-opt no-new-privileges"
environment "setuid root without capabilities" --cap-drop ALL
elevation_is_refused "${lacks_both#and }; to change that: $adds_both"
environment "setuid root without SETGID" --cap-drop SETGID
elevation_is_refused "this container lacks CAP_SETGID; to change that: docker run --cap-add SETGID"
environment "setuid root under another init" --init
elevation_is_refused "the setuid bit counts for PID 1 only; to change that: $root, or start it as PID 1 (docker run without --init)"

IMAGE=$runtime
environment "under a shell" --entrypoint sh
# The shell stays, as something follows.
WORDS=(-c 'zei-init "$@"; exit $?' sh)
doctor "ok pid zei is process N, under sh, and a child subreaper: all is the same"
WORDS=()

environment "without any place for a run directory" --read-only --ipc none
doctor "degraded run_directory services run without control, as there is no run directory: /run/zei (read-only), /tmp/zei-0 (read-only), /dev/shm/zei-0-N (No such file or directory); to change that: docker run --tmpfs /run:mode=1777, or a directory named in ZEI_RUN"

config <<YAML
services:
  web: {command: [sleep, "1000000"], user: worker}
  job: {shell: "exit 9", on_failure: shutdown}
YAML
run_tree -c "$T/zei.yaml"
expect "$WHERE: exit code" "$CODE" 9
expect_match "$WHERE: what is said" "$(errors)" '^zei-init: no run directory, so services run without control;'
echo "$WHERE: another user's service was stopped"

if docker run --rm --label "$LABEL" --privileged --entrypoint true "$IMAGE" 2>/dev/null; then
    environment privileged --privileged
    others_run "ok users services can run as other users" "ok kill services under other users can be signalled"
else
    echo "privileged: this engine may not make such containers"
fi

# Scratch: numbers only.
mkdir -p "$T/scratch"
cp "$(command -v busybox)" "$BIN"/zei-* "$T/scratch"
printf '%s\n' "FROM scratch" "COPY busybox zei-* /" 'ENTRYPOINT ["/zei-init"]' >"$T/scratch/Dockerfile"
build_image "zei-e2e-scratch:$$" "$T/scratch"
IMAGE=zei-e2e-scratch:$$
environment scratch
doctor "degraded passwd users can be named by numbers only, as in user: \"1000:1000\": /etc/passwd: No such file or directory; to change that: add /etc/passwd and /etc/group to the image" \
    "ok users services can run as other users"
config <<YAML
services:
  web: {command: [/busybox, sleep, "1000000"], user: "1001:1001"}
YAML
launch -c "$T/zei.yaml"
running() { docker exec "$CONTAINER" /zei-ctl wait web --for running --timeout 10s; }
wait_for "the service in a scratch image" running
expect_code 0 docker exec "$CONTAINER" /zei-ctl restart web
stop_tree
expect "$WHERE: exit code" "$CODE" 0
echo "$WHERE: another user's service was restarted"

# It is a verb as the very first word only.
IMAGE=$runtime
environment "a command of this name"
run_tree -- sh -c 'exit 7'
expect "exit code of a command" "$CODE" 7
run_tree -- doctor
expect "exit code of a command called doctor, which is not there" "$CODE" 127
run_tree doctor now
expect "exit code with a word too much" "$CODE" 100
expect "what helps" "$(errors)" \
    "zei-init: doctor takes --json and nothing else; to run a command of this name: zei-init -- doctor [ARGS...]; see zei-init --help"

pass
