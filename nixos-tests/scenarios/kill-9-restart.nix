{
  services.openclaw-trace.metricsInterval = "1s";
}
