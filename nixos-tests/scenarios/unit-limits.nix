# A tenth of a core is less than the load asks for, so the quota takes effect.
{
  services.openclaw-trace.metricsInterval = "1s";
  systemd.services.openclaw-trace.serviceConfig = {
    CPUQuota = "10%";
    MemoryMax = "48M";
  };
}
