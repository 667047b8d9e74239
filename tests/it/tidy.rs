//! The rules of the house that no compiler checks: who may use whom, which crate has which door, and
//! ([`clickhouse`], [`docs`], [`examples`], [`metrics`], [`openapi`], [`fly`], [`nix`]) that the docs, the files for Fly.io and the NixOS module say
//! what the code does.

mod clickhouse;
pub mod docs;
mod examples;
mod fly;
mod metrics;
mod nix;
mod openapi;
pub mod source;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use source::{files_below, root, sources};

/// The layers: a module may use those of the lines above its own, and none of its own line.
const LAYERS: &[&[&str]] = &[
    &["event", "clock"],
    &["stats", "shutdown", "exchange", "space", "malloc", "jsontext", "notify", "link", "price", "redact"],
    &["config"],
    &["logging", "client", "summary", "metrics"],
    &["queue", "wire", "otlp"],
    &["store"],
    &["http", "collect", "push", "follow"],
    &["receive"],
    &["serve", "run", "cmd"],
];

/// Each outside crate is named by the modules behind its door, and nowhere else.
const DOORS: &[(&str, &[&str])] = &[
    ("rusqlite", &["store"]),
    ("ureq", &["client"]),
    ("async_h1", &["http"]),
    ("http_types", &["http"]),
    ("httparse", &["http"]),
    ("flate2", &["client", "http"]),
    ("httpdate", &["client"]),
    ("prost", &["otlp"]),
    ("bytes", &["otlp"]),
    ("nix", &["logging", "shutdown", "space", "store", "follow", "run"]),
    ("uuid", &["event"]),
    ("libc", &["malloc"]),
    ("rustix", &["push", "run"]),
    ("signal_hook", &["run"]),
    ("lexopt", &["main"]),
];

/// Longer, and a file says more than one thing.
const FILE_LINES_MAX: usize = 700;

/// Where somebody's checkout is, which is nobody else's business. In two parts, so that it is not here.
const BUILD_MACHINE: &str = concat!("/wo", "rk/");

#[test]
fn no_module_uses_one_of_its_own_layer_or_above() {
    let line_of = |module: &str| LAYERS.iter().position(|line| line.contains(&module));
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !["main", "lib"].contains(&source.module.as_str())) {
        let path = source.path.display();
        let Some(own) = line_of(&source.module) else {
            faults.push(format!("{path}: module {} has no layer yet", source.module));
            continue;
        };
        for used in source.modules_used() {
            let allowed = used == source.module || line_of(&used).is_some_and(|line| line < own);
            if !allowed {
                faults.push(format!("{path}: {} may not use {used}", source.module));
            }
        }
        if source.climbs_out() {
            faults.push(format!("{path}: what is outside of {} is named from crate::", source.module));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_layers_are_those_that_the_crate_shows() {
    let shown = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for (number, line) in LAYERS.iter().enumerate() {
        let modules: Vec<String> = line.iter().map(|module| format!("`{module}`")).collect();
        let row = format!("//! | {number} | {} |\n", modules.join(" "));
        assert!(shown.contains(&row), "src/lib.rs lacks the row\n{row}");
        for module in *line {
            assert!(shown.contains(&format!("\npub mod {module};\n")), "there is no module {module} any more");
        }
    }
}

#[test]
fn each_outside_crate_comes_in_by_its_own_door() {
    let mut faults = Vec::new();
    let sources = sources();
    for source in &sources {
        let path = source.path.display();
        for (name, doors) in DOORS {
            if source.names_crate(name) && !doors.contains(&source.module.as_str()) {
                faults.push(format!("{path}: {name} is named outside {doors:?}"));
            }
        }
        let grouped = source.code.split("std::{").skip(1).any(|list| source::words(list).next() == Some("env"));
        if source.module != "main" && (grouped || source.code.contains("std::env")) {
            faults.push(format!("{path}: the environment is read in main.rs alone"));
        }
    }
    for (name, doors) in DOORS {
        for door in *doors {
            let used = sources.iter().any(|source| source.module == *door && source.names_crate(name));
            assert!(used, "{door} does not use {name} any more: close the door");
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_task_is_let_go_and_no_file_is_too_long() {
    for source in sources() {
        assert!(!source.code.contains(".detach("), "{}: no task is detached", source.path.display());
    }
    for path in files_below(&root().join("src"), "rs") {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= FILE_LINES_MAX, "{}: {lines} lines, split it by data", path.display());
    }
}

#[test]
fn what_goes_wrong_on_demand_is_in_no_release() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let features = manifest.split_once("[features]\n").unwrap().1.split_once("\n[").unwrap().0;
    let features: Vec<&str> = features.lines().filter(|line| line.contains('=')).collect();
    assert_eq!(features, ["faults = []"], "no feature is on by itself");
    let builds = [".ci/run", ".ci/nix", "nix/package.nix", "nix/packages.nix", "images/fly/Dockerfile", "README.md"];
    for path in builds {
        let text = fs::read_to_string(root().join(path)).unwrap();
        for word in ["--features", "--all-features", "buildFeatures", "cargoBuildFeatures"] {
            assert!(!text.contains(word), "{path}: {word}");
        }
    }
}

#[test]
fn nothing_asks_for_a_vacuum_of_the_whole_file() {
    let mut steps = 0;
    let schemas = files_below(&root().join("src"), "sql").into_iter().map(|path| fs::read_to_string(path).unwrap());
    for sql in sources().into_iter().flat_map(|source| source.strings).chain(schemas) {
        steps += sql.matches("incremental_vacuum").count();
        let rest = sql.to_lowercase().replace("incremental_vacuum", "").replace("auto_vacuum", "");
        assert!(!rest.contains("vacuum"), "{sql}");
    }
    assert!(steps > 0, "these are not the strings of the program");
}

#[test]
fn no_file_names_a_build_machine_and_no_code_ends_in_white_space() {
    let Some(files) = tracked_files() else {
        eprintln!("SKIPPED: this is no git checkout, so nobody knows which files are the repository's");
        return;
    };
    for path in files {
        // Deleted but not yet committed, or no text.
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for (number, line) in (1..).zip(text.split('\n')) {
            assert!(!line.contains(BUILD_MACHINE), "{}:{number}: the path of a build machine", path.display());
            let clean = line.trim_end() == line || path.extension().is_none_or(|e| e != "rs");
            assert!(clean, "{}:{number}: white space at the end", path.display());
        }
    }
}

/// Every file of the repository; `None` where there is only a copy of the files.
fn tracked_files() -> Option<Vec<PathBuf>> {
    if !root().join(".git").exists() {
        return None;
    }
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().unwrap();
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).unwrap();
    Some(names.split_terminator('\0').map(PathBuf::from).collect())
}
