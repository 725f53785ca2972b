# Sourced by every script: goes to the project's root, puts its tools in PATH, says how a script speaks and gives up.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root" || exit
# npm computes PATH before the first `npm ci` of a fresh clone, so the project's own Node comes first here.
PATH=$root/node_modules/.bin:$root/.tools/bin:$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin
export PATH

say() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
}

fail() {
  say "$*"
  exit 1
}

has() {
  command -v "$1" >/dev/null 2>&1
}

is_root() {
  [ "$(id -u)" = 0 ]
}
