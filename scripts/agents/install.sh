#!/bin/sh
# Installs the pinned coding agents into .tools/agents, without running their install scripts: the native
# programs in them are used directly. The lock file pins them also under an npm that would pick older ones.
# Prints the folder of their launchers on stdout; everything else goes to stderr.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
target=${1:-$here/../../.tools/agents}
mkdir -p "$target"
target=$(CDPATH='' cd -- "$target" && pwd -P)
stamp=$(cat "$here/package.json" "$here/package-lock.json" | cksum)

if [ "$(cat "$target/.stamp" 2>/dev/null)" != "$stamp" ]; then
  rm -f "$target/.stamp"
  cp "$here/package.json" "$here/package-lock.json" "$target/"
  (cd "$target" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2
  printf '%s\n' "$stamp" >"$target/.stamp"
fi
printf '%s\n' "$target/node_modules/.bin"
