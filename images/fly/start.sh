#!/bin/sh
# Starts the sidecar and the agent, and stops them in order: the agent first, so that its last telemetry is stored.
#
#     start.sh COMMAND [ARGUMENT...]
#
# The second choice, for images whose main process has to be a script: `openclaw-trace run -- COMMAND` keeps the same
# order and also brings a dead sidecar back, bounds the agent's stopping and takes secrets out of its environment. As
# PID 1 or below tini, with dash, busybox or bash; not with `tini -g`, which signals both at once.
set -u

agent=
asked=

# SIGINT becomes SIGTERM: a shell starts background commands with SIGINT ignored.
stop_agent() {
    asked=yes
    [ -z "$agent" ] || kill -TERM "$agent" 2>/dev/null
}

stop_sidecar() {
    kill -TERM "$sidecar" 2>/dev/null
}

# Waits for the end of a process, whatever signals come, and leaves its exit code in $code.
wait_out() {
    while :; do
        wait "$1"
        code=$?
        # A signal ends `wait` early, with a code that is not the process's. What still can be signalled has not
        # been waited for.
        kill -0 "$1" 2>/dev/null || break
    done
    # One that ends at once may have been reaped within the interrupted `wait`: then the shell remembers its code.
    # One whose code was told already is unknown to it.
    wait "$1" 2>/dev/null
    remembered=$?
    [ "$remembered" -eq 127 ] || code=$remembered
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
stop_sidecar
wait_out "$sidecar"
exit "$agent_code"
