#!/bin/bash
# Every mistake is reported in one run, with file, line, service, key and the near word; exit code 100.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

config <<YAML
version: "1.0"
services:
  good: {command: [$daemon, good]}
  typo:
    command: [$daemon, typo]
    restrat: always
  word: {command: ["true"], restart: alwyas}
  time: {command: ["true"], restart_delay: 5 parsecs}
  user: {command: ["true"], user: nobdy}
  need: {command: ["true"], depends_on: [godo]}
  left: {command: ["true"], depends_on: [right]}
  right: {command: ["true"], depends_on: [left]}
  none: {user: root}
YAML
run_tree -c "$T/zei.yaml"
expect "exit code" "$CODE" 100
expect_match "an unknown key" "$(errors)" 'zei\.yaml:6:.*typo.*restrat.*restart'
expect_match "an unknown word" "$(errors)" 'zei\.yaml:7:.*word.*restart.*alwyas.*always'
expect_match "a bad duration" "$(errors)" 'zei\.yaml:8:.*time.*restart_delay.*parsecs'
expect_match "an unknown user" "$(errors)" 'zei\.yaml:9:.*user.*nobdy.*nobody'
expect_match "an unknown dependency" "$(errors)" 'zei\.yaml:10:.*need.*depends_on.*godo.*good'
expect_match "a cycle" "$(errors)" 'zei\.yaml:1[12]:.*left.*right'
expect_match "no command" "$(errors)" 'zei\.yaml:13:.*none.*command'
expect "what was started" "$(<"$T/journal")" ""

run_tree -c "$T/no/such.yaml"
expect "exit code where -c names nothing" "$CODE" 100
expect_match "the missing file" "$(errors)" 'no/such\.yaml'

run_tree
expect "exit code without configuration and command" "$CODE" 100

pass
