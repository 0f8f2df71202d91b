#!/bin/bash
# Worlds: docker
# Timeout: 400
# redis-server, nginx and sshd from Debian's packages in one container, under their own users, behind a
# oneshot that prepares them and beside a job that pings redis.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../lib.sh"

debian_runtime

mkdir "$T/image"
cat >"$T/image/Dockerfile" <<TEXT
FROM zei-e2e-debian-runtime:$$
COPY nginx.conf /etc/nginx/nginx.conf
COPY zei.yaml /etc/zei/zei.yaml
TEXT
cat >"$T/image/nginx.conf" <<'TEXT'
daemon off;
pid /tmp/nginx.pid;
error_log /dev/stderr;
events {}
http {
    access_log /dev/stdout;
    client_body_temp_path /tmp/nginx-body;
    proxy_temp_path /tmp/nginx-proxy;
    fastcgi_temp_path /tmp/nginx-fastcgi;
    uwsgi_temp_path /tmp/nginx-uwsgi;
    scgi_temp_path /tmp/nginx-scgi;
    server {
        listen 8080;
        location / { return 200 "hello from nginx\n"; }
    }
}
TEXT
cat >"$T/image/zei.yaml" <<'YAML'
version: "1.0"
shutdown_timeout: 8s
services:
  prepare:
    shell: "mkdir -p /run/sshd /var/lib/redis && chown redis: /var/lib/redis && ssh-keygen -A"
    oneshot: true
  redis:
    command: [redis-server, --bind, 127.0.0.1, --dir, /var/lib/redis, --save, ""]
    user: redis
    depends_on: [prepare]
    restart: always
  nginx:
    command: [nginx, -e, /dev/stderr]
    user: www-data
    depends_on: [prepare]
    restart: always
    forward_signals: [HUP]
  sshd:
    command: [/usr/sbin/sshd, -D, -e]
    depends_on: [prepare]
    restart: always
  ping:
    shell: "redis-cli ping | sed 's/^/redis says /'"
    user: nobody
    oneshot: true
    interval: 1s
    depends_on: [redis]
YAML
cp "$T/image/zei.yaml" "$T/zei.yaml"
build_image "zei-e2e-real:$$" "$T/image"
IMAGE=zei-e2e-real:$$

answers_redis() { [ "$(inside redis-cli ping </dev/null)" = PONG ]; }
answers_http() { [ "$(inside curl -s http://127.0.0.1:8080/ </dev/null)" = "hello from nginx" ]; }
answers_ssh() { inside bash -c 'exec 3<>/dev/tcp/127.0.0.1/22 && read -r -t 5 line <&3 && [[ $line == SSH-2.0-* ]]' </dev/null; }
all_answer() {
    wait_for "PONG from redis" answers_redis
    wait_for "an HTTP answer from nginx" answers_http
    wait_for "a banner from sshd" answers_ssh
}
uid_of() { inside sed -n 's/^Uid:\t\([0-9]*\)\t.*/\1/p' "/proc/$1/status" </dev/null; }
uid_named() { inside id -u "$1" </dev/null; }

boot
for service in redis nginx sshd; do await "$service" running; done
all_answer

expect_code 0 ctl list
for service in redis nginx sshd; do expect_match "list" "$OUT" "^$service +running +$(pid_of "$service") "; done
expect_match "list" "$OUT" '^prepare +completed '
expect_match "list" "$OUT" '^ping +(scheduled|running|starting) '
expect_code 0 ctl status redis
expect_match "status" "$OUT" running

expect "redis runs as" "$(uid_of "$(pid_of redis)")" "$(uid_named redis)"
expect "nginx runs as" "$(uid_of "$(pid_of nginx)")" "$(uid_named www-data)"
expect "sshd runs as" "$(uid_of "$(pid_of sshd)")" 0

before=$(pid_of redis)
expect_code 0 ctl restart redis
[ "$(pid_of redis)" != "$before" ] || fail "restart kept redis' pid $before"
wait_for "PONG after the restart" answers_redis

# HUP makes nginx replace its workers; the main process stays.
before=$(pid_of nginx)
workers() { inside cat "/proc/$before/task/$before/children" </dev/null; }
first=$(workers)
new_workers() { [ -n "$(workers)" ] && [ "$(workers)" != "$first" ]; }
expect_code 0 ctl signal nginx:HUP
wait_for "new workers of nginx" new_workers
expect "nginx' pid after HUP" "$(pid_of nginx)" "$before"
wait_for "an HTTP answer after HUP" answers_http

inside curl -s "http://127.0.0.1:8080/the-access-log" </dev/null >/dev/null
wait_for "nginx' access log in docker logs" output_has 'GET /the-access-log HTTP/1\.1" 200'
wait_for "the job's line in docker logs" output_has 'redis says PONG'

inside sh -c 'i=0; while [ $i -lt 20 ]; do (setsid sleep 0.1 &); i=$((i + 1)); done' </dev/null
zombies() { inside sh -c 'grep -l "^State:.Z" /proc/[0-9]*/status 2>/dev/null | wc -l' </dev/null; }
sleepers() { inside sh -c 'grep -la "^sleep.0.1" /proc/[0-9]*/cmdline 2>/dev/null | wc -l' </dev/null; }
clean() { [ "$(sleepers)" -eq 0 ] && [ "$(zombies)" -eq 0 ]; }
wait_for "no zombie" clean

docker restart -t "$PATIENCE" "$CONTAINER" >/dev/null
for service in redis nginx sshd; do wait_for "$service after docker restart" field_is "$service" state running; done
all_answer

times=()
for round in {1..20}; do
    stop_tree
    times+=("$TOOK")
    expect "exit code of stop $round" "$CODE" 0
    if [ "$round" -lt 20 ]; then
        docker start "$CONTAINER" >/dev/null
        for service in redis nginx sshd; do wait_for "$service in round $round" field_is "$service" state running; done
        all_answer
    fi
done
echo "docker stop, milliseconds: ${times[*]}"
for took in "${times[@]}"; do expect_below "milliseconds of docker stop" "$took" 500; done

pass
