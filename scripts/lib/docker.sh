# Sourced where containers are built or run: access to the Docker engine that wrangler uses.

# docker_cli ARGUMENT…: wrangler's Docker client.
docker_cli() {
  "${WRANGLER_DOCKER_BIN:-docker}" "$@"
}

# Whether a Docker engine answers. If not, `docker_trouble` has the reason.
docker_answers() {
  has "${WRANGLER_DOCKER_BIN:-docker}" || {
    docker_trouble="there is no \`${WRANGLER_DOCKER_BIN:-docker}\` here"
    return 1
  }
  docker_trouble=$(docker_cli version --format '{{.Server.Version}}' 2>&1 >/dev/null) || return
  docker_trouble=
}
