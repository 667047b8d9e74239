# What `nix flake check` builds, for one system.
{ self, pkgs }:
let
  inherit (pkgs) lib;
  inherit (pkgs.stdenv.hostPlatform) system;
  packages = self.packages.${system};

  # Everything that the tests, the lints and the rules of the tree look at.
  source = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../.cargo
      ../.ci/deny
      ../Cargo.lock
      ../Cargo.toml
      ../LICENSE
      ../README.md
      ../clippy.toml
      ../deny.toml
      ../docs
      ../images
      ../nix
      ../rustfmt.toml
      ../src
      ../tests
    ];
  };

  # One command in the tree, with the crates at hand and no network.
  cargoCheck =
    name: command:
    pkgs.stdenv.mkDerivation {
      pname = "openclaw-trace-${name}";
      inherit (packages.default) version;
      src = source;
      cargoDeps = pkgs.rustPlatform.importCargoLock { lockFile = ../Cargo.lock; };
      nativeBuildInputs = [
        pkgs.cargo
        pkgs.clippy
        # Agents and clients of the tests.
        pkgs.curl
        pkgs.python3
        pkgs.rustPlatform.cargoSetupHook
        pkgs.rustc
        pkgs.rustfmt
      ];
      buildPhase = command;
      installPhase = "touch $out";
    };
in
{
  package = packages.default;
  # With the output of those that pass: a test that cannot run in the sandbox says so there.
  tests = cargoCheck "tests" "cargo test --frozen -- --show-output";
  clippy = cargoCheck "clippy" "cargo clippy --frozen --all-targets -- -D warnings";
  fmt = cargoCheck "fmt" "cargo fmt --check";
  deny = cargoCheck "deny" "python3 .ci/deny";
  module-eval = pkgs.callPackage ./module-eval.nix { openclaw-trace = packages.default; };
  image-contract = pkgs.callPackage ../images/contract.nix {
    inherit (packages) image static;
  };
}
// lib.optionalAttrs (system == "x86_64-linux" && builtins.pathExists ../nixos-tests/default.nix) (
  lib.mapAttrs' (name: lib.nameValuePair "vm-${name}") (import ../nixos-tests { inherit pkgs self; })
)
