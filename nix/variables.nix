# The variables of the program as options of the module: in the order of its own table, which `--help`
# prints, with the same defaults and meanings. A test compares the two.
{ lib }:
let
  inherit (lib) types;
  # What the program takes; how long it may be, the check at build time says.
  duration = types.strMatching "([0-9]+(ms|s|m|h|d))+";
  word = words: types.enum (lib.splitString " " words);
  # A text, as a float of Nix may be another number.
  dollars = types.strMatching "[0-9]+(\\.[0-9]+)?";
  size = types.strMatching "[0-9]+ *(kB|KiB|MB|MiB)?";
  variable = name: option: type: default: meaning: {
    inherit
      name
      option
      type
      default
      meaning
      ;
    secret = false;
  };
  # The option names a file, of which the unit is given a copy.
  secret =
    name: option: default: meaning:
    variable name option types.path default meaning // { secret = true; };
in
[
  (variable "TRACE_PORT" "port" types.port "9090"
    "port of the listener; 0 takes any free one, and the log says which"
  )
  (variable "TRACE_BIND" "bind" (types.listOf types.str) "127.0.0.1"
    "addresses of the listener, separated by commas; anything but loopback needs TRACE_TOKEN"
  )
  (variable "TRACE_DB_PATH" "dbPath" types.path
    "/data/openclaw-trace.db if /data is a directory, else under $XDG_STATE_HOME or ~/.local/state"
    "the database file"
  )
  (variable "TRACE_PUSH_ENDPOINT" "pushEndpoint" types.str "none"
    "where rows are pushed: an https URL, or http on this machine; without it nothing leaves the machine"
  )
  (secret "TRACE_PUSH_TOKEN" "pushTokenFile" "none" "bearer token for the endpoint")
  (variable "TRACE_PUSH_INTERVAL" "pushInterval" duration "5m" "time between two pushes")
  (variable "TRACE_METRICS_INTERVAL" "metricsInterval" (types.either (word "off") duration) "15s"
    "time between two samples of the container, or off"
  )
  (variable "TRACE_RETENTION" "retention" duration "7d"
    "how long rows are kept once the remote has them (without an endpoint: once stored)"
  )
  (variable "TRACE_DB_MAX_MB" "dbMaxMb" (types.ints.between 2 1048576) "50"
    "size of the database file at which the oldest rows are removed, in MB of 2^20 bytes"
  )
  (variable "TRACE_DISK_MAX_PERCENT" "diskMaxPercent" (types.ints.between 1 100) "80"
    "how full the volume may be before rows older than 24 h that the remote has are removed"
  )
  (secret "TRACE_TOKEN" "tokenFile" "none" "bearer token that every route but /health asks for")
  (variable "TRACE_LOG" "log" (word "error warn info debug") "info" "error, warn, info or debug")
  (variable "TRACE_ACK" "ack" (word "stored queued") "stored"
    "when a request is acknowledged: stored (after the commit) or queued (before it)"
  )
  (variable "TRACE_SYNC" "sync" (word "full normal") "full"
    "what a commit survives: full (loss of the machine) or normal (loss of the process)"
  )
  (variable "TRACE_CAPTURE_TEXT" "captureText" (word "native all off") "native"
    "whose prompts and completions are kept: native (posted on purpose), all (also what OTel clients attach) or off"
  )
  (variable "TRACE_MAX_TEXT_BYTES" "maxTextBytes" (types.ints.between 0 1048576) "4096"
    "where a text is cut"
  )
  (variable "TRACE_PUSH_CA_FILE" "pushCaFile" types.path "none"
    "PEM file of the certificate authorities to trust instead of the compiled-in ones"
  )
  (variable "TRACE_PUSH_MAX_BYTES" "pushMaxBytes" size "5MB" "size of one push, before it is compressed")
  (variable "TRACE_PUSH_FORMAT" "pushFormat" (word "json otlp clickhouse") "json"
    "what the endpoint takes: json (the contract in docs/wire.md), otlp (OTLP/HTTP) or clickhouse"
  )
  (variable "TRACE_PUSH_GZIP" "pushGzip" (word "on off") "off, with otlp on"
    "whether pushes are compressed: on or off"
  )
  (variable "TRACE_PUSH_TABLES" "pushTables" (types.listOf (
    word "llm_traces error_events custom_events system_metrics"
  )) "llm_traces,error_events,custom_events,system_metrics"
    "which tables are pushed, separated by commas; the rows of others count as if the remote had them"
  )
  (secret "TRACE_PUSH_HEADERS" "pushHeadersFile" "none"
    "further headers of a push: name=value, separated by commas, percent-encoded"
  )
  (variable "TRACE_PUSH_INSECURE" "pushInsecure" (word "0 1") "0"
    "1 takes plain http to a private address too: rows and token can be read on that network"
  )
  (variable "TRACE_PRICES_FILE" "pricesFile" types.str "embedded"
    "what calls cost that come without a cost: embedded (the table that is compiled in), a file of prices before it or in its place, or off"
  )
  (variable "TRACE_BUDGET_DAY_USD" "budgetDayUsd" (types.either (word "none") dollars) "none"
    "dollars that the calls of a day (UTC) may cost; told when they cost more, and nothing is refused"
  )
  (variable "TRACE_METRICS_RETENTION" "metricsRetention" duration "48h"
    "as TRACE_RETENTION, for samples of the container"
  )
  (variable "TRACE_ON_FULL" "onFull" (word "refuse drop-oldest") "refuse"
    "when only rows are left that the remote does not have: refuse new ones, or drop-oldest"
  )
  (variable "TRACE_DRAIN_TIMEOUT" "drainTimeout" duration "10s" "how long stopping may take")
  (variable "TRACE_DRAIN_LINGER" "drainLinger" duration "0s"
    "how long requests are still taken after the signal to stop"
  )
  (variable "TRACE_AGENT_GRACE" "agentGrace" (types.either (word "none") duration) "none"
    "under run: how long the agent may take to stop before it is killed; none: as long as it likes"
  )
  (variable "TRACE_AGENT_PROCESS" "agentProcess" types.str "none"
    "whose process and cgroup are the agent's: a process id or a name; none: the child of run, else nobody's"
  )
  (variable "TRACE_OTLP_PORT" "otlpPort" (types.either (word "off") types.port) "off"
    "second port, for OTLP alone: 4318 is where exporters send to that are not told where; 0 takes any free one"
  )
  (variable "TRACE_METRICS_BIND" "metricsBind" (types.either (word "off") (types.listOf types.str)) "off"
    "addresses with their ports, separated by commas, for /metrics and /health alone, without a token: [::]:9091 for Fly.io's scraper; or off"
  )
  (variable "TRACE_ALLOWED_HOSTS" "allowedHosts" (types.listOf types.str) "none"
    "names, separated by commas, that a Host header may have besides localhost and IP addresses"
  )
  (variable "TRACE_OPENCLAW_LOG" "openclawLog" (types.either (word "off") types.path) "off"
    "log of OpenClaw's gateway to follow: its directory, or a file with YYYY-MM-DD where the date stands; or off"
  )
  (variable "TRACE_LOG_FORMAT" "logFormat" (word "logfmt json") "logfmt" "logfmt or json")
]
