# What `nix flake check` builds, for one system.
{ self, pkgs }:
let
  inherit (pkgs) lib;
  inherit (pkgs.stdenv.hostPlatform) system;
  packages = self.packages.${system};

  sourceOf =
    files:
    lib.fileset.toSource {
      root = ../.;
      fileset = lib.fileset.unions files;
    };
  # Among the tests are those that the docs, the scripts and the module say what the code does.
  tree = sourceOf [ ../. ];
  code = sourceOf [
    ../.cargo
    ../.ci/deny
    ../benches
    ../Cargo.lock
    ../Cargo.toml
    ../clippy.toml
    ../deny.toml
    ../docs/openapi.json
    ../rustfmt.toml
    ../src
    ../tests
  ];

  # One command in these files, with the crates at hand and no network.
  cargoCheck =
    name: src: command:
    pkgs.stdenv.mkDerivation {
      pname = "openclaw-trace-${name}";
      inherit (packages.default) version;
      inherit src;
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
  tests = cargoCheck "tests" tree "cargo test --frozen -- --show-output";
  clippy = cargoCheck "clippy" code "cargo clippy --frozen --all-targets -- -D warnings";
  fmt = cargoCheck "fmt" code "cargo fmt --check";
  deny = cargoCheck "deny" code "python3 .ci/deny";
  module-eval = pkgs.callPackage ./module-eval.nix { openclaw-trace = packages.default; };
  image-contract = pkgs.callPackage ../images/contract.nix {
    inherit (packages) image static;
  };
}
// lib.optionalAttrs (system == "x86_64-linux" && builtins.pathExists ../nixos-tests/default.nix) (
  lib.mapAttrs' (name: lib.nameValuePair "vm-${name}") (import ../nixos-tests { inherit pkgs self; })
)
