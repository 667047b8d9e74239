# The part of nixpkgs' package set that the flake uses, made of this machine's own tools. Each function
# is named as the one it stands for and takes the arguments that the flake gives it and no others.
{
  lib,
  system,
  host,
  static ? false,
}:
let
  # Every derivation: one bash script in the sandbox, where /usr and /rust are the machine's, read-only.
  # `tools` are the versions of those, so that new ones build anew.
  mk =
    name: environment: script:
    derivation (
      {
        inherit name system script;
        inherit (host) tools;
        builder = "/bin/bash";
        args = [
          "-euo"
          "pipefail"
          "-c"
          ''umask 022; cd "$NIX_BUILD_TOP"; eval "$script"''
        ];
        PATH = "/rust/bin:/usr/bin:/bin";
        HOME = "/build/home";
        TZ = "UTC0";
        LC_ALL = "C.UTF-8";
        # What nixpkgs' stdenv sets: the first of January 1980.
        SOURCE_DATE_EPOCH = "315532800";
      }
      // environment
    )
    // {
      # What testers.testBuildFailure builds in its place.
      failing = mk "${name}-failing" (environment // { failing = script; }) ''
        code=0
        bash -euo pipefail -c "$failing" > log 2>&1 || code=$?
        cat log
        [ "$code" -ne 0 ] || { echo "testBuildFailure: ${name} was expected to fail"; exit 1; }
        rm -rf "$out"
        mkdir "$out"
        mv log "$out/testBuildFailure.log"
        echo "$code" > "$out/testBuildFailure.exit"
      '';
    };

  # What a tool is here: a name, because the sandbox has the machine's whole /usr.
  tool = name: mk name { } ''mkdir "$out"'';

  # A tool that runCommand is given, and finds nowhere else: links to the machine's programs.
  programs =
    name: names:
    mk name { } ''
      mkdir -p "$out/bin"
      for program in ${toString names}; do ln -s "$(command -v "$program")" "$out/bin/$program"; done
    '';

  # Of what nixpkgs' stdenvNoCC has (its coreutils, diffutils, gawk, gnugrep, gnutar, gzip, bash) the programs
  # that the flake's scripts use. It has no compiler, and none of what belongs to one.
  stdenvNoCC = programs "stdenv-no-cc" [
    "awk"
    "basename"
    "bash"
    "cat"
    "cut"
    "diff"
    "dirname"
    "grep"
    "gzip"
    "ln"
    "mkdir"
    "mktemp"
    "mv"
    "rm"
    "sha256sum"
    "stat"
    "tar"
    "tee"
    "touch"
  ];

  pkgs = {
    inherit lib pkgs;
    callPackage = lib.callPackageWith pkgs;
    pkgsStatic = import ./pkgs.nix {
      inherit lib system host;
      static = true;
    };

    binutils = programs "binutils" [ "readelf" ];
    cargo = tool "cargo";
    clippy = tool "clippy";
    curl = tool "curl";
    jq = programs "jq" [ "jq" ];
    nixfmt-tree = tool "nixfmt-tree";
    python3 = tool "python3";
    rust-analyzer = tool "rust-analyzer";
    rustc = tool "rustc";
    rustfmt = tool "rustfmt";
    sqlite = tool "sqlite";
    busybox = mk "busybox" { } ''
      install -Dm755 /usr/bin/busybox "$out/bin/busybox"
      ln -s busybox "$out/bin/sh"
    '';

    # trivial-builders' runCommand; of its attributes it takes any, as they are the script's environment.
    # Its script has the tools that it is given and those of stdenvNoCC, and not the machine's.
    runCommand =
      name: environment: script:
      mk name (
        removeAttrs environment [ "nativeBuildInputs" ]
        // {
          PATH = lib.concatMapStringsSep ":" (input: "${input}/bin") (
            [ stdenvNoCC ] ++ environment.nativeBuildInputs or [ ]
          );
        }
      ) script;
    # trivial-builders' writeText
    writeText = name: text: mk name { inherit text; } ''printf %s "$text" > "$out"'';
    # trivial-builders' mkShell
    mkShell =
      {
        inputsFrom ? [ ],
        packages ? [ ],
      }:
      mk "shell" { inputs = inputsFrom ++ packages; } ''mkdir "$out"'';

    stdenv = {
      hostPlatform = {
        inherit system;
        isStatic = static;
      };
      buildPlatform = {
        inherit system;
        canExecute = platform: platform.system == system;
      };
      # stdenv.mkDerivation. Where rustPlatform.cargoSetupHook is among the inputs it links the crates
      # beside the source, so that no path into the store gets into a binary.
      mkDerivation =
        {
          pname,
          version,
          src,
          buildPhase,
          installPhase,
          cargoDeps ? null,
          env ? { },
          meta ? { },
          nativeBuildInputs ? [ ],
          strictDeps ? false,
        }:
        mk "${pname}-${version}"
          (
            {
              inherit src buildPhase installPhase;
              cargoDeps =
                if builtins.elem pkgs.rustPlatform.cargoSetupHook nativeBuildInputs then cargoDeps else "";
            }
            // env
          )
          ''
            cp -r "$src" source
            chmod -R u+w source
            cd source
            if [ -n "$cargoDeps" ]; then
                ln -s "$cargoDeps" ../vendor
                mkdir -p .cargo
                printf '%s\n' >> .cargo/config.toml '[source.crates-io]' 'replace-with = "vendor"' \
                    '[source.vendor]' 'directory = "../vendor"' '[net]' 'offline = true'
            fi
            eval "$buildPhase"
            eval "$installPhase"
          ''
        // {
          inherit pname version meta;
        };
    };

    rustPlatform = {
      cargoSetupHook = tool "cargo-setup-hook";

      # rustPlatform.importCargoLock: here the crates that .ci/nix has vendored. cargo compares them with
      # the checksums of the lock file that is built.
      importCargoLock =
        { lockFile }:
        assert builtins.pathExists lockFile;
        builtins.appendContext host.vendor { ${host.vendor}.path = true; };

      # rustPlatform.buildRustPackage
      buildRustPackage =
        {
          pname,
          version,
          src,
          cargoLock,
          meta,
          buildType ? "release",
          doCheck ? true,
          strictDeps ? false,
        }:
        # The tests are a derivation of their own.
        assert !doCheck;
        let
          inherit (meta) mainProgram;
          # For another target than the host, even one of the same name, flags do not reach build scripts.
          target = lib.optionalString static (
            builtins.replaceStrings [ "-linux" ] [ "-unknown-linux-gnu" ] system
          );
        in
        pkgs.stdenv.mkDerivation {
          inherit
            pname
            version
            src
            meta
            strictDeps
            ;
          cargoDeps = pkgs.rustPlatform.importCargoLock cargoLock;
          nativeBuildInputs = [ pkgs.rustPlatform.cargoSetupHook ];
          env.RUSTFLAGS = lib.optionalString static "-C target-feature=+crt-static";
          buildPhase = ''
            cargo build --frozen --profile ${buildType} ${lib.optionalString static "--target ${target}"}
          '';
          installPhase = ''
            install -Dm755 "target/${target}/${buildType}/${mainProgram}" "$out/bin/${mainProgram}"
          '';
        };
    };

    dockerTools = import ./docker.nix { inherit lib mk system; };

    testers = {
      # testers.testBuildFailure
      testBuildFailure = derivation: derivation.failing;
    }
    // import ./nixos.nix { inherit lib pkgs; };
  };
in
pkgs
