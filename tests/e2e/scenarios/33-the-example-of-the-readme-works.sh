#!/bin/bash
# Worlds: docker
# The README's first Dockerfile and its first zei.yaml build, run, are controlled by the README's lines of shell, and end.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

base=$("$E2E/images.sh" base)
toolkit=zei-e2e-readme-toolkit:$$
"$E2E/build.sh" toolkit "$base" "$toolkit" "$T/built" >"$T/build.log" 2>&1
tac "$T/built" >>"$T/images"

first_block() { # LANGUAGE
    awk -v open="\`\`\`$1" '$0 == open && !seen { seen = inside = 1; next } $0 == "```" { inside = 0 } inside' "$E2E/../../README.md"
}
mkdir "$T/image"
first_block yaml >"$T/image/zei.yaml"
# The two base images are arguments; without a registry their defaults are these.
first_block dockerfile | sed "s|^ARG BASE=.*|ARG BASE=$base|; s|^ARG TOOLKIT=.*|ARG TOOLKIT=$toolkit|" >"$T/image/Dockerfile"
build_image "zei-e2e-readme:$$" "$T/image"
IMAGE=zei-e2e-readme:$$
boot
await web running
try inside zei-ctl check
expect "check" "$CODE $OUT" "0 ok: 3 services"
expect "warnings of check" "$ERR" ""
try inside zei-ctl list
expect_match "list" "$OUT" '^prepare +completed'
expect_match "list" "$OUT" '^web +running'
wait_for "the job's line" output_has 'tick: '

before=$(field web pid)
try inside sh -c 'cd /run/zei/services/web
    echo "deploy0001 restart" >control
    until grep "^deploy0001 \(done\|failed\) " acks; do sleep 0.1; done'
expect_match "answer" "$OUT" "^deploy0001 done 0 at=[0-9]+ pid=$(field web pid) *$"
[ "$before" != "$(field web pid)" ] || fail "the restart made no new process"

inside sh -c "echo '- shutdown' >/run/zei/init/control"
finish
expect "exit code" "$CODE" 0

pass
