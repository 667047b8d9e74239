# For `run` and `contract`: a sidecar on a port of its own, in a folder that goes with the script. Sourced once `binary`
# is set, and `name`, which faults are told under.
# shellcheck shell=bash

here=$(dirname "$(realpath "$0")")
work=$(mktemp -d)
started=()

finish() {
  if [ ${#started[@]} -gt 0 ]; then
    kill -KILL "${started[@]}" 2>/dev/null || true
    wait "${started[@]}" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap finish EXIT

fail() {
  echo "$name: $1" >&2
  for log in "$work"/*.log; do
    if [ -s "$log" ]; then echo "--- $(basename "$log")" >&2; tail -n 60 "$log" | cut -c1-2000 >&2; fi
  done
  exit 1
}

start_sidecar() {
  TRACE_PORT=0 TRACE_BIND=127.0.0.1 TRACE_DB_PATH="$work/trace.db" TRACE_METRICS_INTERVAL=off \
    "$binary" serve >"$work/sidecar.out.log" 2>"$work/sidecar.log" &
  sidecar=$!
  started+=("$sidecar")
  port=
  for _ in $(seq 100); do
    port=$(sed -n '/listening/s/.*addr=127\.0\.0\.1:\([0-9]\{1,\}\).*/\1/p' "$work/sidecar.log" | head -n 1)
    if [ -n "$port" ]; then return; fi
    kill -0 "$sidecar" 2>/dev/null || fail "the sidecar ended before it listened"
    sleep 0.1
  done
  fail "the sidecar did not listen within 10 s"
}

stop_sidecar() {
  kill -TERM "$sidecar"
  local code=0
  wait "$sidecar" || code=$?
  [ "$code" -eq 0 ] || fail "the sidecar ended with exit code $code after SIGTERM"
}
