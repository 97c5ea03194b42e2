#!/bin/sh
# Makes a base image without any container registry and prints its name: make-base.sh [debian|host]
#   debian  a minimal Debian by mmdebstrap: what agents run on (about a minute, once)
#   host    this Debian machine's own installed packages: for tests (seconds)
# Both hold Node 24, npm, git, ssh, curl and the user node (uid 1000). The same content has the same
# name; its tar is kept in the cache, so that another engine gets it by an import alone.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
cache=${BOT_BOTTLE_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/bot-bottle}/bases
suite=bookworm
include=ca-certificates,git,openssh-client,curl,procps,socat,libstdc++6
# The closure of these is what an ordinary program in a guest expects.
host_packages="base-files base-passwd bash ca-certificates coreutils curl dash debianutils diffutils findutils \
  gawk git grep gzip hostname libc-bin libstdc++6 mawk openssh-client procps sed socat tar tzdata util-linux"
# Nothing that the tests run needs them, and they are half of the size.
left_out=" perl perl-modules-5.36 libperl5.36 debconf openssl login passwd "

say() { printf 'bot-bottle: %s\n' "$*" >&2; }
fail() {
  say "$1"
  [ -z "${2-}" ] || printf 'hint: %s\n' "$2" >&2
  exit 1
}

variant=${1:-debian}
case $variant in
debian | host) ;;
*) fail "make-base.sh makes debian or host, not $variant" "run scripts/images/make-base.sh debian" ;;
esac
command -v docker >/dev/null || fail "docker is not on PATH" "run scripts/docker/start.sh first"

# --- what goes in ----------------------------------------------------------------------------

# Node's own file, never a version manager's shim: that of the checkout, else that of PATH.
find_node() {
  node=
  [ ! -r "$here/../../.tools/node-path" ] || IFS= read -r node <"$here/../../.tools/node-path"
  [ -x "$node" ] || node=$(command -v node) || fail "node is not on PATH" "run bin/bot-bottle --version once"
  node=$("$node" -p 'Number(process.versions.node.split(".")[0]) >= 24 ? process.execPath : ""')
  [ -n "$node" ] || fail "node on PATH is older than 24" "run bin/bot-bottle --version once: it brings one"
}

# npm's package, beside the Node that has it; its npmrc may hold an operator's token and stays out.
find_npm() {
  npm=$(command -v npm) || fail "npm is not on PATH" "install npm"
  npm=$(dirname "$(dirname "$(readlink -f "$npm")")")
  [ -r "$npm/bin/npm-cli.js" ] || fail "npm was found at $npm, but not its package" "install npm with Node.js"
}

# Installed packages that these need, with themselves: the first installed alternative counts.
closure() {
  # shellcheck disable=SC2016 # dpkg's own fields
  dpkg-query -W -f '${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\t${Pre-Depends}, ${Depends}\n' |
    awk -F '\t' -v wanted="$host_packages" -v left_out="$left_out" '
      $1 ~ /^ii/ { version[$2] = $3; arch[$2] = $4; needs[$2] = $5 }
      function visit(name,   parts, options, i, j, n, m, option) {
        if ((name in seen) || index(left_out, " " name " ") || !(name in version)) return
        seen[name] = 1
        n = split(needs[name], parts, ",")
        for (i = 1; i <= n; i++) {
          m = split(parts[i], options, "|")
          for (j = 1; j <= m; j++) {
            option = options[j]
            gsub(/\(.*\)|:any|:native|[ \t]/, "", option)
            if (option in version) { visit(option); break }
          }
        }
      }
      END {
        n = split(wanted, list, /[ \t]+/)
        for (i = 1; i <= n; i++) visit(list[i])
        for (name in seen) print name "\t" version[name] "\t" arch[name]
      }' | sort
}

# --- making it -------------------------------------------------------------------------------

# What both variants add: Node, npm, and what the host variant lacks because a package script makes it.
stage_node() {
  mkdir -p "$work/add/usr/local/bin" "$work/add/usr/local/lib/node_modules"
  cp "$node" "$work/add/usr/local/bin/node"
  cp -R "$npm" "$work/add/usr/local/lib/node_modules/npm"
  rm -rf "$work/add/usr/local/lib/node_modules/npm/npmrc" "$work/add/usr/local/lib/node_modules/npm/docs" \
    "$work/add/usr/local/lib/node_modules/npm/man"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$work/add/usr/local/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$work/add/usr/local/bin/npx"
  chmod -R u+rwX,go+rX,go-w "$work/add/usr"
}

stage_etc() {
  mkdir -p "$work/add/etc/ssl/certs" "$work/add/var/tmp" "$work/add/root" "$work/add/run" \
    "$work/add/tmp" "$work/add/proc" "$work/add/sys" "$work/add/dev"
  chmod 1777 "$work/add/tmp" "$work/add/var/tmp"
  chmod 700 "$work/add/root"
  for link in bin sbin lib lib64; do ln -s "usr/$link" "$work/add/$link"; done
  {
    printf 'root:x:0:0:root:/root:/bin/bash\n'
    printf 'node:x:1000:1000::/home/node:/bin/bash\n'
    printf 'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n'
  } >"$work/add/etc/passwd"
  printf 'root:x:0:\ntty:x:5:\nnode:x:1000:\nnogroup:x:65534:\n' >"$work/add/etc/group"
  printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$work/add/etc/nsswitch.conf"
  # The package's roots only: what this machine trusts besides is its own affair.
  cat /usr/share/ca-certificates/mozilla/*.crt >"$work/add/etc/ssl/certs/ca-certificates.crt"
}

make_host() {
  # The packages list /bin/x and so on; all is in /usr.
  closure | awk -F '\t' '{ print ($3 == "all") ? $1 : $1 ":" $3 }' | xargs dpkg -L |
    sed -nE -e 's#^/(bin|sbin|lib|lib64|lib32|libx32)/#/usr/\1/#' -e 's#^/##' \
      -e '\#^usr/share/(doc|man|info|locale|lintian|bash-completion|zoneinfo/right)/#d' -e '/^usr/p' |
    sort -u >"$work/all"
  # What a package diverted or a policy left out is not there; directories come with their files.
  (cd / && while IFS= read -r path; do
    [ -d "$path" ] && [ ! -L "$path" ] || [ ! -e "$path" ] || printf '%s\n' "$path"
  done) <"$work/all" >"$work/list"
  # Alternatives such as awk lead through /etc/alternatives.
  for link in awk nawk; do
    target=$(readlink -f "/usr/bin/$link") && mkdir -p "$work/add/usr/bin" && ln -sf "${target##*/}" "$work/add/usr/bin/$link"
  done
  stage_etc
  tar --no-recursion --hard-dereference --owner=0 --group=0 --numeric-owner --mode=ug-s \
    -C / -cf "$tar" -T "$work/list"
  tar --owner=0 --group=0 --numeric-owner -C "$work/add" -rf "$tar" .
  mkdir -p "$work/home/home/node"
  tar --owner=1000 --group=1000 --numeric-owner -C "$work/home" -rf "$tar" home/node
}

make_debian() {
  "$here/../host-packages.sh" "mmdebstrap:mmdebstrap:makes the base image"
  command -v mmdebstrap >/dev/null || fail "mmdebstrap is not installed" "run apt-get install mmdebstrap as root"
  tar --owner=0 --group=0 --numeric-owner -C "$work/add" -cf "$work/add.tar" usr
  # shellcheck disable=SC2016 # for mmdebstrap's shell
  mmdebstrap --quiet --variant=minbase --include="$include" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='chroot "$1" useradd --create-home --uid 1000 --user-group --shell /bin/bash node' \
    --customize-hook='find "$1" -xdev -type f -perm /6000 -exec chmod ug-s {} +' \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/log/*' \
    --customize-hook="tar-in $work/add.tar /" \
    "$suite" "$tar" >&2 || fail "mmdebstrap failed (above)" "check that deb.debian.org is reached over HTTP"
}

# --- here we go ------------------------------------------------------------------------------

find_node
find_npm
if [ "$variant" = host ]; then
  command -v dpkg-query >/dev/null || fail "this machine has no dpkg" "run scripts/images/make-base.sh debian"
  versions=$(closure)
else
  versions=$suite,$include
fi
key=$({
  printf '%s\n' "$variant" "$versions" "$("$node" --version)" "$("$node" "$npm/bin/npm-cli.js" --version)"
  cat "$here/make-base.sh"
} | sha256sum | cut -c 1-12)
name=bot-bottle-base:$variant-$key

# Two that run at once make it twice at worst: each works in a folder of its own and renames.
if ! docker image inspect "$name" >/dev/null 2>&1; then
  docker version >/dev/null 2>&1 || fail "the container engine does not answer" "run scripts/docker/start.sh"
  mkdir -p "$cache"
  kept=$cache/$variant-$key.tar
  if [ ! -e "$kept" ]; then
    say "making the base image $name"
    work=$(mktemp -d "$cache/make-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM HUP
    tar=$work/base.tar
    stage_node
    "make_$variant"
    mv "$tar" "$kept"
    # Former versions of the same variant serve nobody any more.
    find "$cache" -maxdepth 1 -name "$variant-*.tar" ! -name "$variant-$key.tar" -mtime +7 -exec rm -f {} +
  fi
  docker import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'CMD ["/bin/bash"]' --change "LABEL bot-bottle.base=$key" "$kept" "$name" >/dev/null
fi
printf '%s\n' "$name"
