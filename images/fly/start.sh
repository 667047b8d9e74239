#!/bin/sh
# Starts the sidecar and the agent, and stops them in order: the agent first, so that its last telemetry is stored.
#
#     start.sh COMMAND [ARGUMENT...]
#
# The second choice, for images whose main process has to be a script: `openclaw-trace run -- COMMAND` keeps the same
# order and also brings a dead sidecar back, bounds the agent's stopping and takes secrets out of its environment. As
# PID 1 or below tini, with dash, busybox or bash; not with `tini -g`, which signals both at once.
#
# With TRACE_TOKEN, set OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20<token> as well, or the agent's telemetry is
# answered 401: `run` does that by itself, this script does not.
set -u

agent=
asked=
interrupted=

# SIGINT becomes SIGTERM: a shell starts background commands with SIGINT ignored.
stop_agent() {
    asked=yes
    interrupted=yes
    [ -z "$agent" ] || kill -TERM "$agent" 2>/dev/null
}

stop_sidecar() {
    interrupted=yes
    kill -TERM "$sidecar" 2>/dev/null
}

# Waits until the sidecar is more than a copy of this shell, which loses a signal on its way to becoming the sidecar. One that
# cannot start stays a copy, so not for ever.
wait_for_sidecar() {
    tries=40
    read -r shell <"/proc/$$/comm"
    while [ "$tries" -gt 0 ] && read -r name <"/proc/$sidecar/comm" && [ "$name" = "$shell" ]; do
        tries=$((tries - 1))
        sleep 0.05
    done
}

# Waits for the end of a process, whatever signals come, and leaves its exit code in $code.
wait_out() {
    code=127
    while :; do
        interrupted=
        wait "$1" 2>/dev/null
        told=$?
        # A shell that has told the code before may not know the process any more, and says 127.
        [ "$told" -eq 127 ] || code=$told
        # A signal ends `wait` early, with a code that is not the process's. Whether it came is known from the trap, not
        # from the process: one that has ended may have been reaped already, and its number be somebody else's.
        [ -n "$interrupted" ] || break
    done
}

trap stop_agent TERM INT

# One that cannot start says why on stderr, and does not keep the agent from running.
openclaw-trace serve &
sidecar=$!

: "${OTEL_EXPORTER_OTLP_ENDPOINT:=http://127.0.0.1:${TRACE_PORT:-9090}}"
: "${OTEL_EXPORTER_OTLP_PROTOCOL:=http/protobuf}"
export OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_PROTOCOL
"$@" &
agent=$!
# The signal may have come before there was an agent to pass it to.
[ -z "$asked" ] || stop_agent

wait_out "$agent"
agent_code=$code

# From here on a signal is for the sidecar: a second one skips its last push.
trap stop_sidecar TERM INT
wait_for_sidecar 2>/dev/null
stop_sidecar
wait_out "$sidecar"
exit "$agent_code"
