# services.openclaw-trace: the sidecar as a unit of its own, or with `agentCommand` as the parent of
# the agent.
#
# Everything in `serviceConfig` that is a matter of taste is set with mkDefault:
# `systemd.services.openclaw-trace.serviceConfig.MemoryMax = "128M";` overrides it.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.openclaw-trace;
  variables = import ./variables.nix { inherit lib; };
  stateDirectory = "/var/lib/openclaw-trace";

  optionOf =
    {
      name,
      option,
      type,
      default,
      meaning,
      secret,
      ...
    }:
    mkOption {
      type = types.nullOr type;
      default = null;
      description =
        if secret then
          "File with the ${meaning} (`${name}`). systemd reads it, so it may be root's alone, and gives the unit a copy: with `agentCommand` the agent, which runs as the same user, can read that as well."
        else
          "`${name}`: ${meaning}. ${
            moduleDefaults.${option} or "With `null` the program's own default holds: ${default}."
          }";
    };

  # Those whose default here is the module's, as the unit is made from them.
  moduleDefaults = {
    dbPath = "Here `${databaseDefault}`; it must be below `${stateDirectory}`, and cannot be `null`.";
    drainTimeout = "Here `${drainDefault}`; it cannot be `null`, as the time that the unit has to stop is made from it.";
    agentGrace = "With `agentCommand` it is `${graceDefault}` here, and cannot be `null`, as the time that the unit has to stop is made from it; without, nothing reads it.";
  };
  databaseDefault = "${stateDirectory}/openclaw-trace.db";
  # The program's own.
  drainDefault = "10s";
  # The program's own is none: an agent that never stops would hold up the machine when it goes down.
  graceDefault = "1m";

  inStore = path: lib.hasPrefix "${builtins.storeDir}/" (toString path);

  # As the program reads it. A path of Nix becomes one in the store, where the unit finds it.
  shown =
    value:
    if builtins.isList value then
      lib.concatStringsSep "," value
    else if builtins.isInt value then
      toString value
    else
      "${value}";

  isSet = variable: cfg.${variable.option} != null;
  plain = builtins.filter (variable: !variable.secret && isSet variable) variables;
  secrets = builtins.filter (variable: variable.secret && isSet variable) variables;
  valuesOf =
    list:
    builtins.listToAttrs (
      map (variable: {
        inherit (variable) name;
        value = shown cfg.${variable.option};
      }) list
    );

  # In a unit a percent sign begins a specifier, as in the %d of the credentials below; in an endpoint
  # it is itself.
  escaped = builtins.replaceStrings [ "%" ] [ "%%" ];
  # In ExecStart a dollar sign begins a variable as well.
  argument = text: builtins.replaceStrings [ "%" "$" ] [ "%%" "$$" ] (builtins.toJSON text);

  # What `openclaw-trace check` says of the options, while the system is built. It cannot see files that
  # are there only when the unit runs: a secret is taken to be set, a file of authorities or of prices
  # to be good.
  checked = builtins.filter (
    variable:
    !(builtins.elem variable.name [
      "TRACE_PUSH_CA_FILE"
      "TRACE_PRICES_FILE"
    ])
    || !(lib.hasPrefix "/" (toString cfg.${variable.option}))
    || inStore cfg.${variable.option}
  ) plain;
  check = pkgs.runCommand "openclaw-trace-check" (
    valuesOf checked
    // lib.optionalAttrs (cfg.tokenFile != null || cfg.environmentFile != null) {
      TRACE_TOKEN = "known-when-the-unit-runs";
    }
  ) "${lib.getExe cfg.package} check > $out";

  # For the sidecar alone. An agent is a program that nobody here knows: this would break it, and what DynamicUser
  # implies can already.
  confinement = {
    # Three threads at 5 MB, below 32 MB under attack; the rest is room for the file's pages.
    MemoryMax = "64M";
    TasksMax = 32;
    AmbientCapabilities = lib.optional privilegedPort "CAP_NET_BIND_SERVICE";
    CapabilityBoundingSet = if privilegedPort then [ "CAP_NET_BIND_SERVICE" ] else [ "" ];
    LockPersonality = true;
    MemoryDenyWriteExecute = true;
    NoNewPrivileges = true;
    PrivateDevices = true;
    # The samples are of the machine and of all its processes: /proc must show them.
    ProcSubset = "all";
    ProtectProc = "default";
    ProtectClock = true;
    ProtectControlGroups = true;
    ProtectHome = true;
    ProtectHostname = true;
    ProtectKernelLogs = true;
    ProtectKernelModules = true;
    ProtectKernelTunables = true;
    ProtectSystem = "strict";
    # AF_UNIX is how it tells systemd that it is ready.
    RestrictAddressFamilies = [
      "AF_INET"
      "AF_INET6"
      "AF_UNIX"
    ];
    RestrictNamespaces = true;
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    SystemCallArchitectures = "native";
    SystemCallErrorNumber = "EPERM";
    SystemCallFilter = [
      "@system-service"
      "~@privileged @resources"
    ];
    UMask = "0077";
    # Not confinement, but as little for an agent: a bad configuration does not get better by itself.
    RestartPreventExitStatus = 78;
  };
  # What stopping may take beyond drainTimeout and agentGrace. `serve` keeps to its drain: the rest is for a
  # loaded machine to end a process. `run` takes 5 s at most to have the agent's end stored and 2 s past the
  # drain until `serve` is gone, 7 s together; killed before that, it would lose what it is about to store.
  stoppingAdds = {
    serve = "5s";
    run = "10s";
  };
  privilegedPort = lib.any (port: lib.isInt port && port > 0 && port < 1024) [
    cfg.port
    cfg.otlpPort
  ];
in
{
  options.services.openclaw-trace = {
    enable = lib.mkEnableOption "the telemetry sidecar for an LLM agent";
    package = mkOption {
      type = types.package;
      description = "The package that has the program.";
    };
    agentCommand = mkOption {
      type = types.nullOr (types.listOf types.str);
      default = null;
      example = [
        "/run/current-system/sw/bin/openclaw"
        "gateway"
      ];
      description = ''
        Program and arguments of the agent. With it the unit's main process is
        `openclaw-trace run -- …`, which starts the sidecar and the agent, and on stopping stores the
        agent's last flush before it exits with the agent's exit code.

        The agent is then confined by what systemd's `DynamicUser` brings along, and by nothing else: it is
        a user that comes and goes with the unit, its home is `/`, it gains no privileges, and it can write
        to `${stateDirectory}` and to a `/tmp` and `/var/tmp` of its own, but not to `~/.openclaw`. So
        either tell it to keep its state where it can,

            systemd.services.openclaw-trace.environment.OPENCLAW_STATE_DIR = "${stateDirectory}/openclaw";

        or have the unit run as a user of yours, and the agent may do all that this user may:

            systemd.services.openclaw-trace.serviceConfig = { DynamicUser = false; User = "openclaw"; };
      '';
    };
    environmentFile = mkOption {
      type = types.nullOr types.path;
      default = null;
      description = ''
        File of further variables, one `NAME=value` a line, that systemd reads when the unit starts: for
        secrets, where files of their own (`tokenFile`, `pushTokenFile`, `pushHeadersFile`) do not fit. What it sets is not
        checked when the system is built. Leave `TRACE_DRAIN_TIMEOUT` and `TRACE_AGENT_GRACE` out of it: it
        overrides the options, but the time that the unit has to stop is made from those.
      '';
    };
  }
  // builtins.listToAttrs (
    map (variable: {
      name = variable.option;
      value = optionOf variable;
    }) variables
  );

  config = lib.mkIf cfg.enable {
    assertions =
      map
        (option: {
          assertion = cfg.${option} == null || !inStore cfg.${option};
          message = "services.openclaw-trace.${option}: everybody can read the Nix store; give a path outside of it, as a string";
        })
        [
          "environmentFile"
          "pushHeadersFile"
          "pushTokenFile"
          "tokenFile"
        ]
      ++ [
        {
          assertion = cfg.dbPath != null && lib.hasPrefix "${stateDirectory}/" cfg.dbPath;
          message = "services.openclaw-trace.dbPath: the unit can write below ${stateDirectory} only";
        }
        {
          assertion = cfg.drainTimeout != null;
          message = "services.openclaw-trace.drainTimeout: the time that the unit has to stop is made from it";
        }
        {
          assertion = cfg.agentCommand == null || cfg.agentGrace != null;
          message = "services.openclaw-trace.agentGrace: the time that the unit has to stop is made from it";
        }
      ];

    services.openclaw-trace = {
      dbPath = lib.mkDefault databaseDefault;
      drainTimeout = lib.mkDefault drainDefault;
      agentGrace = lib.mkIf (cfg.agentCommand != null) (lib.mkDefault graceDefault);
    };

    # A machine of another architecture cannot be asked here.
    system.checks = lib.optional (pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform) check;

    systemd.services.openclaw-trace = {
      description = "Telemetry for an LLM agent";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      # A sidecar that gives up loses events; one that waits for a port to come free does not.
      startLimitIntervalSec = 0;
      environment =
        builtins.mapAttrs (_: escaped) (valuesOf plain)
        // builtins.listToAttrs (
          map (variable: {
            name = "${variable.name}_FILE";
            value = "%d/${variable.name}";
          }) secrets
        );
      serviceConfig = {
        Type = "notify";
        ExecStart =
          if cfg.agentCommand == null then
            "${lib.getExe cfg.package} serve"
          else
            "${lib.getExe cfg.package} run -- ${lib.concatMapStringsSep " " argument cfg.agentCommand}";
        EnvironmentFile = lib.optional (cfg.environmentFile != null) cfg.environmentFile;
        LoadCredential = map (variable: "${variable.name}:${toString cfg.${variable.option}}") secrets;
        StateDirectory = "openclaw-trace";
        StateDirectoryMode = "0700";
        # Under `run` the agent must not get the signal from systemd and from its parent.
        KillMode = "mixed";
        # systemd adds up what stands in one line.
        TimeoutStopSec =
          if cfg.agentCommand == null then
            "${cfg.drainTimeout} ${stoppingAdds.serve}"
          else if cfg.agentGrace == "none" then
            "infinity"
          else
            "${cfg.agentGrace} ${cfg.drainTimeout} ${stoppingAdds.run}";
        Restart = "on-failure";
        RestartSec = lib.mkDefault "1s";
        DynamicUser = lib.mkDefault true;
      }
      // lib.optionalAttrs (cfg.agentCommand == null) (builtins.mapAttrs (_: lib.mkDefault) confinement);
    };
  };
}
