# The options of NixOS that the module sets, without NixOS: enough to look at the unit that it makes.
{ lib, ... }:
{
  options = {
    assertions = lib.mkOption {
      type = lib.types.listOf lib.types.anything;
      default = [ ];
    };
    system.checks = lib.mkOption {
      type = lib.types.listOf lib.types.package;
      default = [ ];
    };
    systemd.services = lib.mkOption {
      type = lib.types.attrsOf lib.types.anything;
      default = { };
    };
  };
}
