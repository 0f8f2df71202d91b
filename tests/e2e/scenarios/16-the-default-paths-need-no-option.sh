#!/bin/bash
# Worlds: docker
# /etc/zei/zei.yaml and /etc/zei/zei.d in an image: `docker run IMAGE` starts them.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

mkdir -p "$T/image/zei.d"
cat >"$T/image/Dockerfile" <<TEXT
FROM $IMAGE
COPY zei.yaml /etc/zei/zei.yaml
COPY zei.d /etc/zei/zei.d
TEXT
cat >"$T/image/zei.yaml" <<YAML
services:
  web: {command: [$daemon, web]}
YAML
cat >"$T/image/zei.d/worker.yaml" <<YAML
command: [$daemon, worker]
YAML
build_image "zei-e2e-default:$$" "$T/image"
IMAGE=zei-e2e-default:$$
boot
await web running
await worker running
expect "services" "$(ctl list | sed 1d | cut -d' ' -f1 | sort | xargs)" "web worker"

pass
