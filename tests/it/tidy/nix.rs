//! That the NixOS module has the program's variables, and gives it the time to stop.

use std::fs;
use std::time::Duration;

use openclaw_trace::config::VARIABLES;
use openclaw_trace::run::STOPPING_ADDS;

use super::source::root;

#[test]
fn the_nixos_module_has_an_option_for_every_variable_in_order_and_in_the_same_words() {
    let text = fs::read_to_string(root().join("nix/variables.nix")).unwrap();
    let options: Vec<Vec<&str>> = text.split("\n  (").skip(1).map(words_of).collect();
    let found: Vec<&[&str]> = options.iter().map(Vec::as_slice).collect();
    let wanted: Vec<[&str; 4]> = VARIABLES
        .iter()
        .map(|variable| {
            [if variable.secret { "secret" } else { "variable" }, variable.name, variable.default, variable.meaning]
        })
        .collect();
    assert_eq!(found, wanted);
}

/// Of `variable "NAME" "option" (a type) "default" "meaning"`: all but the option and its type.
fn words_of(entry: &str) -> Vec<&str> {
    let kind = entry.split_whitespace().next().unwrap();
    let strings: Vec<&str> = entry.split('"').skip(1).step_by(2).collect();
    let last = strings.len() - 1;
    vec![kind, strings[0], strings[last - 1], strings[last]]
}

#[test]
fn the_unit_that_starts_the_agent_is_killed_only_when_run_would_have_ended() {
    let module = fs::read_to_string(root().join("nix/module.nix")).unwrap();
    let (_, adds) = module.split_once("stoppingAdds = {").unwrap();
    let (_, run) = adds.split_once("run = \"").unwrap();
    let (seconds, _) = run.split_once("s\";").unwrap();
    let added = Duration::from_secs(seconds.parse().unwrap());
    assert!(added > STOPPING_ADDS, "{added:?} added by the unit, {STOPPING_ADDS:?} by stopping");

    let units = fs::read_to_string(root().join("nix/module-eval.json")).unwrap();
    let units: serde_json::Value = serde_json::from_str(&units).unwrap();
    let time = &units["agent"]["serviceConfig"]["TimeoutStopSec"];
    assert_eq!(time.as_str().unwrap(), format!("1m 10s {seconds}s"), "grace, drain, and the rest");
}
