# What all machines have: the sidecar as its module makes it, and the helpers of guest/.
{ pkgs, lib, ... }:
{
  services.openclaw-trace.enable = lib.mkDefault true;

  environment.systemPackages = [
    pkgs.python3
    pkgs.sqlite
  ];
  environment.etc = {
    "guest/counts".source = ./guest/counts.py;
    "guest/health".source = ./guest/health.py;
    "guest/load".source = ./guest/load.py;
    "guest/sink".source = ./guest/sink.py;
  };

  virtualisation.memorySize = 1024;
  virtualisation.cores = 1;
}
