#!/bin/bash
# `zei-ctl signal SVC:SIG` and `signal SVC SIG` send one signal to one service.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

config <<YAML
services:
  web: {command: [$daemon, web]}
  worker: {command: [$daemon, worker]}
YAML
boot -c "$T/zei.yaml"
for service in web worker; do wait_for "the start of $service" journal_has "$service start .*"; done

expect_code 0 ctl signal web:HUP
wait_for "HUP in web" journal_has 'web hup'
expect_code 0 ctl signal worker SIGUSR1
wait_for "USR1 in worker" journal_has 'worker usr1'
expect "signals" "$(grep -vc start "$T/journal")" 2

expect_code 100 ctl signal web:NOSUCH
expect_code 4 ctl signal nosuch:HUP

pass
