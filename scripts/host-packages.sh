#!/bin/sh
# Installs missing system packages through apt-get: host-packages.sh command:package:why…
# A command with slashes is a file that the package brings.
# Where it may not (BOT_BOTTLE_NO_INSTALL=1, no rights) or cannot (no apt-get) it names the command
# and succeeds; it fails only where an install was tried and went wrong.
set -eu
log=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)/.tools/apt.log
has_terminal=
if [ -t 0 ] && [ -t 2 ]; then has_terminal=yes; fi
exec >&2

say() { printf 'bot-bottle: %s\n' "$*"; }

packages=
reasons=
for wanted; do
  command=${wanted%%:*}
  rest=${wanted#*:}
  case $command in */*) if [ -e "$command" ]; then continue; fi ;; esac
  command -v "$command" >/dev/null && continue
  [ ! -x "/usr/sbin/$command" ] || continue
  packages="$packages ${rest%%:*}"
  reasons="$reasons, ${rest%%:*} (${rest#*:})"
done
[ -n "$packages" ] || exit 0
reasons=${reasons#, }

leave() {
  say "missing: $reasons; $1"
  printf 'hint: %s\n' "$2"
  exit 0
}

command -v apt-get >/dev/null || leave "not installed here" "install them with this system's packages"
by_hand="apt-get install$packages"
[ -z "${BOT_BOTTLE_NO_INSTALL-}" ] || leave "not installed, as BOT_BOTTLE_NO_INSTALL asks" "run $by_hand"
if [ "$(id -u)" -eq 0 ]; then
  as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as_root="sudo -n"
elif command -v sudo >/dev/null && [ -n "$has_terminal" ]; then
  as_root=sudo
else
  leave "installing them needs root" "run $by_hand as root"
fi

apt() {
  # shellcheck disable=SC2086 # words
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=120 "$@" \
    </dev/null >>"$log" 2>&1
}

say "installing $reasons with apt-get"
# An installed package has no .tools.
mkdir -p "$(dirname "$log")"
: >"$log"
install="install --no-install-recommends$packages"
# shellcheck disable=SC2086 # words
if apt $install || { apt update && apt $install; }; then exit 0; fi
tail -n 5 "$log"
say "apt-get could not install$packages (whole log: $log)"
printf 'hint: %s\n' "run $by_hand, or set BOT_BOTTLE_NO_INSTALL=1 to go on without"
exit 1
