//! The environment that the agent gets: where its exporter finds `serve`, and none of our secrets. Pure.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::{Secret, VARIABLES};
use crate::exchange::percent_encoded;

/// One variable of an environment.
pub(super) type Var = (OsString, OsString);

/// Whom a service manager wants to hear; that is `run`, and none of its children.
pub(super) const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// The signals of OpenTelemetry, as its variables spell them.
const SIGNALS: [&str; 3] = ["TRACES", "METRICS", "LOGS"];

/// The agent's environment: `vars` without our secrets, and, when `serve` can be reached, what makes an OpenTelemetry
/// exporter find it. An endpoint that the user has set stays, and nothing of ours, the token least of all, is
/// sent there.
///
/// `otlp_port`: where `serve` takes OTLP alone, which is an endpoint of ours as well.
pub(super) fn of_agent(
    vars: &[Var],
    serve: Option<SocketAddr>,
    otlp_port: Option<u16>,
    token: Option<&Secret>,
) -> Vec<Var> {
    let handed_down = |(name, _): &&Var| !is_secret(name) && name != NOTIFY_SOCKET;
    let mut agents: Vec<Var> = vars.iter().filter(handed_down).cloned().collect();
    let Some(serve) = serve else { return agents };
    let endpoint = url(serve);
    let listening = [Some(serve), otlp_port.map(|port| SocketAddr::new(serve.ip(), port))];
    let by_address = listening.iter().flatten().map(|address| url(*address));
    let loopback = listening.iter().flatten().filter(|address| address.ip().is_loopback());
    let by_name = loopback.map(|address| format!("http://localhost:{}", address.port()));
    let endpoints: Vec<String> = by_address.chain(by_name).collect();
    let is_ours = |value: &str| {
        // The address itself, or a path below it.
        endpoints
            .iter()
            .any(|ours| value.strip_prefix(ours.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    };
    let ours = |name: &str| value(vars, name).is_none_or(is_ours);
    if !ours(ENDPOINT) {
        return agents;
    }
    let mut set = |name: &str, value: &str| {
        if self::value(vars, name).is_none() {
            agents.retain(|(there, _)| there != name);
            agents.push((name.into(), value.into()));
        }
    };
    set(ENDPOINT, &endpoint);
    // As the value of a W3C baggage member, which is what the specification takes these headers for.
    let authorization = token.map(|token| format!("Authorization=Bearer%20{}", percent_encoded(token.reveal(), b"")));
    let (of_ours, of_others): (Vec<&str>, Vec<&str>) =
        SIGNALS.into_iter().partition(|signal| ours(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")));
    // What is set for all signals also goes to those whose endpoint is somebody else's.
    let prefixes: Vec<String> = match of_others[..] {
        [] => vec!["OTEL_EXPORTER_OTLP".to_owned()],
        _ => of_ours.iter().map(|signal| format!("OTEL_EXPORTER_OTLP_{signal}")).collect(),
    };
    for prefix in prefixes {
        set(&format!("{prefix}_PROTOCOL"), "http/protobuf");
        if let Some(authorization) = &authorization {
            set(&format!("{prefix}_HEADERS"), authorization);
        }
    }
    agents
}

/// The address under which the agent reaches `serve`: of loopback if it listens there.
pub(super) fn best(listening: &[SocketAddr]) -> Option<SocketAddr> {
    let reachable = listening.iter().map(|address| match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()),
        _ => *address,
    });
    reachable.min_by_key(|address| !address.ip().is_loopback())
}

/// What an exporter is given.
pub(super) fn url(serve: SocketAddr) -> String {
    format!("http://{serve}")
}

fn is_secret(name: &OsString) -> bool {
    let Some(name) = name.to_str() else { return false };
    let of_table = name.strip_suffix("_FILE").unwrap_or(name);
    VARIABLES.iter().any(|variable| variable.secret && variable.name == of_table)
}

/// What a variable is set to; set but empty is as good as not set.
fn value<'a>(vars: &'a [Var], name: &str) -> Option<&'a str> {
    vars.iter().find(|(there, _)| there == name)?.1.to_str().map(str::trim).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "http://127.0.0.1:9090";

    fn vars(pairs: &[(&str, &str)]) -> Vec<Var> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn of(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let token = Secret::new("a b/c=".to_owned());
        let mut agents: Vec<(String, String)> =
            of_agent(&vars(pairs), Some("127.0.0.1:9090".parse().unwrap()), Some(4318), Some(&token))
                .into_iter()
                .map(|(name, value)| (name.into_string().unwrap(), value.into_string().unwrap()))
                .filter(|(name, _)| name != "PATH")
                .collect();
        agents.sort();
        agents
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn an_exporter_finds_serve_and_no_secret_is_handed_down() {
        let given = [
            ("PATH", "/bin"),
            ("TRACE_TOKEN", "t"),
            ("TRACE_PUSH_TOKEN_FILE", "/secret"),
            ("TRACE_PORT", "9090"),
            ("NOTIFY_SOCKET", "/run/systemd/notify"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
        ];
        let expected = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", OURS),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20a%20b%2Fc%3D"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("TRACE_PORT", "9090"),
        ];
        assert_eq!(of(&given), pairs(&expected));
    }

    #[test]
    fn what_the_user_has_set_stays_and_no_stranger_gets_the_token() {
        let elsewhere = [("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otel.example.org")];
        assert_eq!(of(&elsewhere), pairs(&elsewhere));
        let own = of(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9090/"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ]);
        assert_eq!(
            own,
            pairs(&[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9090/"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20a%20b%2Fc%3D"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ])
        );
        let by_name = of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:9090")]);
        let second = of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")]);
        assert_eq!(second[1], by_name[1]);
        let stranger = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317")];
        assert_eq!(of(&stranger), pairs(&stranger));
        assert_eq!(by_name[1], pairs(&[("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20a%20b%2Fc%3D")])[0]);
        let one = of(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://otel.example.org/v1/traces")]);
        assert_eq!(
            one,
            pairs(&[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", OURS),
                ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "Authorization=Bearer%20a%20b%2Fc%3D"),
                ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/protobuf"),
                ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "Authorization=Bearer%20a%20b%2Fc%3D"),
                ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf"),
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://otel.example.org/v1/traces"),
            ])
        );
        let similar = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:90901")];
        assert_eq!(of(&similar), pairs(&similar));
    }

    #[test]
    fn without_serve_nothing_points_at_it() {
        let given = vars(&[("A", "1"), ("TRACE_PUSH_TOKEN", "t")]);
        assert_eq!(of_agent(&given, None, None, None), vars(&[("A", "1")]));
    }

    #[test]
    fn the_endpoint_is_a_loopback_one_if_there_is_any() {
        let addresses = |list: &[&str]| list.iter().map(|a| a.parse().unwrap()).collect::<Vec<SocketAddr>>();
        for (listening, expected) in [
            (&["127.0.0.1:9090"][..], Some("http://127.0.0.1:9090")),
            (&["10.0.0.1:7", "[::1]:7"], Some("http://[::1]:7")),
            (&["0.0.0.0:7"], Some("http://127.0.0.1:7")),
            (&["[::]:7"], Some("http://[::1]:7")),
            (&["10.0.0.1:7"], Some("http://10.0.0.1:7")),
            (&[], None),
        ] {
            assert_eq!(best(&addresses(listening)).map(url).as_deref(), expected);
        }
    }
}
