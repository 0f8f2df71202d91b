#!/bin/bash
# Makes the base images of the Docker scenarios without a registry, once, and prints their names.
#
#   images.sh base      busybox and a few users: a base image in a second
#   images.sh debian    Debian with redis, nginx, sshd, PostgreSQL, Python and curl, by debootstrap; its tar is kept in
#                       target/e2e-cache, named after what is in it
#
# Exits 77 and says why where an image can't be made here.
set -eu -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${ZEI_E2E_CACHE:-$here/../../target/e2e-cache}
mkdir -p "$cache"

suite=bookworm
packages=redis-server,nginx-light,openssh-server,curl,postgresql,python3-minimal,systemd

cannot() {
    echo "$*" >&2
    exit 77
}

have_image() { docker image inspect "$1" >/dev/null 2>&1; }

# The users that scenarios use, in both worlds (lib.sh mounts these files in the namespace).
accounts() { # DIR
    cat >"$1/passwd" <<-LINES
		root:x:0:0:root:/root:/bin/sh
		www-data:x:33:33:www-data:/var/www:/bin/false
		redis:x:101:101:redis:/var/lib/redis:/bin/false
		app:x:1000:1000:app:/home/app:/bin/sh
		worker:x:1001:1001:worker:/home/worker:/bin/false
		nobody:x:65534:65534:nobody:/nonexistent:/bin/false
	LINES
    cat >"$1/group" <<-LINES
		root:x:0:
		www-data:x:33:
		redis:x:101:
		app:x:1000:
		worker:x:1001:
		extra:x:2000:app
		more:x:2001:app,worker
		nogroup:x:65534:
	LINES
}

base() {
    local busybox image tree applet
    busybox=$(command -v busybox) || cannot "busybox is not installed (Debian: busybox-static)"
    image=zei-e2e-base:$(cat "$busybox" "$here/images.sh" | sha256sum | cut -c1-12)
    if ! have_image "$image"; then
        tree=$(mktemp -d)
        mkdir -p "$tree"/{bin,sbin,etc,proc,sys,dev,tmp,run,root,home/app,home/worker,var/log,usr/bin}
        chmod 1777 "$tree/tmp"
        cp "$busybox" "$tree/bin/busybox"
        for applet in $("$busybox" --list); do
            [ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"
        done
        accounts "$tree/etc"
        # A dynamic busybox would find no libc in there.
        if ! chroot "$tree" /bin/sh -c true 2>/dev/null && [ "$(id -u)" -eq 0 ]; then
            rm -rf "$tree"
            cannot "busybox is not static (Debian: busybox-static)"
        fi
        # Those of earlier versions of this script, unless something still stands on them.
        docker images --format '{{.Repository}}:{{.Tag}}' zei-e2e-base | xargs -r docker rmi >/dev/null 2>&1 || :
        tar -C "$tree" -c . | docker import - "$image" >/dev/null
        rm -rf "$tree"
    fi
    echo "$image"
}

debian() {
    local key image tree
    key=$(printf '%s %s' "$suite" "$packages" | sha256sum | cut -c1-12)
    image=zei-e2e-debian:$key
    if ! have_image "$image"; then
        if [ ! -e "$cache/debian-$key.tar" ]; then
            command -v debootstrap >/dev/null || cannot "debootstrap is not installed"
            [ "$(id -u)" -eq 0 ] || cannot "debootstrap needs root"
            tree=$(mktemp -d)
            if ! debootstrap --variant=minbase --include="$packages" "$suite" "$tree" >"$cache/debootstrap.log" 2>&1; then
                rm -rf --one-file-system "$tree"
                cannot "debootstrap failed (no package mirror?): $(tail -n 1 "$cache/debootstrap.log")"
            fi
            rm -rf "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/*
            tar -C "$tree" -cf "$cache/debian-$key.tar.new" .
            mv "$cache/debian-$key.tar.new" "$cache/debian-$key.tar"
            rm -rf --one-file-system "$tree"
        fi
        docker import "$cache/debian-$key.tar" "$image" >/dev/null
    fi
    echo "$image"
}

case "${1:-}" in
base) base ;;
debian) debian ;;
accounts) accounts "$2" ;;
*)
    echo "usage: images.sh base|debian" >&2
    exit 100
    ;;
esac
