#!/bin/sh
# Makes the two images that packing needs (attachment tsi) without any registry: crane, built by Go from its module in a pinned
# version, pushes an image and serves as the registry. Prints "REGISTRY CRANE", the names of the images.
set -eu
version=v0.20.6
cache=${BOT_BOTTLE_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/bot-bottle}/crane
program=$cache/$version/crane
registry=bot-bottle-registry:$version
crane=bot-bottle-crane:$version

say() { printf 'bot-bottle: %s\n' "$*" >&2; }
fail() {
  say "$1"
  printf 'hint: %s\n' "$2" >&2
  exit 1
}

build() {
  if [ -x "$program" ]; then return; fi
  PATH=$PATH:/usr/local/go/bin
  command -v go >/dev/null || fail "Go is not on PATH; it builds crane" "install Go 1.26 or newer from go.dev"
  say "building crane $version with Go (once, a minute)"
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/build-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM HUP
  # Without C it is one static file, which needs nothing else in its image.
  CGO_ENABLED=0 GOBIN=$work go install -trimpath -ldflags=-s "github.com/google/go-containerregistry/cmd/crane@$version" \
    </dev/null >&2 || fail "Go could not build crane (above)" "check that Go's module proxy is reached"
  mkdir -p "$cache/$version"
  chmod 755 "$work/crane"
  mv "$work/crane" "$program"
  rm -rf "$work"
  trap - EXIT
}

# An image of the one file and an empty directory for the registry's blobs.
import_image() {
  name=$1
  shift
  if docker image inspect "$name" >/dev/null 2>&1; then return; fi
  root=$(mktemp -d "$cache/root-XXXXXX")
  mkdir "$root/data" "$root/tmp"
  chmod 1777 "$root/tmp"
  cp "$program" "$root/crane"
  tar -C "$root" --numeric-owner --owner=0 --group=0 -cf - . | docker import "$@" - "$name" >/dev/null ||
    fail "the engine did not take the image $name" "see whether docker version answers"
  rm -rf "$root"
}

command -v docker >/dev/null || fail "docker is not on PATH" "run scripts/docker/start.sh first"
build
import_image "$registry" --change 'ENTRYPOINT ["/crane","registry","serve","--address",":5000","--disk","/data"]' --change 'EXPOSE 5000'
import_image "$crane" --change 'ENTRYPOINT ["/crane"]'
printf '%s %s\n' "$registry" "$crane"
