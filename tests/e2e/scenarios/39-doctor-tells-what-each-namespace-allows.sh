#!/bin/bash
# Worlds: namespace
# Timeout: 180
# The same outside of containers: user namespaces, other supervisors above zei-init, a mount that is nosuid.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"
need_root

root="start the container as root (no USER line, no --user)"
# Where every user can execute them.
cp "$BIN"/zei-* "$T"
init=$T/zei-init

# In a mount namespace with an empty /run, where the program of this machine is.
WRAPPER=()
apart() { # COMMAND…: by way of WRAPPER
    pristine unshare --mount sh -c 'mount -t tmpfs -o mode=1777 tmpfs /run && exec "$@"' sh "${WRAPPER[@]}" "$@"
}

environment() { # NAME COMMAND…: what stands in front of zei-init
    WHERE=$1
    shift
    WRAPPER=("$@")
}

doctor() { # LINE…: what it must say, among others
    local line
    CODE=0
    (apart "$init" doctor) >"$T/doctor" 2>"$T/doctor.err" </dev/null || CODE=$?
    ERR=$(<"$T/doctor.err")
    OUT=$(sed -E 's/ +/ /g; s/process [0-9]+/process N/' "$T/doctor")
    for line in "$@"; do
        grep -qxF -- "$line" <<<"$OUT" || fail "$WHERE: doctor does not say '$line'"
    done
    expect "$WHERE: exit code of doctor" "$CODE" 0
}

# The last act is a command of the tree's own: it restarts the others, and its end ends the tree with its code.
# Where the configuration is.
configured=$T/zei.yaml

up() { # boots, restarts each, and ends well
    CODE=0
    (apart "$init" -c "$configured" sh -ec '
        for service in web own; do
            "$0/zei-ctl" restart "$service"
            "$0/zei-ctl" status "$service"
        done
        exit 7' "$T") >"$T/out" 2>"$T/err" </dev/null || CODE=$?
    OUT=$(<"$T/out") ERR=$(<"$T/err")
    expect "$WHERE: exit code of the tree" "$CODE" 7
    expect "$WHERE: how many were restarted" "$(grep -c 'restart done' "$T/out")" 2
}

others_run() { # LINE… of doctor
    doctor "$@"
    tree 1001
    up
    echo "$WHERE: another user's service was restarted"
}

others_are_refused() { # REASON behind `user: `, LINE… of doctor
    local reason=$1
    shift
    doctor "$@"
    tree 1001
    CODE=0
    (apart "$init" -c "$configured") >"$T/out" 2>"$T/err" </dev/null || CODE=$?
    expect "$WHERE: exit code where another user is wanted" "$CODE" 100
    expect "$WHERE: the reason" "$(<"$T/err")" "zei-init: $configured:2: service \"web\": user: $reason, or take this away"
    tree
    up
    echo "$WHERE: another user was refused, and the tree ran without"
}

pid_1=(unshare --pid --fork --mount-proc --kill-child)

environment "PID 1" "${pid_1[@]}"
others_run "ok user zei runs as uid 0, gid 0 (root)" "ok pid zei is PID 1" "ok users services can run as other users" \
    "ok kill services under other users can be signalled" "ok run_directory services can be controlled: /run/zei"

environment "under a shell" sh -c '"$@"; exit $?' sh
others_run "ok pid zei is process N, under sh, and a child subreaper: all is the same"

if command -v tini >/dev/null; then
    environment "under tini" "${pid_1[@]}" tini --
    others_run "ok pid zei is process N, under tini, and a child subreaper: all is the same"
fi

if command -v s6-supervise >/dev/null; then
    # It hands its streams on, and ends when its service has.
    mkdir "$T/s6"
    printf '#!/bin/sh\nexec s6-svc -x .\n' >"$T/s6/finish"
    chmod 755 "$T/s6/finish"
    supervised='printf "#!/bin/sh\nexec" >"$0/s6/run"; printf " \"%s\"" "$@" >>"$0/s6/run"; chmod 755 "$0/s6/run"; exec s6-supervise "$0/s6"'
    environment "under s6-supervise" sh -c "$supervised" "$T"
    doctor "ok pid zei is process N, under s6-supervise, and a child subreaper: all is the same"
fi

may_map=$(unshare --user --map-root-user true 2>&1) || skip "no user namespace can be made here: $may_map"
mapped="this container's user namespace does not map it (/proc/self/uid_map); map it"

environment "a user namespace with uid 0 only" unshare --user --map-root-user "${pid_1[@]}"
others_are_refused "user 1001 can't be had, because $mapped" \
    "degraded users services can run as uid 0 only: the user namespace maps uid 0 only (/proc/self/uid_map), and the user namespace denies setgroups (/proc/self/setgroups); to change that: map a range of ids (newuidmap, newgidmap)" \
    "ok pid zei is PID 1"

environment "the same, made by another user" setpriv --reuid 4711 --regid 4711 --clear-groups unshare --user --map-root-user "${pid_1[@]}"
others_are_refused "user 1001 can't be had, because $mapped" "ok user zei runs as uid 0, gid 0 (root)"

environment "a user namespace without uid 0" unshare --user --map-user=1000 --map-group=1000
others_are_refused "user 1001 can't be had, because zei-init runs as user 1000 and not as root; $root" \
    "degraded users services can run as uid 1000 only: zei was not started as root, and the user namespace has no uid 0 (/proc/self/uid_map); to change that: map uid 0, and start the container as it"

environment "a user without name" "${pid_1[@]}" setpriv --reuid 4711 --regid 4711 --clear-groups
others_are_refused "user 1001 can't be had, because zei-init runs as user 4711 and not as root; $root" \
    "ok user zei runs as uid 4711, gid 4711 (no entry in /etc/passwd, and none is needed)" \
    "degraded users services can run as uid 4711 only: zei was not started as root, and $init is not setuid root; to change that: $root, or chown root and chmod u+s that file"

environment "root without KILL" setpriv --bounding-set=-kill --inh-caps=-kill
others_run "degraded kill services under other users are signalled by a process that becomes that user, as this container lacks CAP_KILL; to change that: docker run --cap-add KILL"

hidden='mount -t proc -o hidepid=2 proc /proc && exec setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace "$@"'
environment "a /proc that hides others" unshare --pid --fork --kill-child sh -c "$hidden" sh
others_run "degraded proc /proc hides other users' processes, so what a service under another user leaves behind may be missed; to change that: mount /proc without hidepid"

# On a mount that is nosuid, by the same file.
mkdir "$T/mounted"
init=$T/mounted/zei-init
nosuid='mount -t tmpfs -o nosuid,mode=755 tmpfs "$0/mounted" && cp "$0"/zei-* "$0/mounted" && chmod u+s "$0/mounted/zei-init" && exec "$@"'
user=(setpriv --reuid 4711 --regid 4711 --clear-groups)
# Boot and doctor give the same reason.
elevation_is_refused() { # REASON
    local reason="services can run as uid 4711 only: zei was not started as root, and $1"
    others_are_refused "user 1001 can't be had, because $reason" "degraded users $reason"
}
environment "a nosuid mount" "${pid_1[@]}" sh -c "$nosuid" "$T" "${user[@]}"
elevation_is_refused "$init is on a mount that is nosuid; to change that: $root, or mount its file system without nosuid"
environment "a nosuid mount, not as PID 1" sh -c "$nosuid" "$T" "${user[@]}"
elevation_is_refused "$init is on a mount that is nosuid, and the setuid bit counts for PID 1 only; to change that: $root, or mount its file system without nosuid and start it as PID 1 (docker run without --init)"
environment "root on a nosuid mount" sh -c "$nosuid" "$T"
others_run "ok users services can run as other users"

# Setuid root, where nobody but root can have put it, and what it goes by.
init=/mnt/zei-init configured=/mnt/zei.yaml
elevating='mount -t tmpfs -o mode=755 tmpfs /mnt && cp "$0"/zei[-.]* /mnt && chown 0:0 /mnt/* && chmod u+s /mnt/zei-init && exec "$@"'
environment "setuid root" "${pid_1[@]}" sh -c "$elevating" "$T" "${user[@]}"
others_run "ok users services can run as other users: $init is setuid root (uids 4711 0 0)" \
    "ok kill services under other users can be signalled" "ok run_directory services can be controlled: /run/zei"
environment "setuid root under a shell" "${pid_1[@]}" sh -c "$elevating" "$T" "${user[@]}" sh -c '"$@"; exit $?' sh
elevation_is_refused "the setuid bit counts for PID 1 only; to change that: $root, or start it as PID 1 (docker run without --init)"
environment "setuid root without new privileges" "${pid_1[@]}" sh -c "$elevating" "$T" "${user[@]}" --no-new-privs
elevation_is_refused "no_new_privs is set; to change that: $root, or start without --security-opt no-new-privileges"
environment "setuid root without SETUID" "${pid_1[@]}" sh -c "$elevating" "$T" "${user[@]}" --bounding-set=-setuid
elevation_is_refused "this container lacks CAP_SETUID; to change that: docker run --cap-add SETUID"
environment "setuid root in a user namespace without uid 0" sh -c "$elevating" "$T" unshare --user --map-user=4711 --map-group=4711
others_are_refused "user 1001 can't be had, because zei-init runs as user 4711 and not as root; $root" \
    "degraded users services can run as uid 4711 only: zei was not started as root, and the user namespace has no uid 0 (/proc/self/uid_map); to change that: map uid 0, and start the container as it"

pass
