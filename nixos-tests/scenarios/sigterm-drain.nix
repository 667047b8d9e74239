# Acknowledged before it is stored: what the drain does not store is lost.
{
  services.openclaw-trace.ack = "queued";
}
