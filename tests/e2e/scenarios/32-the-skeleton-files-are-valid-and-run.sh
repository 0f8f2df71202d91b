#!/bin/bash
# Every configuration under skel/ passes `zei-ctl check`; the demo tree starts and stops.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"
need_root

# Copied, so that both worlds see them, and owned by root in both.
cp -r "$E2E/../../skel" "$T/skel"
launch -- sh -c 'exec sleep 1000000'
check() { inside zei-ctl check "$@" </dev/null; }
expect_code 0 check -c "$T/skel/etc/zei/zei.yaml" -c "$T/skel/etc/zei/zei.d"
for file in "$T"/skel/etc/zei/zei.d/*.yaml "$T/skel/demo/zei.yaml" "$T/skel/docker/scratch.yaml"; do
    expect_code 0 check -c "$file"
done
# `check` does look.
echo 'services: {web: {comand: x}}' >"$T/bad.yaml"
expect_code 100 check -c "$T/bad.yaml"

boot -c "$T/skel/demo/zei.yaml"
await web running
await database running
wait_for "the web server's line" output_has 'web: serving'
wait_for "the database's line" output_has 'database: open'
stop_tree
expect "exit code" "$CODE" 0
expect "the order of the ends" "$(output | grep -E 'goodbye|closing' | sed 's/.*\(web\|database\): /\1 /' | paste -sd,)" \
    "web goodbye,database closing"

pass
