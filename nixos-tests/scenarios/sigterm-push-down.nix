{
  services.openclaw-trace = {
    pushEndpoint = "http://127.0.0.1:8080/";
    pushInterval = "1s";
  };
}
