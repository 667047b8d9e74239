# The part of nixpkgs' `dockerTools` that the flake uses.
{
  lib,
  mk,
  system,
}:
let
  architecture =
    {
      x86_64-linux = "amd64";
      aarch64-linux = "arm64";
    }
    .${system};
in
rec {
  # dockerTools.fakeNss
  fakeNss = mk "fake-nss" { } ''
    mkdir -p "$out/etc" "$out/var/empty"
    printf '%s\n' 'root:x:0:0:root user:/var/empty:/bin/sh' 'nobody:x:65534:65534:nobody:/var/empty:/bin/sh' > "$out/etc/passwd"
    printf '%s\n' 'root:x:0:' 'nobody:x:65534:' > "$out/etc/group"
    echo 'hosts: files dns' > "$out/etc/nsswitch.conf"
  '';

  # dockerTools.streamLayeredImage: a program that writes the archive to its standard output.
  streamLayeredImage =
    arguments:
    let
      image = buildLayeredImage arguments;
    in
    mk "stream-${image.imageName}" { inherit image; } ''
      printf '#!/bin/sh\nexec gzip -dc %s\n' "$image" > "$out"
      chmod +x "$out"
    ''
    // {
      inherit (image) imageName imageTag;
    };

  # dockerTools.buildLayeredImage: a layer for each of the contents, which here need no store path
  # besides, and one with links to them and with what the commands make.
  buildLayeredImage =
    {
      name,
      tag,
      created,
      config,
      contents ? [ ],
      extraCommands ? "",
      fakeRootCommands ? "",
    }:
    mk "${name}.tar.gz"
      {
        inherit contents extraCommands fakeRootCommands;
        config = builtins.toJSON config;
        # The sandbox knows one user and one group: there is nobody else to give a file to.
        FAKEROOTDONTTRYCHOWN = "1";
      }
      ''
        mkdir image root
        export pack="tar --sort=name --mtime=@315532800 --numeric-owner --hard-dereference -cf"
        add() {
            sum=$(sha256sum < "$1" | cut -d' ' -f1)
            mkdir -p "image/$sum"
            mv "$1" "image/$sum/layer.tar"
            echo "$sum" >> layers
        }
        : > layers
        for content in $contents; do
            $pack layer --owner=0 --group=0 --transform='s,^/,./,' -P "$content"
            add layer
            (cd "$content"; find . -mindepth 1 -type d) | (cd root; xargs -r mkdir -p)
            (cd "$content"; find . ! -type d) | while read -r file; do ln -s "$content/''${file#./}" "root/$file"; done
        done
        (cd root; eval "$extraCommands")
        (cd root; fakeroot bash -euc 'eval "$fakeRootCommands"; $pack ../layer .')
        add layer
        jq -n --argjson config "$config" --rawfile layers layers '
            ($layers | split("\n")[:-1] | map("sha256:" + .)) as $sums
            | {architecture: "${architecture}", os: "linux", created: "${created}", config: $config,
               rootfs: {type: "layers", diff_ids: $sums}, history: ($sums | map({created: "${created}"}))}' > config
        sum=$(sha256sum < config | cut -d' ' -f1)
        mv config "image/$sum.json"
        jq -n --arg config "$sum.json" --rawfile layers layers '
            [{Config: $config, RepoTags: ["${name}:${tag}"], Layers: ($layers | split("\n")[:-1] | map(. + "/layer.tar"))}]
          ' > image/manifest.json
        (cd image; $pack - --owner=0 --group=0 -- *) | gzip -9n > "$out"
      ''
    // {
      imageName = name;
      imageTag = tag;
    };
}
