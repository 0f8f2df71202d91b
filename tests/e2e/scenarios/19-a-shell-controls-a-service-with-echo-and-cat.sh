#!/bin/bash
# Without zei-ctl: a line into the control FIFO, the state from the status file, answers from acks. A token
# is acted on once.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

config <<YAML
services:
  web: {command: [$daemon, web]}
YAML
boot -c "$T/zei.yaml"
run=/run/zei/services/web
wait_for "the first start" journal_has 'web start .*'

inside sh -c "echo '- restart' >$run/control"
wait_for "the second start" journal_has_count 'web start .*' 2

acks() { inside cat "$run/acks" </dev/null; }
answered() { acks | grep -q "^$1 $2 "; }
inside sh -c "echo 'abcd1234 restart' >$run/control"
wait_for "the answer to abcd1234" answered abcd1234 "done"
wait_for "the third start" journal_has_count 'web start .*' 3
expect_match "the answer's code" "$(acks)" '^abcd1234 done 0 '

# The same token again changes nothing; what follows it in the FIFO is acted on after it.
inside sh -c "echo 'abcd1234 restart' >$run/control; echo 'efgh5678 signal HUP' >$run/control"
wait_for "the answer to efgh5678" answered efgh5678 "done"
wait_for "HUP in web" journal_has 'web hup'
expect "starts" "$(journal_count 'web start .*')" 3

inside sh -c "echo 'ijkl9012 nosuch' >$run/control"
wait_for "the answer to nonsense" answered ijkl9012 failed

status=$(inside cat "$run/status" </dev/null)
for key in version name state since since_wall pid start supervisor want restarts run; do
    expect_match "the status file" "$status" "^$key="
done
expect_match "the status file" "$status" '^name=web$'
expect_match "the status file" "$status" '^state=running$'
expect_no_match "the status file is text, a key=value a line" "$status" '^[^=]*$'

inside sh -c "echo '- stop' >$run/control"
wait_for "the stop" field_is web state stopped
expect "modes of control and status" "$(inside stat -c '%a' "$run/control" "$run/status" </dev/null | xargs)" "600 644"

pass
