# The agent is a unit of its own, which the script starts, and the sidecar knows its name.
{
  services.openclaw-trace = {
    agentProcess = "busy-agent";
    metricsInterval = "1s";
  };
  environment.etc."guest/busy-agent".source = ../guest/busy-agent.py;
}
