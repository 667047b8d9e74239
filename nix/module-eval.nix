# What the module makes of its options: the whole unit (module-eval.json, which after a change of the module
# is `jq -S .` of what `nix build .#checks.x86_64-linux.module-eval.units` makes), what it refuses, and what
# the build refuses.
{
  lib,
  openclaw-trace,
  pkgs,
  runCommand,
  testers,
  writeText,
}:
let
  # With these settings, and what the machine's owner says of the unit itself.
  evaluatedWith =
    owner: settings:
    (lib.evalModules {
      modules = [
        ./nixos-options.nix
        ./module.nix
        {
          services.openclaw-trace = {
            enable = true;
          }
          // settings;
        }
        owner
      ];
      specialArgs = { inherit pkgs; };
    }).config;

  evaluated = evaluatedWith { };

  # A package without a hash in its path, so that a unit can be written down.
  named = {
    type = "derivation";
    name = "openclaw-trace";
    outPath = "/openclaw-trace";
    meta.mainProgram = "openclaw-trace";
  };
  unitWith =
    owner: settings:
    (evaluatedWith owner ({ package = named; } // settings)).systemd.services.openclaw-trace;
  unit = unitWith { };
  refusals =
    settings:
    map (assertion: assertion.message) (
      builtins.filter (assertion: !assertion.assertion)
        (evaluated ({ package = named; } // settings)).assertions
    );

  units = {
    alone = unit { };
    settings = unit {
      bind = [
        "127.0.0.1"
        "::1"
      ];
      port = 443;
      budgetDayUsd = "12.5";
      drainTimeout = "1m30s";
      metricsInterval = "off";
      openclawLog = "/tmp/openclaw/openclaw-YYYY-MM-DD.log";
      pushEndpoint = "https://example.org/a%20b";
      pushFormat = "otlp";
      pushGzip = "off";
      pushTables = [
        "llm_traces"
        "error_events"
      ];
      pushInsecure = "1";
      pushTokenFile = "/run/secrets/push";
      pushHeadersFile = "/run/secrets/push-headers";
      environmentFile = "/run/secrets/openclaw-trace";
    };
    # The first way of those that agentCommand's description gives, and the second.
    patient =
      unitWith
        {
          systemd.services.openclaw-trace.environment.OPENCLAW_STATE_DIR = "/var/lib/openclaw-trace/openclaw";
        }
        {
          agentCommand = [ "/bin/agent" ];
          agentGrace = "none";
        };
    owned =
      unitWith
        {
          systemd.services.openclaw-trace.serviceConfig = {
            DynamicUser = false;
            User = "openclaw";
          };
        }
        {
          agentCommand = [ "/bin/agent" ];
        };
    agent = unit {
      agentCommand = [
        "/run/current-system/sw/bin/openclaw"
        "gateway"
        "--note=100% of $HOME"
      ];
    };
  };

  inherit (builtins) storeDir;
  refusal = option: says: settings: {
    inherit option says;
    found = refusals settings;
  };
  refused = [
    (refusal "environmentFile" "everybody can read the Nix store" {
      environmentFile = "${storeDir}/secrets";
    })
    (refusal "tokenFile" "everybody can read the Nix store" { tokenFile = "${storeDir}/token"; })
    (refusal "pushTokenFile" "everybody can read the Nix store" { pushTokenFile = ./module.nix; })
    (refusal "pushHeadersFile" "everybody can read the Nix store" { pushHeadersFile = ./module.nix; })
    (refusal "dbPath" "the unit can write below /var/lib/openclaw-trace only" {
      dbPath = "/var/lib/other/trace.db";
    })
    (refusal "dbPath" "the unit can write below /var/lib/openclaw-trace only" { dbPath = null; })
    (refusal "drainTimeout" "the time that the unit has to stop" { drainTimeout = null; })
    (refusal "agentGrace" "the time that the unit has to stop" {
      agentCommand = [ "/bin/agent" ];
      agentGrace = null;
    })
  ];

  checkOf = settings: lib.head (evaluated ({ package = openclaw-trace; } // settings)).system.checks;
in
assert refusals { } == [ ];
runCommand "openclaw-trace-module-eval"
  {
    units = writeText "units.json" (builtins.toJSON units);
    refused = writeText "refused.json" (builtins.toJSON refused);
    good = checkOf { };
    # Refused, unless there is a token: from a file of its own, or from one that cannot be looked into.
    open = testers.testBuildFailure (checkOf {
      bind = [ "0.0.0.0" ];
    });
    openWithToken = checkOf {
      bind = [ "0.0.0.0" ];
      tokenFile = "/run/secrets/token";
    };
    openWithFile = checkOf {
      bind = [ "0.0.0.0" ];
      environmentFile = "/run/secrets/openclaw-trace";
    };
    linger = testers.testBuildFailure (checkOf {
      drainLinger = "20s";
    });
    clickhouse = checkOf {
      pushEndpoint = "https://example.org";
      pushFormat = "clickhouse";
      pushTables = [ "llm_traces" ];
    };
    # Rows and token can be read on the way, unless somebody says that this is meant.
    plainHttp = testers.testBuildFailure (checkOf {
      pushEndpoint = "http://10.0.0.1/in";
    });
    plainHttpMeant = checkOf {
      pushEndpoint = "http://10.0.0.1/in";
      pushInsecure = "1";
    };
    # A file that is there only when the unit runs.
    authority = checkOf { pushCaFile = "/etc/ssl/own.pem"; };
    noAuthority = testers.testBuildFailure (checkOf {
      pushCaFile = ./module.nix;
    });
    nativeBuildInputs = [ pkgs.jq ];
  }
  ''
    jq -S . $units > found.json
    diff -u ${./module-eval.json} found.json

    jq -e '
      map(select(.option as $option | .says as $says
                 | .found | length != 1 or (.[0] | startswith("services.openclaw-trace.\($option): ") and contains($says) | not)))
      | if . == [] then true else error("not refused as expected: \(tojson)") end
    ' $refused

    grep TRACE_PORT=9090 $good
    grep 'TRACE_BIND: 0.0.0.0 can be reached from other machines' $open/testBuildFailure.log
    test "$(cat $open/testBuildFailure.exit)" = 78
    grep TRACE_BIND=0.0.0.0 $openWithToken $openWithFile
    grep 'TRACE_DRAIN_LINGER: expected less than' $linger/testBuildFailure.log
    grep TRACE_PUSH_TABLES=llm_traces $clickhouse
    grep 'TRACE_PUSH_ENDPOINT: expected' $plainHttp/testBuildFailure.log
    grep TRACE_PUSH_INSECURE=1 $plainHttpMeant
    grep TRACE_PUSH_CA_FILE $authority
    grep 'TRACE_PUSH_CA_FILE: expected a PEM file' $noAuthority/testBuildFailure.log
    touch $out
  ''
