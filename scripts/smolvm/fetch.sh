#!/usr/bin/env bash
# Brings pinned releases of smolvm out of the Python package that ships them and prints the folder of each: fetch.sh [VERSION…]
# Kept outside of the checkout under version and digest; nothing is installed and no Python code of theirs is run.
set -euo pipefail

declare -A digests=(
  [1.32.2]=81b104e2622aa0b187b6b7054397c391151b83db2638a16d0e54c517684f0dc2
  [1.8.1]=f76abbbae943d3e8d88fb41f2365ddf55e858adfba2456dff95b1575da9dc6d1
  [1.4.0]=0908c5b4945b6693863e98234211f8dfa9c1a86d217b1f7fda433c132f5a4b75
)
if [ $# -eq 0 ]; then set -- 1.32.2 1.8.1 1.4.0; fi
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bot-bottle/smolvm
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)

fail() {
  printf 'fetch.sh: %s\n' "$*" >&2
  exit 1
}

fetch() {
  local version=$1 digest=$2 target=$3 work wheel
  command -v pip3 >/dev/null || "$root/scripts/host-packages.sh" "pip3:python3-pip:smolvm's package"
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/.new-XXXXXXXX")
  # shellcheck disable=SC2064 # its name now
  trap "rm -rf '$work'" EXIT
  printf 'smolmachines==%s --hash=sha256:%s\n' "$version" "$digest" >"$work/requirements.txt"
  pip3 download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
    -r "$work/requirements.txt" -d "$work" >&2
  wheel=$(find "$work" -name '*.whl')
  [ -n "$wheel" ] || fail "no wheel of smolmachines $version was downloaded"
  mkdir "$work/wheel"
  python3 -m zipfile -e "$wheel" "$work/wheel"
  chmod 755 "$work/wheel/smol" "$work/wheel/smol/smol-vmm"
  # Another fetch may have been faster, with the same content.
  mv -T "$work/wheel/smol" "$target" 2>/dev/null || [ -d "$target" ]
  rm -rf "$work"
  trap - EXIT
}

for version; do
  digest=${digests[$version]-}
  [ -n "$digest" ] || fail "smolvm $version is not pinned here; one of ${!digests[*]} is expected"
  target=$cache/$version-${digest:0:8}
  [ -d "$target" ] || fetch "$version" "$digest" "$target"
  printf '%s\n' "$target"
done
