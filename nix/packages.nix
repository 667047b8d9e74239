# Everything that `nix build` can make, for one system.
{ pkgs }:
let
  static = pkgs.pkgsStatic.callPackage ./package.nix { };
  mkImage = import ../images/image.nix { inherit (pkgs) dockerTools lib; };
in
rec {
  default = openclaw-trace;
  openclaw-trace = pkgs.callPackage ./package.nix { };

  # One file that needs nothing else on the machine; musl, by pkgsStatic.
  inherit static;

  # That file, /data and /tmp; nothing else.
  image = mkImage { openclaw-trace = static; };

  # The same as a program that writes the archive: nothing large stays in the store.
  image-stream = mkImage {
    openclaw-trace = static;
    build = pkgs.dockerTools.streamLayeredImage;
  };

  # With a shell and a user database, which `fly ssh console` needs.
  image-debug = mkImage {
    openclaw-trace = static;
    tagSuffix = "-debug";
    contents = [
      pkgs.busybox
      pkgs.dockerTools.fakeNss
    ];
  };
}
