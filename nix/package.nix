# The program. Its tests are a check of their own (checks.nix), so that a changed test or page
# builds nothing anew, and nobody optimises across all crates twice.
{ lib, rustPlatform }:
let
  cargo = lib.importTOML ../Cargo.toml;
in
rustPlatform.buildRustPackage {
  pname = cargo.package.name;
  inherit (cargo.package) version;

  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      # The flags that SQLite is compiled with.
      ../.cargo/config.toml
      ../benches
      ../Cargo.lock
      ../Cargo.toml
      # Served at /openapi.json.
      ../docs/openapi.json
      ../src
    ];
  };

  cargoLock.lockFile = ../Cargo.lock;
  buildType = "dist";
  doCheck = false;
  strictDeps = true;

  meta = {
    inherit (cargo.package) description;
    homepage = cargo.package.repository;
    license = lib.licenses.mit;
    mainProgram = "openclaw-trace";
    platforms = lib.platforms.linux;
  };
}
