#!/bin/bash
# Worlds: docker
# Timeout: 120
# A run directory that everyone could write to before the start, as `--tmpfs /run/zei` makes it: what the user has planted
# there is not taken for root's, and what was not touched is closed to him.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

mkdir "$T/image"
cat >"$T/image/Dockerfile" <<TEXT
FROM $IMAGE
RUN chmod u+s /usr/local/bin/zei-init
COPY zei.yaml /etc/zei/zei.yaml
USER app
TEXT
cat >"$T/image/zei.yaml" <<YAML
services:
  web: {command: [$daemon, web], user: www-data}
YAML
build_image "zei-e2e-planted:$$" "$T/image"
IMAGE=zei-e2e-planted:$$

owners() { docker exec -u root "$CONTAINER" stat -c '%U %a %n' "$@"; }
begin() { # SCRIPT: the user's shell does it, and becomes zei-init
    local before
    before=$(grep -c '^web start ' "$T/journal" || :)
    started() { [ "$(grep -c '^web start ' "$T/journal")" -gt "$before" ]; }
    DOCKER_OPTIONS=(--tmpfs /run/zei --entrypoint /bin/sh)
    launch -c "$1; exec zei-init"
    wait_for "web's start" started
}

begin ':'
expect "the empty one is closed" "$(owners /run/zei /run/zei/init /run/zei/services)" \
    $'root 755 /run/zei\nroot 755 /run/zei/init\nroot 755 /run/zei/services'
stop_tree

for planted in init services; do
    begin "mkdir /run/zei/$planted && mkfifo -m 666 /run/zei/$planted/control"
    expect "what was planted as $planted" "$(docker exec -u root "$CONTAINER" find /run/zei/ -mindepth 1 | sort)" \
        "/run/zei/$planted"$'\n'"/run/zei/$planted/control"
    other=$(docker exec -u root "$CONTAINER" sh -c 'echo /dev/shm/zei-*')
    expect "the place in its stead" "$(owners "$other" "$other/init" "$other/services/web")" \
        "root 755 $other"$'\n'"root 755 $other/init"$'\n'"root 755 $other/services/web"
    expect_code 0 docker exec -u app "$CONTAINER" zei-ctl --run "$other" restart web --timeout 10s
    stop_tree
done

pass
