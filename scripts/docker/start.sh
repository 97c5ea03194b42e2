#!/bin/sh
# Makes sure that a container engine answers: uses the one that runs, else installs Debian's docker.io
# (saying so) and starts dockerd. Prints nothing on stdout; succeeds once the engine answers.
#   start.sh          starts it where that is needed
#   start.sh --check  only looks
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
socket=/var/run/docker.sock
log=${BOT_BOTTLE_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/bot-bottle}/dockerd.log
seconds=60
exec >&2

say() { printf 'bot-bottle: %s\n' "$*"; }
fail() {
  say "$1"
  printf 'hint: %s\n' "$2"
  exit 1
}

# A client alone says yes to many things: only the engine knows its own version.
answers() { command -v docker >/dev/null && [ -n "$(docker version --format '{{.Server.Version}}' 2>/dev/null)" ]; }

if answers; then exit 0; fi
[ "${1-}" != --check ] || exit 1
[ -z "${DOCKER_HOST-}" ] ||
  fail "no container engine answers at DOCKER_HOST ($DOCKER_HOST)" "start that engine, or unset DOCKER_HOST"
[ "$(uname -s)" = Linux ] || fail "no container engine answers" "start Docker Desktop, OrbStack or colima"
[ "$(id -u)" -eq 0 ] ||
  fail "no container engine answers for $(id -un), and starting one needs root" \
    "run scripts/docker/start.sh as root, and add $(id -un) to the group docker"

"$here/../host-packages.sh" "dockerd:docker.io:the container engine" "iptables:iptables:the engine's networks"
# Debian 13 has the client in a package of its own.
command -v docker >/dev/null || "$here/../host-packages.sh" "docker:docker-cli:the engine's client"
PATH=$PATH:/usr/sbin:/sbin
command -v dockerd >/dev/null || fail "dockerd is not installed" "run apt-get install docker.io"
# The package may have started it.
if answers; then exit 0; fi

say "starting dockerd (log: $log)"
mkdir -p "$(dirname "$log")"
# In a session of its own: it serves others after us, and must not get this terminal's signals.
setsid dockerd --host "unix://$socket" </dev/null >"$log" 2>&1 &
pid=$!
waited=0
until answers; do
  if ! kill -0 "$pid" 2>/dev/null; then
    tail -n 5 "$log"
    fail "dockerd ended at once (its last words are above)" "read $log"
  fi
  [ "$waited" -lt "$seconds" ] || {
    tail -n 5 "$log"
    fail "dockerd does not answer at $socket after $seconds s" "read $log"
  }
  waited=$((waited + 1))
  sleep 1
done
