#!/bin/bash
# Worlds: docker
# Timeout: 400
# PostgreSQL (by tcp and by pg_isready), redis (sd_notify), a shell script with systemd-notify, nginx (http) and a
# Python program (a newline on a descriptor): whatever depends on them finds all of them there when it starts,
# and is gone before any of them is asked to end.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

debian_runtime

mkdir "$T/image"
cat >"$T/image/Dockerfile" <<TEXT
FROM zei-e2e-debian-runtime:$$
COPY nginx.conf /etc/nginx/nginx.conf
COPY server.py stamp app prepare /usr/local/bin/
RUN chmod 755 /usr/local/bin/*
COPY zei.yaml /etc/zei/zei.yaml
TEXT
cat >"$T/image/nginx.conf" <<'TEXT'
daemon off;
pid /tmp/nginx.pid;
error_log /dev/stderr;
events {}
http {
    access_log off;
    client_body_temp_path /tmp/nginx-body;
    proxy_temp_path /tmp/nginx-proxy;
    fastcgi_temp_path /tmp/nginx-fastcgi;
    uwsgi_temp_path /tmp/nginx-uwsgi;
    scgi_temp_path /tmp/nginx-scgi;
    server {
        listen 8080;
        location /health { return 200 "well\n"; }
        location / { return 200 "hello from nginx\n"; }
    }
}
TEXT
cat >"$T/image/server.py" <<'TEXT'
"""Serves a greeting; says by a newline on descriptor 7 that it does."""
import os
import socket

with socket.create_server(("127.0.0.1", 9000)) as server:
    os.write(7, b"\n")
    os.close(7)
    while True:
        client, _ = server.accept()
        with client:
            client.sendall(b"hello from python\n")
TEXT
# stamp NAME WHAT: a line with the time in nanoseconds.
cat >"$T/image/stamp" <<TEXT
#!/bin/sh
echo "\$1 \$2 \$(date +%s%N)" >>$T/journal
TEXT
cat >"$T/image/prepare" <<'TEXT'
#!/bin/sh -e
bin=$(echo /usr/lib/postgresql/*/bin)
for name in tcp exec; do
    [ -e "/var/lib/postgresql/$name/PG_VERSION" ] || "$bin/initdb" -A trust -D "/var/lib/postgresql/$name" >/dev/null
done
ln -sfn "$bin" /var/lib/postgresql/bin
TEXT
# Each question is asked once: who is not there now was not waited for.
cat >"$T/image/app" <<'TEXT'
#!/bin/bash -e
for port in 5432 5433; do [ "$(psql -qtA -h 127.0.0.1 -p $port -U postgres -c 'select 6*7' postgres)" = 42 ]; done
[ "$(psql -qtA -h 127.0.0.1 -U postgres -c 'select greeting from greetings' postgres)" = "hello from postgres" ]
[ "$(redis-cli ping)" = PONG ]
[ "$(curl -s http://127.0.0.1:8080/)" = "hello from nginx" ]
exec 3<>/dev/tcp/127.0.0.1/9000
read -r line <&3
[ "$line" = "hello from python" ]
stamp app ready
trap 'stamp app term; exit 0' TERM
sleep infinity &
wait
TEXT
cat >"$T/image/zei.yaml" <<'YAML'
version: "1.0"
shutdown_timeout: 15s
services:
  prepare:
    command: [prepare]
    user: postgres
    oneshot: true
    post_stop: [stamp, prepare, gone]
  postgres-tcp:
    command: [/var/lib/postgresql/bin/postgres, -D, /var/lib/postgresql/tcp, -k, /tmp, -c, listen_addresses=127.0.0.1]
    user: postgres
    depends_on: [prepare]
    pre_start: [stamp, postgres-tcp, begin]
    ready: {tcp: "127.0.0.1:5432", timeout: 60s}
    healthcheck: {test: [CMD, /var/lib/postgresql/bin/pg_isready, -q, -h, 127.0.0.1], interval: 1s, start_interval: 100ms, start_period: 20s}
    stop_signal: INT
    post_stop: [stamp, postgres-tcp, gone]
  postgres-exec:
    command: [/var/lib/postgresql/bin/postgres, -D, /var/lib/postgresql/exec, -k, /tmp, -p, "5433", -c, listen_addresses=127.0.0.1]
    user: postgres
    depends_on: [prepare]
    pre_start: [stamp, postgres-exec, begin]
    ready: {exec: [/var/lib/postgresql/bin/pg_isready, -q, -h, 127.0.0.1, -p, "5433"], timeout: 60s}
    stop_signal: INT
    post_stop: [stamp, postgres-exec, gone]
  schema:
    shell: "psql -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -U postgres -c \"create table if not exists greetings as select 'hello from postgres'::text as greeting\" postgres"
    user: postgres
    oneshot: true
    depends_on:
      postgres-tcp: {condition: service_healthy}
    post_stop: [stamp, schema, gone]
  redis:
    command: [redis-server, --supervised, systemd, --bind, 127.0.0.1, --dir, /tmp, --save, ""]
    user: redis
    pre_start: [stamp, redis, begin]
    ready: {notify: systemd, timeout: 60s}
    post_stop: [stamp, redis, gone]
  script:
    shell: "systemd-notify --status='warming up'; systemd-notify --ready --status='warm'; exec sleep infinity"
    user: www-data
    pre_start: [stamp, script, begin]
    ready: {notify: systemd, timeout: 60s}
    post_stop: [stamp, script, gone]
  nginx:
    command: [nginx, -e, /dev/stderr]
    user: www-data
    pre_start: [stamp, nginx, begin]
    ready: {http: "http://127.0.0.1:8080/health", timeout: 60s}
    healthcheck: {test: {http: "http://127.0.0.1:8080/health"}, interval: 1s}
    post_stop: [stamp, nginx, gone]
  python:
    command: [python3, /usr/local/bin/server.py]
    user: nobody
    pre_start: [stamp, python, begin]
    ready: {notify: {fd: 7}, timeout: 60s}
    post_stop: [stamp, python, gone]
  app:
    command: [app]
    user: nobody
    depends_on: [postgres-tcp, postgres-exec, schema, redis, script, nginx, python]
    post_stop: [stamp, app, gone]
YAML
cp "$T/image/zei.yaml" "$T/zei.yaml"
build_image "zei-e2e-ready:$$" "$T/image"
IMAGE=zei-e2e-ready:$$

stamp_of() { # NAME WHAT
    awk -v name="$1" -v what="$2" '$1 == name && $2 == what { print $3; exit }' "$T/journal"
}

before() { # NAME WHAT NAME WHAT: the first was before the second
    local first second
    first=$(stamp_of "$1" "$2") second=$(stamp_of "$3" "$4")
    if [ -z "$first" ] || [ -z "$second" ] || [ "$first" -ge "$second" ]; then
        fail "$1 $2 (${first:-never}) is not before $3 $4 (${second:-never}):"$'\n'"$(cat "$T/journal")"
    fi
}

servers="postgres-tcp postgres-exec redis script nginx python"

boot
wait_for "the application" journal_has 'app ready [0-9]+'
for server in $servers; do before "$server" begin app ready; done
before prepare gone postgres-tcp begin
before prepare gone postgres-exec begin
before postgres-tcp begin schema gone
before schema gone app ready
expect_code 0 ctl list
for server in $servers; do expect_match "list" "$OUT" "^$server +running"; done
for server in postgres-tcp nginx; do wait_for "$server is healthy" field_is "$server" health healthy; done
expect_code 0 ctl status script
expect_match "what the script says of itself" "$OUT" 'warm'

stop_tree
expect "exit code" "$CODE" 0
before app term app gone
for server in $servers; do before app gone "$server" gone; done
echo "docker stop took $TOOK ms"

pass
