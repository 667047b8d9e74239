# What the image promises, compared with the archive itself.
{
  binutils,
  image,
  jq,
  runCommand,
  static,
}:
runCommand "openclaw-trace-image-contract"
  {
    nativeBuildInputs = [
      binutils
      jq
    ];
  }
  ''
    bash ${./contract} ${image} ${static}/bin/openclaw-trace ${static.version} \
      ${../.cargo/config.toml} | tee $out
  ''
