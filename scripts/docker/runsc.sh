#!/bin/sh
# Brings gVisor's runsc in a pinned version, built by Go from its module, into the cache, and registers it
# with the container engine of this machine as the runtime `runsc`. Prints the path of the program.
#   runsc.sh           builds it and registers it
#   runsc.sh --build   only builds it
# The runtime has no network of its own and lets a guest connect to the sockets that are bound into it.
set -eu
version=v0.0.0-20260905035102-160fafc42237
cache=${BOT_BOTTLE_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/bot-bottle}/runsc
program=$cache/$version/runsc
config=/etc/docker/daemon.json

say() { printf 'bot-bottle: %s\n' "$*" >&2; }
fail() {
  say "$1"
  printf 'hint: %s\n' "$2" >&2
  exit 1
}

build() {
  if [ -x "$program" ]; then return; fi
  PATH=$PATH:/usr/local/go/bin
  command -v go >/dev/null || fail "Go is not on PATH; it builds runsc" "install Go 1.26 or newer from go.dev"
  say "building runsc $version with Go (once, some minutes)"
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/build-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM HUP
  # Without C it is one static file, which runs in whatever root the engine gives it.
  CGO_ENABLED=0 GOBIN=$work go install "gvisor.dev/gvisor/runsc@$version" </dev/null >&2 ||
    fail "Go could not build runsc (above)" "check that Go's module proxy is reached"
  mkdir -p "$cache/$version"
  chmod 755 "$work/runsc"
  mv "$work/runsc" "$program"
  rm -rf "$work"
  trap - EXIT
}

# Adds our entry to the engine's configuration and leaves all others as they are; says "changed" if it did.
write_config() {
  node=$(command -v node) || fail "node is not on PATH" "run bin/bot-bottle --version once"
  "$node" - "$config" "$program" <<'JS'
const { readFileSync, writeFileSync, renameSync, mkdirSync, existsSync } = require("node:fs");
const [file, path] = process.argv.slice(2);
const config = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
const entry = { path, runtimeArgs: ["--platform=systrap", "--network=none", "--host-uds=open"] };
if (JSON.stringify(config.runtimes?.runsc) !== JSON.stringify(entry)) {
  config.runtimes = { ...config.runtimes, runsc: entry };
  mkdirSync("/etc/docker", { recursive: true });
  writeFileSync(`${file}.new`, `${JSON.stringify(config, null, 2)}\n`);
  renameSync(`${file}.new`, file);
  console.log("changed");
}
JS
}

is_registered() { docker info --format '{{range $name, $r := .Runtimes}}{{$name}} {{end}}' 2>/dev/null | grep -qw runsc; }

register() {
  changed=$(write_config) || fail "$config could not be changed" "look at it: it must be JSON, and this needs root"
  if [ -z "$changed" ] && is_registered; then return; fi
  # The engine reads its runtimes again on SIGHUP; running containers are not touched.
  pid=$(cat /var/run/docker.pid 2>/dev/null) && kill -HUP "$pid" ||
    fail "runsc is in $config, and dockerd could not be told" "restart the engine as root"
  waited=0
  until is_registered; do
    [ "$waited" -lt 20 ] || fail "dockerd does not offer runsc 20 s after SIGHUP" "restart the engine as root"
    waited=$((waited + 1))
    sleep 1
  done
}

build
[ "${1-}" = --build ] || register
printf '%s\n' "$program"
