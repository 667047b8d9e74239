# The OCI image: an empty root with the static program, the directory it stores in, and /tmp.
#
# The program is copied to /openclaw-trace, not linked into a Nix store: the root then holds what it
# says, and an image built from this one finds it at a path that never changes.
#
# Not for callPackage, which would give `build` or `contents` whatever nixpkgs may come to call so.
{ dockerTools, lib }:
{
  openclaw-trace,
  build ? dockerTools.buildLayeredImage,
  contents ? [ ],
  tagSuffix ? "",
}:
let
  # The user of OpenClaw's own images: a volume that both use is written by one owner.
  user = "1000:1000";
in
build {
  name = "openclaw-trace";
  tag = openclaw-trace.version + tagSuffix;
  # Fixed, so that the same source is the same image.
  created = "1970-01-01T00:00:01Z";
  inherit contents;
  extraCommands = ''
    install -m 0555 ${lib.getExe openclaw-trace} openclaw-trace
    mkdir -m 0755 data
    mkdir -m 1777 tmp
  '';
  fakeRootCommands = ''
    chown ${user} data
  '';
  config = {
    Entrypoint = [ "/openclaw-trace" ];
    User = user;
    # Docker's default is the same; Fly.io's is SIGINT, which the program takes likewise.
    StopSignal = "SIGTERM";
    ExposedPorts."9090/tcp" = { };
    Volumes."/data" = { };
    Labels = {
      "org.opencontainers.image.title" = "openclaw-trace";
      "org.opencontainers.image.description" = openclaw-trace.meta.description;
      "org.opencontainers.image.version" = openclaw-trace.version;
      "org.opencontainers.image.source" = openclaw-trace.meta.homepage;
      "org.opencontainers.image.licenses" = openclaw-trace.meta.license.spdxId;
    };
  };
}
