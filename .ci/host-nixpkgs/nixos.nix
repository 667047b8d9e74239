# NixOS, as far as the scenarios in nixos-tests/ use it. `testers.runNixOSTest` runs nothing here: it
# makes what .ci/vm has a Debian guest become.
{ lib, pkgs }:
let
  inherit (lib) mkOption types;

  option = type: default: mkOption { inherit type default; };
  strings = option (types.listOf types.str) [ ];
  value = types.either (types.either types.bool types.int) types.str;
  values = option (types.attrsOf (types.either value (types.listOf value))) { };

  # systemd.services.<name> of NixOS: an option that is not here is an error, as a misspelt one there.
  service = {
    options = {
      description = option types.str "";
      after = strings;
      before = strings;
      requires = strings;
      wants = strings;
      wantedBy = strings;
      environment = option (types.attrsOf types.str) { };
      serviceConfig = values;
      startLimitIntervalSec = option (types.nullOr types.int) null;
    };
  };

  file.options = {
    source = option (types.nullOr types.path) null;
    text = option (types.nullOr types.str) null;
  };

  machine.options = {
    assertions = option (types.listOf types.anything) [ ];
    environment.etc = option (types.attrsOf (types.submodule file)) { };
    environment.systemPackages = option (types.listOf types.package) [ ];
    system.checks = option (types.listOf types.package) [ ];
    systemd.services = option (types.attrsOf (types.submodule service)) { };
    virtualisation.cores = option types.int 1;
    virtualisation.memorySize = option types.int 1024;
    virtualisation.podman.enable = option types.bool false;
  };

  # What the guest has of nixpkgs' packages, besides what every NixOS has (curl, nc, systemctl).
  installed = [
    "python3"
    "sqlite"
  ];

  # A section's lines, as nixos/lib/systemd-lib.nix writes them: sorted, and a list is a line for each
  # of its items.
  line =
    name: item: "${name}=${if builtins.isBool item then lib.boolToString item else toString item}\n";
  lines =
    name: item: lib.concatMapStrings (line name) (if builtins.isList item then item else [ item ]);
  section = set: lib.concatStringsSep "" (lib.mapAttrsToList lines set);
  words = name: list: lib.optionalAttrs (list != [ ]) { ${name} = lib.concatStringsSep " " list; };

  # The text of a unit, without what NixOS adds to each: PATH, LOCALE_ARCHIVE, TZDIR of its own store.
  unitText =
    unit:
    "[Unit]\n"
    + section (
      words "After" unit.after
      // words "Before" unit.before
      // words "Requires" unit.requires
      // words "Wants" unit.wants
      // lib.optionalAttrs (unit.description != "") { Description = unit.description; }
      // lib.optionalAttrs (unit.startLimitIntervalSec != null) {
        StartLimitIntervalSec = unit.startLimitIntervalSec;
      }
    )
    + "\n[Service]\n"
    + lib.concatStringsSep "" (
      lib.mapAttrsToList (
        name: text: line "Environment" (builtins.toJSON "${name}=${text}")
      ) unit.environment
    )
    + section unit.serviceConfig;

  # /etc of the machine: file name -> what it is a link to.
  etcOf =
    config:
    let
      sourceOf =
        name: file:
        if file.text != null then pkgs.writeText (baseNameOf name) file.text else "${file.source}";
      # A file of the unit's own name: a link to one of another name would be an alias of that.
      unitFile =
        name: unit:
        "${
          pkgs.runCommand "unit-${name}" { text = unitText unit; } ''
            mkdir "$out"
            printf %s "$text" > "$out/${name}"
          ''
        }/${name}";
      unitFiles =
        name: unit:
        [
          (lib.nameValuePair "systemd/system/${name}.service" (unitFile "${name}.service" unit))
        ]
        ++ map (
          target: lib.nameValuePair "systemd/system/${target}.wants/${name}.service" "../${name}.service"
        ) unit.wantedBy;
    in
    lib.mapAttrs sourceOf config.environment.etc
    // builtins.listToAttrs (lib.concatLists (lib.mapAttrsToList unitFiles config.systemd.services));

  # What a NixOS would refuse to be built with, and packages that the guest does not have.
  checked =
    config:
    let
      broken = lib.filter (assertion: !assertion.assertion) config.assertions;
      missing = lib.filter (
        package: !builtins.elem package.name installed
      ) config.environment.systemPackages;
    in
    if broken != [ ] then
      throw "failed assertions: ${lib.concatMapStringsSep "; " (assertion: assertion.message) broken}"
    else if missing != [ ] then
      throw "the Debian guest has no ${lib.concatMapStringsSep ", " (package: package.name) missing}"
    else
      config;
in
{
  # testers.runNixOSTest with one machine that is called `machine`: a directory with test.json, script.py
  # and etc/.
  runNixOSTest =
    {
      name,
      nodes,
      testScript,
      globalTimeout,
      node ? { },
    }:
    assert builtins.attrNames nodes == [ "machine" ];
    assert lib.filter (attribute: attribute != "specialArgs") (builtins.attrNames node) == [ ];
    let
      config =
        checked
          (lib.evalModules {
            modules = [
              machine
              nodes.machine
            ];
            specialArgs = {
              inherit pkgs;
            }
            // node.specialArgs or { };
          }).config;
      etc = etcOf config;
    in
    pkgs.runCommand "vm-test-run-${name}"
      {
        test = builtins.toJSON {
          inherit name globalTimeout;
          inherit (config.virtualisation) cores memorySize;
        };
        inherit testScript;
        inherit (config.system) checks;
      }
      (
        ''
          mkdir "$out"
          printf %s "$test" > "$out/test.json"
          printf %s "$testScript" > "$out/script.py"
          link() { mkdir -p "$(dirname "$out/etc/$1")" && ln -s "$2" "$out/etc/$1"; }
        ''
        + lib.concatMapStrings (
          target:
          "link ${
            lib.escapeShellArgs [
              target
              etc.${target}
            ]
          }\n"
        ) (builtins.attrNames etc)
      );
}
