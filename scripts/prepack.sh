#!/bin/sh
# Makes dist/ with its types for `npm pack`. A package without one of them must not come to be.
set -eu
cd -- "$(dirname -- "$0")/.."
exec >&2

fail() {
  printf 'bot-bottle: %s\nhint: %s\n' "$1" "$2"
  exit 1
}

is_new() {
  [ -n "$1" ] && "$1" -e 'const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major * 100 + minor >= 2402 ? 0 : 1)' 2>/dev/null
}

# npm's own Node may be an older one than the checkout has.
node=node
is_new "$node" || node=$(cat .tools/node-path 2>/dev/null) || :
is_new "$node" ||
  fail "a package is built with Node 24.2 or newer; this is $(node --version 2>/dev/null || echo none)" \
    "put a newer Node on PATH, or run bin/bot-bottle --version once: it brings one"
for module in esbuild typescript commander yaml zod; do
  [ -e "node_modules/$module" ] ||
    fail "a package is built with the modules of package.json; node_modules/$module is missing" \
      "run npm install --include=dev, then npm pack again"
done
exec "$node" scripts/build.ts --types
