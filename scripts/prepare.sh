#!/bin/sh
# Brings what a checkout needs to run, into the checkout: scripts/prepare.sh [tools] [host] [build]
#   tools  Node >= 24.2 and the modules that are bundled into dist/ (.tools/)
#   host   bubblewrap, git and ssh, through the system's packages
#   build  dist/
# Speaks on stderr only. Two that run at once take turns.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
# find complains where it cannot return to the directory that it was started in.
cd -- "$root"
tools=$root/.tools
lock=$tools/lock
exec >&2

say() { printf 'bot-bottle: %s\n' "$*"; }
fail() {
  say "$1"
  [ -z "${2-}" ] || printf 'hint: %s\n' "$2"
  exit 1
}

# --- one at a time ---------------------------------------------------------------------------

is_stale() {
  owner=$(cat "$lock/pid" 2>/dev/null) || owner=
  if [ -n "$owner" ]; then
    ! kill -0 "$owner" 2>/dev/null && ! [ -d "/proc/$owner" ]
  else
    [ -n "$(find "$lock" -maxdepth 0 -mmin +1 2>/dev/null)" ]
  fi
}

# Only the holder of a second, short-lived lock looks again and removes: two waiters that both saw
# a stale lock must not remove the one that the faster of them has just taken.
remove_stale() {
  mkdir "$lock.removal" 2>/dev/null || {
    [ -z "$(find "$lock.removal" -maxdepth 0 -mmin +1 2>/dev/null)" ] || rmdir "$lock.removal" || :
    return 0
  }
  if is_stale; then rm -rf "$lock"; fi
  rmdir "$lock.removal"
}

take_lock() {
  mkdir -p "$tools" 2>/dev/null || :
  # No lock could ever be taken there, and waiting for one would not end.
  [ -w "$tools" ] || fail "this checkout is not prepared, and $tools cannot be written by $(id -un 2>/dev/null || id -u)" \
    "run bin/bot-bottle --version once as the owner of the checkout"
  waited=0
  until mkdir "$lock" 2>/dev/null; do
    if is_stale; then remove_stale; fi
    [ "$waited" -ne 3 ] || say "waiting for another run that prepares this checkout (pid ${owner:-unknown})"
    [ "$waited" -lt 900 ] ||
      fail "another run holds $lock for 15 minutes" "end process ${owner:-unknown}, or remove that folder"
    waited=$((waited + 1))
    sleep 1
  done
  trap 'rm -rf "$lock"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  echo $$ >"$lock/pid"
}

# --- tools -----------------------------------------------------------------------------------

# Prints the program's own path (not a version manager's shim), if it is Node >= 24.2, which has
# import.meta.main.
real_node() {
  "$1" -p 'const [major, minor] = process.versions.node.split(".").map(Number);
    major * 100 + minor >= 2402 ? process.execPath : ""' 2>/dev/null || :
}

has_modules() {
  for module in esbuild commander yaml zod; do [ -e "$1/node_modules/$module" ] || return; done
}

bring_modules() {
  stamp=$(cat "$root/scripts/bootstrap/"*.json | cksum)
  if has_modules "$tools" && [ "$(cat "$tools/bootstrap" 2>/dev/null)" = "$stamp" ]; then return; fi
  command -v npm >/dev/null ||
    fail "npm is not on PATH; it is needed once, to bring Node 24 and four modules" "install Node.js with npm"
  say "bringing Node 24 and the modules of the CLI into .tools/ with npm (once)"
  [ -w "${HOME:-/nonexistent}" ] || export npm_config_cache="$tools/npm-cache"
  rm -f "$tools/bootstrap"
  cp "$root/scripts/bootstrap/package.json" "$root/scripts/bootstrap/package-lock.json" "$tools/"
  (cd "$tools" && npm ci --include=dev --include=optional --ignore-scripts \
    --no-audit --no-fund --no-update-notifier --loglevel=error </dev/null) ||
    fail "npm could not bring Node 24 and the modules (its words are above)" \
      "check the network and npm's registry setting, then run this again"
  echo "$stamp" >"$tools/bootstrap"
}

prepare_tools() {
  node=$(real_node node)
  if [ -z "$node" ] || ! has_modules "$root"; then bring_modules; fi
  for brought in "$tools"/node_modules/node-*/bin/node; do
    [ -n "$node" ] || node=$(real_node "$brought")
  done
  [ -n "$node" ] || fail "no Node >= 24.2 on PATH, and none could be brought for $(uname -sm)" \
    "install Node 24 or newer from nodejs.org or your system's packages"
  echo "$node" >"$tools/node-path.$$"
  mv "$tools/node-path.$$" "$tools/node-path"
}

# --- host and build --------------------------------------------------------------------------

# A run goes on without these packages: `bot-bottle doctor` says what each backend lacks.
prepare_host() {
  [ "$(uname -s)" = Linux ] || return 0
  if "$root/scripts/host-packages.sh" "bwrap:bubblewrap:isolates the agent" \
    "git:git:serves the repositories" "ssh:openssh-client:reaches git remotes"; then
    : >"$tools/host-checked${BOT_BOTTLE_NO_INSTALL:+-only}"
  fi
}

prepare_build() {
  find "$tools" -maxdepth 1 -name 'build-*' -mmin +60 -exec rm -rf {} +
  if [ -e "$root/dist/.stamp" ] && [ -z "$(find "$root/src" "$root/scripts/build.ts" \
    "$root/scripts/bootstrap" -newer "$root/dist/.stamp" -print -quit)" ]; then return; fi
  say "building dist/"
  "$(cat "$tools/node-path")" "$root/scripts/build.ts" </dev/null || fail "the build failed (above)"
}

[ $# -gt 0 ] || set -- tools host build
take_lock
for part; do
  case $part in
  tools | host | build) "prepare_$part" ;;
  *) fail "prepare.sh knows tools, host and build, not $part" ;;
  esac
done
