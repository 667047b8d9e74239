//! `health [URL]`: asks a running sidecar how it is, for a HEALTHCHECK.

use std::time::Duration;

use crate::client::{Cancel, Client, ClientConfig};
use crate::config::{Config, masked_url};

/// A sidecar on the same machine answers in a millisecond; one that is stuck never does.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What is printed, and whether the sidecar takes events.
#[derive(Debug)]
pub enum Answer {
    /// It does.
    Well(String),
    /// It does not, or does not answer.
    Unwell(String),
}

/// Where the sidecar with this configuration listens. `None` when only its log says so (port 0).
pub(super) fn own_base(config: &Config) -> Option<String> {
    if config.port == 0 {
        return None;
    }
    let host = match config.bind.first().map(String::as_str) {
        None | Some("0.0.0.0") => "127.0.0.1",
        Some("::") => "::1",
        Some(host) => host,
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Some(format!("http://{host}:{}", config.port))
}

/// Asks the sidecar with this configuration.
pub fn ask_own(config: &Config) -> Answer {
    match own_base(config) {
        Some(url) => ask(&url),
        None => Answer::Unwell(
            "TRACE_PORT is 0, so only the log of the sidecar says where it listens: give its URL".to_owned(),
        ),
    }
}

/// Asks `url`; one without a path means its `/health`.
pub fn ask(url: &str) -> Answer {
    let url = with_path(url);
    let client_config =
        ClientConfig { ca_pem: None, user_agent: "openclaw-trace-health", timeout: TIMEOUT, private_http: false };
    let answer = Client::new(&client_config, Cancel::default()).and_then(|client| client.fetch(&url, &[]));
    match answer {
        Err(error) => Answer::Unwell(format!("{} does not answer: {error}", masked_url(&url))),
        Ok(answer) => {
            let body = String::from_utf8_lossy(&answer.body);
            match answer.status {
                200 => Answer::Well(format!("{}\n", body.trim_end())),
                status => Answer::Unwell(format!("{} answered {status}: {}", masked_url(&url), body.trim_end())),
            }
        }
    }
}

fn with_path(url: &str) -> String {
    match url.split_once("://") {
        Some((_, rest)) if rest.contains('/') => url.to_owned(),
        Some(_) => format!("{url}/health"),
        None if url.contains('/') => format!("http://{url}"),
        None => format!("http://{url}/health"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_be_short() {
        for (given, asked) in [
            ("http://127.0.0.1:9090", "http://127.0.0.1:9090/health"),
            ("127.0.0.1:9090", "http://127.0.0.1:9090/health"),
            ("http://127.0.0.1:9090/x", "http://127.0.0.1:9090/x"),
        ] {
            assert_eq!(with_path(given), asked);
        }
    }
}
