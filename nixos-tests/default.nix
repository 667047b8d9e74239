# The scenarios as tests, one behaviour each: scenarios/NAME.nix says what the machine is, NAME.py what
# happens on it.
{ pkgs, self }:
let
  inherit (pkgs) lib;

  scenario =
    name:
    pkgs.testers.runNixOSTest {
      inherit name;
      # Emulated and on a loaded machine; under KVM each takes seconds.
      globalTimeout = 10 * 60;
      node.specialArgs = { inherit self; };
      nodes.machine.imports = [
        self.nixosModules.default
        ./machine.nix
        (./scenarios + "/${name}.nix")
      ];
      testScript = builtins.readFile (./scenarios + "/${name}.py");
    };

  files = builtins.attrNames (builtins.readDir ./scenarios);
in
lib.genAttrs (map (lib.removeSuffix ".nix") (builtins.filter (lib.hasSuffix ".nix") files)) scenario
