use super::reading::{check_endpoint, parse_duration};
use super::*;

fn read(vars: &[(&str, &str)]) -> Result<Config, Faults> {
    let no_file = |path: &Path| match path.to_str() {
        Some("/run/token") => Ok("  s3cret\n".to_owned()),
        Some("/run/empty") => Ok("\n".to_owned()),
        Some("/run/prices") => Ok("openclaw-trace prices 1 extends\n*\tmine\t\t1\t2\n".to_owned()),
        Some("/run/bad") => Ok("openclaw-trace prices 1 extends\n*\tmine\t\tx\t2\nopenai\n".to_owned()),
        _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
    };
    let is_dir = |path: &Path| path == Path::new("/data") || path == Path::new("/tmp");
    let vars = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Config::from_vars(&Surroundings { vars, read_file: &no_file, is_dir: &is_dir })
}

fn faults(vars: &[(&str, &str)]) -> Vec<String> {
    read(vars).unwrap_err().0
}

#[test]
fn nothing_set_gives_the_defaults_that_the_table_names() {
    let config = read(&[]).unwrap();
    for (variable, (name, value)) in VARIABLES.iter().zip(config.effective()) {
        assert_eq!(variable.name, name);
        let without_push = name.starts_with("TRACE_PUSH_");
        let shown = match variable.default {
            _ if without_push => "none".to_owned(),
            path if name == "TRACE_DB_PATH" => path.split(' ').next().unwrap().to_owned(),
            default => default.to_owned(),
        };
        assert_eq!(value, shown, "{name}");
    }
    let push = read(&[("TRACE_PUSH_ENDPOINT", "https://example.test/in")]).unwrap().push.unwrap();
    assert_eq!((push.interval, push.max_bytes), (Duration::from_secs(300), 5_000_000));
}

#[test]
fn a_receiver_has_a_port_and_a_file_of_its_own_and_obeys_the_same_variables() {
    let read = |vars: &[(&str, &str)]| {
        let vars = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let no_file = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let is_dir = |path: &Path| path == Path::new("/data");
        let config = Config::of_receiver(&Surroundings { vars, read_file: &no_file, is_dir: &is_dir })?;
        Ok::<_, Faults>((config.port, config.db_path))
    };
    assert_eq!(read(&[]).unwrap(), (9095, "/data/openclaw-receive.db".into()));
    assert_eq!(read(&[("TRACE_PORT", "9"), ("TRACE_DB_PATH", "/x.db")]).unwrap(), (9, "/x.db".into()));
    assert_eq!(read(&[("TRACE_BIND", "::"), ("TRACE_PROT", "1")]).unwrap_err().0.len(), 2);
}

#[test]
fn every_fault_is_reported_at_once() {
    let faults = faults(&[
        ("TRACE_PORT", "90900"),
        ("TRACE_ACK", "soon"),
        ("TRACE_RETENTION", "7"),
        ("TRACE_PUSH_ENDPOINT", "ftp://x?token=hush"),
        ("TRACE_PROT", "1"),
        ("TRACE_DB_MAX_MB", "-3"),
    ]);
    assert_eq!(faults.len(), 6, "{faults:#?}");
    assert!(
        faults.iter().any(|f| f == "TRACE_PORT: expected a port from 1 to 65535, or 0 for any free one, got \"90900\"")
    );
    assert!(faults.iter().any(|f| f.contains("did you mean TRACE_PORT")));
    assert!(!faults.iter().any(|f| f.contains("hush")), "{faults:#?}");
}

#[test]
fn a_budget_is_an_exact_amount_of_dollars() {
    for (text, pico) in [("12.5", Some(12_500_000_000_000)), ("0.000000000001", Some(1)), ("none", None), ("", None)] {
        let config = read(&[("TRACE_BUDGET_DAY_USD", text)]).unwrap();
        assert_eq!(config.budget_day, pico.map(PicoUsd), "{text}");
        let shown = if text.is_empty() { "none" } else { text };
        assert!(config.effective().contains(&("TRACE_BUDGET_DAY_USD", shown.to_owned())), "{text}");
    }
    for text in ["0", "0.0000000000001", "-1", "$5", "5 USD", "1e9", "ten", "NaN"] {
        let wanted = format!("TRACE_BUDGET_DAY_USD: expected dollars, more than 0 (12.5), or none, got {text:?}");
        assert_eq!(faults(&[("TRACE_BUDGET_DAY_USD", text)]), [wanted]);
    }
}

#[test]
fn the_agent_is_a_process_id_or_a_name() {
    let agent = |text| read(&[("TRACE_AGENT_PROCESS", text)]).unwrap().agent_process;
    assert_eq!((agent(""), agent("none")), (None, None));
    assert_eq!(agent("4194304"), Some(AgentProcess::Pid(4_194_304)));
    assert_eq!(agent("openclaw"), Some(AgentProcess::Name("openclaw".to_owned())));
    assert_eq!(agent("Web Content"), Some(AgentProcess::Name("Web Content".to_owned())));
    for bad in ["0", "4194305", "99999999999999999999", "/usr/bin/node", "a\tb", &"x".repeat(65)] {
        let faults = faults(&[("TRACE_AGENT_PROCESS", bad)]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with("TRACE_AGENT_PROCESS: expected a process id"), "{faults:?}");
    }
}

#[test]
fn the_gateways_log_is_off_or_an_absolute_path_with_at_most_one_date() {
    for off in ["", "off"] {
        assert_eq!(read(&[("TRACE_OPENCLAW_LOG", off)]).unwrap().openclaw_log, None);
    }
    for good in ["/tmp/openclaw", "/tmp/openclaw/", "/tmp/openclaw/openclaw-YYYY-MM-DD.log", "/var/log/gateway"] {
        let config = read(&[("TRACE_OPENCLAW_LOG", good)]).unwrap();
        assert_eq!(config.openclaw_log.as_deref(), Some(Path::new(good)));
    }
    for (bad, wanted) in [
        ("on", "off, or the absolute path"),
        ("openclaw.log", "off, or the absolute path"),
        ("/", "off, or the absolute path"),
        ("/tmp/openclaw/openclaw-*.log", "nothing else for anything"),
        ("/tmp/openclaw/openclaw-%Y-%m-%d.log", "nothing else for anything"),
        ("/tmp/YYYY-MM-DD/openclaw.log", "in the name of the file"),
        ("/tmp/YYYY-MM-DD/", "in the name of the file"),
        ("/tmp/YYYY-MM-DD-YYYY-MM-DD.log", "once at most"),
    ] {
        let faults = faults(&[("TRACE_OPENCLAW_LOG", bad)]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains(wanted) && faults[0].contains(bad), "{faults:?}");
    }
}

#[test]
fn other_peoples_variables_are_left_alone() {
    assert!(read(&[("TRACE_ID", "x"), ("TRACE_ENDPOINT_URL", "y"), ("TRACEPARENT", "z"), ("TRACE_", "")]).is_ok());
    for near in ["TRACE_PROT", "TRACE_LOGS", "TRACE_TOKNE", "TRACE_PUSH_ENDPONT", "TRACE_PUSH_TOKEN_FIL"] {
        assert_eq!(faults(&[(near, "x")]).len(), 1, "{near}");
    }
}

#[test]
fn an_open_bind_needs_a_token() {
    assert!(read(&[("TRACE_BIND", "127.0.0.1, ::1, localhost")]).is_ok());
    assert!(read(&[("TRACE_BIND", "LocalHost,localhost.")]).is_ok());
    assert!(faults(&[("TRACE_BIND", "localhost.example.org")])[0].contains("set TRACE_TOKEN"));
    assert!(faults(&[("TRACE_BIND", "127.0.0.1,0.0.0.0")])[0].contains("set TRACE_TOKEN"));
    assert!(faults(&[("TRACE_BIND", "fly-local-6pn")])[0].contains("set TRACE_TOKEN"));
    assert!(read(&[("TRACE_BIND", "fly-local-6pn,0.0.0.0"), ("TRACE_TOKEN", "t")]).is_ok());
    assert!(faults(&[("TRACE_BIND", "127.0.0.1:9090")])[0].contains("without a port"));
}

#[test]
fn a_second_port_is_another_than_the_first() {
    assert_eq!(read(&[]).unwrap().otlp_port, None);
    assert_eq!(read(&[("TRACE_OTLP_PORT", "off")]).unwrap().otlp_port, None);
    assert_eq!(read(&[("TRACE_OTLP_PORT", "4318")]).unwrap().otlp_port, Some(4318));
    assert_eq!(read(&[("TRACE_PORT", "0"), ("TRACE_OTLP_PORT", "0")]).unwrap().otlp_port, Some(0));
    for port in ["9090", "on", "65536", "-1"] {
        assert_eq!(faults(&[("TRACE_OTLP_PORT", port)]).len(), 1, "{port}");
    }
    let same = faults(&[("TRACE_PORT", "4318"), ("TRACE_OTLP_PORT", "4318")]);
    assert_eq!(same, ["TRACE_OTLP_PORT: expected another port than TRACE_PORT, got 4318 twice"]);
}

#[test]
fn a_listener_for_scrapers_has_addresses_with_ports_of_its_own() {
    let of = |value| read(&[("TRACE_METRICS_BIND", value)]).unwrap();
    let places = |value: &str| {
        let bind = read(&[("TRACE_METRICS_BIND", value)]).unwrap().metrics_bind;
        bind.into_iter().map(|(host, port)| format!("{host} {port}")).collect::<Vec<_>>()
    };
    assert_eq!((of("").metrics_bind, of("off").metrics_bind), (Vec::new(), Vec::new()));
    assert_eq!(places("[::]:9091"), [":: 9091"]);
    assert_eq!(places("127.0.0.1:0, fly-local-6pn:9091"), ["127.0.0.1 0", "fly-local-6pn 9091"]);
    let shown = of("[::1]:9091,localhost:9092").effective();
    assert!(shown.contains(&("TRACE_METRICS_BIND", "[::1]:9091,localhost:9092".to_owned())), "{shown:?}");
    for bad in ["9091", ":9091", "::1:9091", "[::1]", "127.0.0.1", "127.0.0.1:", "a:+1", "a:65536", "[a]:1", "a b:1"] {
        let told = faults(&[("TRACE_METRICS_BIND", bad)]);
        let wanted = "expected off, or IP addresses and host names with a port ([::]:9091, 127.0.0.1:9091)";
        assert_eq!(told, [format!("TRACE_METRICS_BIND: {wanted}, got {bad:?}")]);
    }
    let both = faults(&[("TRACE_METRICS_BIND", "[::]:9090,[::]:4318"), ("TRACE_OTLP_PORT", "4318")]);
    let twice = |other, port| format!("TRACE_METRICS_BIND: expected another port than {other}, got {port} twice");
    assert_eq!(both, [twice("TRACE_PORT", 9090), twice("TRACE_OTLP_PORT", 4318)]);
    assert!(read(&[("TRACE_METRICS_BIND", "127.0.0.1:0"), ("TRACE_PORT", "0"), ("TRACE_OTLP_PORT", "0")]).is_ok());
}

#[test]
fn prices_are_compiled_in_or_from_a_file_whose_faults_are_told_with_their_places() {
    let table = |value| read(&[("TRACE_PRICES_FILE", value)]).unwrap().prices.table;
    assert_eq!(*table("embedded"), Prices::embedded());
    assert_eq!(*table("off"), Prices::off());
    assert!(table("/run/prices").version().starts_with("file "));
    assert_eq!(read(&[("TRACE_PRICES_FILE", "/run/prices")]).unwrap().prices.from, "/run/prices");
    let place = |line, column| format!("TRACE_PRICES_FILE: /run/bad, line {line}, column {column}: expected ");
    let told = faults(&[("TRACE_PRICES_FILE", "/run/bad"), ("TRACE_PORT", "x")]);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[1].starts_with(&place(2, 9)) && told[2].starts_with(&place(3, 7)), "{told:?}");
    let told = faults(&[("TRACE_PRICES_FILE", "on")]);
    assert!(told[0].starts_with("TRACE_PRICES_FILE: expected embedded, off or a file of prices; cannot read on: "));
}

#[test]
fn localhost_is_one_name_in_any_case_and_with_the_dot_of_the_root() {
    for name in ["localhost", "LOCALHOST", "localhost.", "LocalHost."] {
        assert!(is_localhost(name), "{name}");
    }
    for name in ["", ".", "localhost..", "localhosts", "a.localhost", "localhost.a", "127.0.0.1"] {
        assert!(!is_localhost(name), "{name}");
    }
}

#[test]
fn secrets_come_from_files_too_and_are_never_shown() {
    let config = read(&[("TRACE_TOKEN_FILE", "/run/token"), ("TRACE_PUSH_TOKEN", "hush")]).unwrap();
    assert_eq!(config.token.as_ref().unwrap().reveal(), "s3cret");
    let shown = format!("{config:?} {:?}", config.effective());
    assert!(!shown.contains("s3cret") && !shown.contains("hush"), "{shown}");
    assert!(faults(&[("TRACE_TOKEN_FILE", "/run/token"), ("TRACE_TOKEN", "x")])[0].contains("only one of"));
    assert!(faults(&[("TRACE_TOKEN_FILE", "/run/empty")])[0].contains("empty"));
    assert!(faults(&[("TRACE_TOKEN_FILE", "/run/none")])[0].contains("cannot read"));
    assert!(faults(&[("TRACE_TOKEN", "two words")])[0].contains("without spaces"));
}

#[test]
fn a_duration_needs_its_unit() {
    for (text, ms) in [("5m", 300_000), ("1h30m", 5_400_000), ("250ms", 250), ("0s", 0), ("7d", 604_800_000)] {
        assert_eq!(parse_duration(text), Some(Duration::from_millis(ms)), "{text}");
    }
    for text in ["", "5", "m", "5 m", "-5s", "1.5h", "5y", "5s3", "99999999999999999999s", "9999999999999999d"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}

#[test]
fn an_endpoint_is_a_url_that_keeps_secrets() {
    for good in [
        "https://a.test/x?y=1",
        "http://127.0.0.1:8080/",
        "http://[::1]:1/in",
        "http://localhost/x",
        "http://LOCALHOST.:8080/x",
        "https://[fdaa::3]/",
    ] {
        assert_eq!(check_endpoint(good, false), Ok(()), "{good}");
    }
    for bad in [
        "a.test",
        "http://a.test/",
        "http://localhost.a.test/",
        "https://",
        "https://u:p@a.test/",
        "https://a.test:0/",
        "https://a.test:99999/",
        "https://a b/",
        "ftp://a.test/",
        "https://[zz]/",
    ] {
        assert!(check_endpoint(bad, false).is_err(), "{bad}");
    }
    assert_eq!(masked_url("https://u:p@a.test/x?token=1"), "https://(not shown)@a.test/x?(not shown)");
}

#[test]
fn plain_http_goes_to_private_addresses_only_where_that_is_asked_for() {
    // What a name stands for, the client looks at.
    for good in
        ["http://10.0.0.7/", "http://192.168.1.1:80/", "http://100.64.0.1/", "http://[fdaa::3]:9095/", "http://a.test/"]
    {
        assert_eq!(check_endpoint(good, true), Ok(()), "{good}");
        assert!(check_endpoint(good, false).is_err(), "{good}");
    }
    for bad in ["http://8.8.8.8/", "http://172.32.0.1/", "http://100.128.0.1/", "http://[2001:db8::1]/"] {
        assert!(check_endpoint(bad, true).unwrap_err().contains("private"), "{bad}");
    }
}

#[test]
fn a_push_may_be_of_another_format_with_headers_of_its_own_and_of_some_tables() {
    let endpoint = ("TRACE_PUSH_ENDPOINT", "https://h.test/api");
    let push = |vars: &[(&str, &str)]| read(&[&[endpoint], vars].concat()).unwrap().push.unwrap();
    assert_eq!((push(&[]).format, push(&[]).gzip), (PushFormat::Json, false));
    assert!(push(&[("TRACE_PUSH_FORMAT", "otlp")]).gzip && !push(&[("TRACE_PUSH_FORMAT", "clickhouse")]).gzip);
    assert!(!push(&[("TRACE_PUSH_FORMAT", "otlp"), ("TRACE_PUSH_GZIP", "off")]).gzip);
    let some = push(&[("TRACE_PUSH_TABLES", " system_metrics, llm_traces,")]).tables;
    assert_eq!(some, [Table::LlmTraces, Table::SystemMetrics]);
    let headers = push(&[("TRACE_PUSH_HEADERS", "x-a=1,Authorization=Basic%20YTpi==,x-b=,")]).headers;
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, value.reveal())).collect();
    assert_eq!(headers, [("x-a", "1"), ("Authorization", "Basic YTpi=="), ("x-b", "")]);

    let destination = |format: &str| {
        let url = ("TRACE_PUSH_ENDPOINT", "https://h.test/in?user=hush&database=d#x");
        read(&[url, ("TRACE_PUSH_FORMAT", format)]).unwrap().push.unwrap().destination()
    };
    assert_eq!(destination("json"), "https://h.test/in");
    assert_eq!(destination("clickhouse"), "https://h.test/in?database=d");

    let fault = |vars: &[(&str, &str)]| faults(&[&[endpoint], vars].concat()).remove(0);
    assert!(fault(&[("TRACE_PUSH_FORMAT", "xml")]).contains("json or otlp or clickhouse"));
    for names in ["llm_trace", ",", "all"] {
        assert!(fault(&[("TRACE_PUSH_TABLES", names)]).contains("expected some of llm_traces"), "{names}");
    }
    for wrong in ["hush", "=hush", "a(b=hush", "x=hush%2", "x=hush%zz", "x=hush%0d%0a", "y=1,x=hush%ff"] {
        let fault = fault(&[("TRACE_PUSH_HEADERS", wrong)]);
        assert!(fault.starts_with("TRACE_PUSH_HEADERS: expected ") && !fault.contains("hush"), "{fault}");
    }
    assert!(fault(&[("TRACE_PUSH_HEADERS", "Content-Type=x")]).contains("the push itself sets"));
    assert!(
        fault(&[("TRACE_PUSH_HEADERS", "authorization=x"), ("TRACE_PUSH_TOKEN", "t")]).contains("TRACE_PUSH_TOKEN")
    );
    let signal = [("TRACE_PUSH_ENDPOINT", "https://h.test/v1/traces/?k=hush"), ("TRACE_PUSH_FORMAT", "otlp")];
    assert!(faults(&signal)[0].contains("come after") && !faults(&signal)[0].contains("hush"));
}

#[test]
fn the_file_goes_to_data_or_to_the_users_state() {
    let at = |vars: &[(&str, &str)], data: bool| {
        let vars = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let is_dir = move |path: &Path| data && path == Path::new("/data");
        let read_file = |_: &Path| Ok(String::new());
        Config::from_vars(&Surroundings { vars, read_file: &read_file, is_dir: &is_dir }).map(|c| c.db_path)
    };
    assert_eq!(at(&[], true), Ok("/data/openclaw-trace.db".into()));
    assert_eq!(at(&[("XDG_STATE_HOME", "/s")], false), Ok("/s/openclaw-trace/openclaw-trace.db".into()));
    assert_eq!(at(&[("HOME", "/h")], false), Ok("/h/.local/state/openclaw-trace/openclaw-trace.db".into()));
    assert!(at(&[], false).is_err());
    assert!(faults(&[("TRACE_DB_PATH", "/tmp")])[0].contains("directory"));
}
