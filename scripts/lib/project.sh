# Sourced by every script: changes to the project's root, adds its tools to PATH, and defines common functions.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root" || exit
# npm computes PATH before the first `npm ci` of a fresh clone, so the project's own Node comes first here.
PATH=$root/node_modules/.bin:$root/.tools/bin:$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin
export PATH

log() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
}

fail() {
  log "$*"
  exit 1
}

has() {
  command -v "$1" >/dev/null 2>&1
}

is_root() {
  [ "$(id -u)" = 0 ]
}
