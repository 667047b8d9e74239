{
  description = "Stand-in for the nixpkgs input: its attribute names, made of this machine's own tools";

  outputs =
    { self }:
    {
      lib = import ./lib.nix;
      legacyPackages = self.lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (
        system:
        import ./pkgs.nix {
          inherit (self) lib;
          inherit system;
          # Written by .ci/nix beside its copy of this directory: the vendored crates and the tools' versions.
          host = import ./host.nix;
        }
      );
    };
}
