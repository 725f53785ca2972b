# Sourced where buckets are mounted: whether sandboxes can have FUSE. After docker.sh.

# Whether those of `npm start` can. If not, `mounts_trouble` says why.
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

# Whether those of `npm run dev` can: wrangler gives /dev/fuse to containers of an engine that is not root on this machine.
mounts_in_containers() {
  mounts_trouble="wrangler gives /dev/fuse to no container of a Docker engine that is root"
  if [ "$(uname)" = Darwin ] || grep -qi microsoft /proc/sys/kernel/osrelease 2>/dev/null ||
    docker_cli info --format '{{.SecurityOptions}}' 2>/dev/null | grep -q rootless; then
    mounts_trouble=
  fi
  [ -z "$mounts_trouble" ]
}
