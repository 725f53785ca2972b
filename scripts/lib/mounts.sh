# Sourced, after docker.sh, where buckets are mounted: whether sandboxes can have FUSE.

# Whether sandboxes of `npm start` can. If not, `mounts_trouble` has the reason.
mounts_locally() {
  if ! is_root; then
    mounts_trouble="mounting takes root"
  elif ! [ -c /dev/fuse ]; then
    mounts_trouble="there is no /dev/fuse"
  elif ! has s3fs; then
    mounts_trouble="there is no s3fs"
  else
    mounts_trouble=
  fi
  [ -z "$mounts_trouble" ]
}

# Whether sandboxes of `npm run dev` can: wrangler gives /dev/fuse only to containers of an engine that is not root on
# this machine.
mounts_in_containers() {
  mounts_trouble="wrangler gives /dev/fuse to no container of a Docker engine that is root"
  if [ "$(uname)" = Darwin ] || grep -qi microsoft /proc/sys/kernel/osrelease 2>/dev/null ||
    docker_cli info --format '{{.SecurityOptions}}' 2>/dev/null | grep -q rootless; then
    mounts_trouble=
  fi
  [ -z "$mounts_trouble" ]
}
