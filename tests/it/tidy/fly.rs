//! That the files for Fly.io say what the program does and what belongs together: nothing here has run there.

use std::fs;
use std::process::Command;
use std::time::Duration;

use openclaw_trace::config::{Config, Surroundings, VARIABLES};
use openclaw_trace::run::STOPPING_ADDS;
use serde_json::Value;

use super::source::{root, sources};

fn text(name: &str) -> String {
    fs::read_to_string(root().join("images/fly").join(name)).unwrap()
}

/// fly.toml as JSON, by Python, which has a reader for it. `None` where there is no such Python.
fn fly_toml() -> Option<Value> {
    let script = "import json, sys, tomllib; json.dump(tomllib.load(sys.stdin.buffer), sys.stdout)";
    let file = fs::File::open(root().join("images/fly/fly.toml")).unwrap();
    match Command::new("python3").args(["-c", script]).stdin(file).output() {
        Ok(done) if done.status.success() => Some(serde_json::from_slice(&done.stdout).unwrap()),
        refused => {
            let said = format!("{refused:?}");
            assert!(!said.contains("TOMLDecodeError"), "{said}");
            eprintln!("SKIPPED: this test needs Python 3.11 to read TOML: {said}");
            None
        }
    }
}

/// Our configuration with the variables of a file, each of which must be ours or somebody else's.
fn config(env: &Value) -> Config {
    let vars: Vec<(&str, &str)> =
        env.as_object().unwrap().iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap())).collect();
    for (name, _) in vars.iter().filter(|(name, _)| name.starts_with("TRACE_")) {
        assert!(VARIABLES.iter().any(|variable| variable.name == *name), "{name} is no variable");
    }
    let vars = vars.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Config::from_vars(&Surroundings { vars, read_file: &|path| fs::read_to_string(path), is_dir: &|_| false }).unwrap()
}

fn seconds(text: &Value) -> Duration {
    Duration::from_secs(text.as_str().unwrap().strip_suffix('s').unwrap().parse().unwrap())
}

#[test]
fn fly_leaves_the_agent_and_the_sidecar_the_time_to_stop() {
    let Some(fly) = fly_toml() else { return };
    assert_eq!(fly["kill_signal"], "SIGTERM");
    let time = Duration::from_secs(fly["kill_timeout"].as_u64().unwrap());
    let config = config(&fly["env"]);
    assert!(time > config.agent_grace.unwrap() + STOPPING_ADDS + config.drain_timeout, "{time:?}");
    assert!(time <= Duration::from_secs(300), "Fly gives no more");
    let data = fly["mounts"][0]["destination"].as_str().unwrap();
    assert!(config.db_path.starts_with(data), "what is not on the volume is gone with the machine");
}

#[test]
fn fly_scrapes_and_checks_the_port_that_asks_for_no_token() {
    let Some(fly) = fly_toml() else { return };
    let config = config(&fly["env"]);
    let [(host, port)] = &config.metrics_bind[..] else { panic!("one place: {:?}", config.metrics_bind) };
    assert_eq!(host, "::", "the private network has addresses of version 6");
    assert_eq!((&fly["metrics"]["port"], &fly["metrics"]["path"]), (&(*port).into(), &"/metrics".into()));
    let check = &fly["checks"]["sidecar"];
    assert_eq!((&check["port"], &check["path"]), (&(*port).into(), &"/health".into()));
    assert_ne!(fly["http_service"]["internal_port"], Value::from(*port), "nobody else reaches it");
}

#[test]
fn both_images_for_fly_start_the_agent_with_the_command_of_fly_toml() {
    let Some(fly) = fly_toml() else { return };
    let started: Vec<&str> = fly["processes"]["app"].as_str().unwrap().split(' ').collect();
    assert_eq!(started[..3], ["openclaw-trace", "run", "--"]);
    for name in ["Dockerfile", "Dockerfile.image"] {
        let file = text(name);
        let cmd = file.lines().find_map(|line| line.strip_prefix("CMD ")).unwrap();
        assert_eq!(serde_json::from_str::<Vec<String>>(cmd).unwrap(), started, "{name}");
        for arg in file.lines().filter_map(|line| line.strip_prefix("ARG ")) {
            assert!(
                file.contains(&format!("FROM ${{{arg}}}")) && file.contains(&format!("--build-arg {arg}=")),
                "{arg}"
            );
        }
    }
}

#[test]
fn the_build_for_fly_is_given_what_it_needs_and_what_is_there() {
    let ignored = text("Dockerfile.dockerignore");
    let kept: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for kept in &kept {
        assert!(root().join(kept).exists(), "there is no {kept} for the build");
    }
    let is_kept = |path: &str| kept.iter().any(|kept| path == *kept || path.starts_with(&format!("{kept}/")));
    for source in sources() {
        // What tests alone read is not built.
        let code = source.code.split("#[cfg(test)]").next().unwrap();
        if source.path.ends_with("tests.rs") || !code.contains("include_") {
            continue;
        }
        for named in source.strings.iter().filter_map(|string| string.strip_prefix("../../")) {
            assert!(is_kept(named), "{} reads {named}", source.path.display());
        }
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("[[bench]]") || is_kept("benches/collect.rs"), "cargo wants every file that it names");
}

#[test]
fn a_container_of_its_own_outlives_the_agents_and_never_keeps_it_from_starting() {
    let machine: Value = serde_json::from_str(&text("machine.json")).unwrap();
    let [trace, agent] = &machine["containers"].as_array().unwrap()[..] else { panic!("two containers") };
    let config = config(&trace["env"]);
    // All containers may get the signal at once: the sidecar lingers until the agent's time is over.
    assert!(config.drain_linger >= seconds(&agent["stop"]["timeout"]));
    assert!(config.drain_timeout > config.drain_linger && seconds(&trace["stop"]["timeout"]) > config.drain_timeout);
    assert_eq!(agent["depends_on"][0]["name"], trace["name"]);
    assert_eq!(agent["depends_on"][0]["condition"], "started", "healthy would keep the agent from starting");
    let endpoint = format!("http://{}:{}", config.bind[0], config.port);
    assert_eq!(agent["env"]["OTEL_EXPORTER_OTLP_ENDPOINT"], endpoint);
    assert_eq!(trace["healthchecks"][0]["exec"]["command"][1], "health");
    assert!(config.db_path.starts_with(machine["mounts"][0]["path"].as_str().unwrap()));
}
