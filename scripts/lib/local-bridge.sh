# Sourced by `start` and `dev`: a session of the bridge on this machine. It has a port, a key, its own directory and
# processes; it ends, with all its processes, on SIGINT, SIGTERM and SIGHUP, and as soon as one of them ends.

processes=
session=
announcer=
# The leader of a process group that is ended with the bridge, and whose end does not end the bridge.
background=
# A command that end_bridge runs when the processes have ended.
at_end=:
# The signal that ends the processes.
end_signal=TERM

# Takes PORT and SANDBOX_API_KEY from the environment, with a default port and a generated key, and begins the session.
begin_bridge() {
  port=${PORT:-8787}
  { [ "$port" -ge 1 ] && [ "$port" -le 65535 ]; } 2>/dev/null || fail "PORT must be a number from 1 to 65535, not \"$port\""
  require_free_port
  key=${SANDBOX_API_KEY:-$(node -p 'require("crypto").randomBytes(24).toString("hex")')}
  case $key in
  # The characters of a bearer token (RFC 6750), none of which is special in an env file.
  *[!A-Za-z0-9._~+/=-]*) fail "SANDBOX_API_KEY may only have letters, digits and the characters . _ ~ + / = -" ;;
  esac
  trap 'end_bridge $?' EXIT
  trap 'end_bridge 130' INT
  trap 'end_bridge 143' TERM
  trap 'end_bridge 129' HUP
}

require_free_port() {
  node -e '
    const server = require("net").createServer();
    server.on("error", () => process.exit(1));
    server.listen(+process.argv[1], "127.0.0.1", () => server.close());
  ' "$port" 2>/dev/null || fail "port $port is not free. Choose another, for example: PORT=8788 npm start"
}

# Creates the session's directory, named after the port, which only one session can have: the files of a killed session
# are removed. The Worker's variables are in a private file there; a command line could be read by all users.
make_directory() {
  require_free_port
  session=$root/.wrangler/session-$port
  rm -rf "$session"
  (umask 077 && mkdir -p "$session" && printf 'SANDBOX_API_KEY=%s\n' "$key" >"$session/variables")
  start_log
}

# Starts the log of the session, descriptor 4: writes of its processes never wait for a reader.
start_log() {
  mkfifo "$session/log"
  # Opened for reading and writing: so the open does not block, and the log does not end with a process that writes.
  exec 4<>"$session/log"
  run sh -c 'exec node scripts/lib/log-relay.mjs <>"$0"' "$session/log"
}

# run COMMAND…: starts a process of the session in its own process group, so that Ctrl-C reaches only this shell, which
# then ends the processes in order. If this shell is killed, its processes get SIGTERM. Sets `started`.
run() {
  # Without descriptor 4, which sandboxes would inherit.
  if has setsid && has setpriv; then
    setsid setpriv --pdeathsig TERM -- "$@" </dev/null 4>&- &
  else
    "$@" </dev/null 4>&- &
  fi
  started=$!
  processes="$started $processes"
}

# attempt COMMAND…: runs a command of the session to its end; its status is the command's.
attempt() {
  run "$@"
  status=0
  wait "$started" || status=$?
  processes=${processes#"$started "}
  return $status
}

# finish COMMAND…: runs a command of the session to its end. Its failure ends the session.
finish() {
  attempt "$@" || end_bridge 1
}

# A pause that a signal interrupts. It also collects the processes that have ended.
pause() {
  sleep "$1" &
  wait $! || true
}

# end_bridge STATUS: ends every process, the last one first, removes the session's directory and exits.
end_bridge() {
  trap '' INT TERM HUP
  trap - EXIT
  [ -z "$announcer" ] || kill "$announcer" 2>/dev/null || true
  [ -z "$background" ] || kill -s TERM -- "-$background" 2>/dev/null || true
  for process in $processes; do
    kill -s "$end_signal" "$process" 2>/dev/null || true
    tries=150
    while kill -0 "$process" 2>/dev/null && [ $tries -gt 0 ]; do
      tries=$((tries - 1))
      pause 0.1
    done
    # Kills the rest of its process group, if it has one.
    kill -s KILL -- "-$process" 2>/dev/null || kill -s KILL "$process" 2>/dev/null || true
  done
  $at_end || true
  [ -z "$session" ] || rm -rf "$session"
  exit "$1"
}

# wait_for_url FILE: waits for the URL in the line that the process started last prints into FILE, and sets `url`.
wait_for_url() {
  url=
  while [ -z "$url" ]; do
    kill -0 "$started" 2>/dev/null || end_bridge 1
    pause 0.05
    url=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$1")
  done
}

# start_snapshot_store: starts the store of snapshots on this machine, unless the Worker's options name another one, and
# gives the Worker its address. Snapshots outlive the session.
start_snapshot_store() {
  case " $* " in *" SNAPSHOT_BUCKET:"*) return ;; esac
  run "${CARGO_TARGET_DIR:-target}/sandboxd/snapshot-store" "${SNAPSHOT_DIR:-.sandbox-local/snapshots}" \
    >"$session/store.json" 2>&4
  wait_for_url "$session/store.json"
  printf '%s\n' "SNAPSHOT_ENDPOINT=$url" SNAPSHOT_BUCKET=snapshots SNAPSHOT_ACCESS_KEY_ID=local \
    SNAPSHOT_SECRET_ACCESS_KEY=local >>"$session/variables"
}

# serve COMMAND…: runs the command that serves the bridge on the session's port, prints how to call it, and waits until
# the session ends.
serve() {
  run "$@" >&4 2>&1
  node scripts/lib/announce.mjs "http://localhost:$port" 3<<END &
$key
END
  announcer=$!
  while :; do
    for process in $processes; do
      if ! kill -0 "$process" 2>/dev/null; then
        log "a process of the bridge ended, so the rest is ended too"
        end_bridge 1
      fi
    done
    pause 1
  done
}

# serve_by_workerd: serves the bridge by workerd alone, with the session's workerd.capnp.
serve_by_workerd() {
  # On SIGTERM, workerd would wait for the requests that are under way.
  end_signal=HUP
  serve "$(node -p 'require("workerd").default')" serve --watch "$session/workerd.capnp"
}

# serve_by_wrangler [OPTION…]: serves the bridge by `wrangler dev`.
serve_by_wrangler() {
  export WRANGLER_SEND_METRICS=false WRANGLER_HIDE_BANNER=true WRANGLER_WRITE_LOGS=false SANDBAR_BUILT=1
  export WRANGLER_REGISTRY_PATH="$session/registry" CLOUDFLARE_CF_FETCH_ENABLED=false
  serve wrangler dev --ip localhost --port "$port" --inspector-port 0 --show-interactive-dev-session=false \
    --env-file "$session/variables" --persist-to "$session/state" "$@"
}
