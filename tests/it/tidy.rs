//! The rules of the house that no compiler checks: who may use whom, which crate has which door, and
//! that the docs say what the code does.

use std::fs;
use std::path::{Path, PathBuf};

use openclaw_trace::cmd::help;
use openclaw_trace::config::{VARIABLES, VARIABLES_IN_README, Variable};

/// The layers: a module may use those of the lines above its own, and none of its own line.
const LAYERS: &[&[&str]] = &[
    &["event", "clock"],
    &["stats", "config", "shutdown", "exchange", "space"],
    &["logging", "client"],
    &["queue", "wire", "otlp"],
    &["store"],
    &["http", "collect", "push"],
    &["serve", "cmd"],
];

/// Each outside crate is named by the modules behind its door, and nowhere else.
const DOORS: &[(&str, &[&str])] = &[
    ("rusqlite", &["store"]),
    ("ureq", &["client"]),
    ("async_h1", &["http"]),
    ("http_types", &["http"]),
    ("httparse", &["http"]),
    ("flate2", &["http"]),
    ("prost", &["otlp"]),
    ("bytes", &["otlp", "http"]),
    ("nix", &["shutdown", "space", "store"]),
    ("uuid", &["event"]),
    ("lexopt", &["main"]),
];

/// Longer, and a file says more than one thing.
const FILE_LINES_MAX: usize = 700;

/// A source file of the program: its module, and its code without comments and tests.
struct Source {
    path: PathBuf,
    module: String,
    code: String,
}

#[test]
fn no_module_uses_one_of_its_own_layer_or_above() {
    let line_of = |module: &str| LAYERS.iter().position(|line| line.contains(&module));
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !["main", "lib"].contains(&source.module.as_str())) {
        let Some(own) = line_of(&source.module) else {
            faults.push(format!("{}: module {} has no layer yet", source.path.display(), source.module));
            continue;
        };
        for used in modules_used(&source.code) {
            let allowed = used == source.module || line_of(&used).is_some_and(|line| line < own);
            if !allowed {
                faults.push(format!("{}: {} may not use {used}", source.path.display(), source.module));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn each_outside_crate_comes_in_by_its_own_door() {
    let mut faults = Vec::new();
    for source in sources() {
        for (name, doors) in DOORS {
            if names_path(&source.code, name) && !doors.contains(&source.module.as_str()) {
                faults.push(format!("{}: {name} is named outside {doors:?}", source.path.display()));
            }
        }
        if source.module != "main" && source.code.contains("std::env::") {
            faults.push(format!("{}: the environment is read in main.rs alone", source.path.display()));
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
fn every_variable_is_documented_with_its_default_and_no_other_is() {
    let configuration = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let help = help::text("0");
    for variable in VARIABLES {
        assert!(configuration.contains(&row(variable)), "docs/configuration.md lacks the row\n{}", row(variable));
        assert!(help.contains(variable.name), "--help lacks {}", variable.name);
    }
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let rows: Vec<&str> =
        readme.lines().filter(|line| line.starts_with("| `TRACE_") && line.matches('|').count() == 4).collect();
    let wanted: Vec<String> = VARIABLES[..VARIABLES_IN_README].iter().map(row).collect();
    assert_eq!(rows, wanted, "the README shows the first variables");
    for path in ["README.md", "docs/configuration.md", "docs/operations.md", "docs/wire.md"] {
        let text = fs::read_to_string(root().join(path)).unwrap();
        for name in words(&text).filter(|word| is_name(word)) {
            assert!(is_variable(name), "{path} names {name}, which is no variable");
        }
    }
}

#[test]
fn every_variable_that_the_code_names_is_in_the_table() {
    for source in sources() {
        // Between quotes: outside of them it is a constant.
        let texts = source.code.split('"').skip(1).step_by(2);
        for name in texts.flat_map(words).filter(|word| is_name(word)) {
            assert!(is_variable(name), "{}: {name} is not in the table", source.path.display());
        }
    }
}

#[test]
fn every_link_of_the_docs_leads_somewhere() {
    let mut pages = files_below(&root().join("docs"), "md");
    pages.push(root().join("README.md"));
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            let here = !file.is_empty() && !file.contains("://");
            assert!(!here || page.parent().unwrap().join(file).exists(), "{}: no {target}", page.display());
        }
    }
}

/// Whether a word is meant for a variable of ours.
fn is_name(word: &str) -> bool {
    word.strip_prefix("TRACE_").is_some_and(|rest| !rest.is_empty())
}

fn is_variable(name: &str) -> bool {
    let of_file = name.strip_suffix("_FILE");
    VARIABLES.iter().any(|v| v.name == name || (v.secret && Some(v.name) == of_file))
}

/// The row of a variable in a table of the docs.
fn row(variable: &Variable) -> String {
    format!("| `{}` | {} | {} |", variable.name, variable.default, variable.meaning)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let all = files_below(&src, "rs").into_iter().filter(|path| !is_test_file(path));
    all.map(|path| {
        let below = path.strip_prefix(&src).unwrap();
        let module =
            below.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        let code = code_of(&fs::read_to_string(&path).unwrap());
        Source { path: below.to_owned(), module, code }
    })
    .collect()
}

/// Files that hold nothing but tests, by the `#[cfg(test)] mod` that mounts them.
fn is_test_file(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let below_tests = path.parent().unwrap().file_name().is_some_and(|dir| dir == "tests");
    let mounted_by = [path.with_file_name("mod.rs"), path.parent().unwrap().with_extension("rs")];
    let mounts = mounted_by.iter().filter_map(|file| fs::read_to_string(file).ok());
    below_tests || mounts.into_iter().any(|text| text.contains(&format!("#[cfg(test)]\nmod {name};")))
}

/// The code, without comments, strings' comments kept, up to the tests at the end.
fn code_of(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules of ours that the code names: `crate::x`, and `crate::{x, y}`.
fn modules_used(code: &str) -> Vec<String> {
    let mut used = Vec::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => used.extend(words(list.split('}').next().unwrap()).map(str::to_owned)),
            None => used.extend(words(rest).next().map(str::to_owned)),
        }
    }
    used.retain(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
    used
}

/// Whether the code has a path that begins with this crate.
fn names_path(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + name.len()..];
        let whole = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '.' || c == '"');
        whole && after.starts_with("::")
    })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn files_below(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            files.push(path);
        }
    }
    files
}
