# The agent is the child of `openclaw-trace run`, which is the unit's main process.
{
  services.openclaw-trace.agentCommand = [
    "/run/current-system/sw/bin/python3"
    "/etc/guest/agent"
  ];
  environment.etc."guest/agent".source = ../guest/agent.py;
}
