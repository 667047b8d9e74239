# The flake's image under podman, and no unit.
{ pkgs, self, ... }:
{
  services.openclaw-trace.enable = false;
  virtualisation.podman.enable = true;
  environment.etc."guest/image".source = self.packages.${pkgs.stdenv.hostPlatform.system}.image;
}
