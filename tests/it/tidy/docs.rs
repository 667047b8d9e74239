//! That the docs say what the code does: every variable, name, column, field, log line and test.

use std::fs;
use std::path::PathBuf;

use openclaw_trace::cmd::help;
use openclaw_trace::config::{VARIABLES, VARIABLES_IN_README, Variable};
use openclaw_trace::redact::kinds;

use super::source::{Source, files_below, root, sources, words};

#[test]
fn every_variable_is_documented_with_its_default_and_no_other_is() {
    let configuration = page("docs/configuration.md");
    let help = help::text("0").split_whitespace().collect::<Vec<_>>().join(" ");
    for variable in VARIABLES {
        assert!(configuration.contains(&row(variable)), "docs/configuration.md lacks the row\n{}", row(variable));
        assert!(help.contains(&entry(variable)), "--help lacks {}", entry(variable));
    }
    let readme = page("README.md");
    let rows: Vec<&str> =
        readme.lines().filter(|line| line.starts_with("| `TRACE_") && line.matches('|').count() == 4).collect();
    let wanted: Vec<String> = VARIABLES[..VARIABLES_IN_README].iter().map(row).collect();
    assert_eq!(rows, wanted, "the README shows the first variables");
    for (path, text) in pages().into_iter().chain([("--help".into(), help)]) {
        for name in variables_in(&text) {
            assert!(is_variable(name), "{} names {name}, which is no variable", path.display());
        }
    }
}

#[test]
fn every_variable_that_the_code_names_is_in_the_table() {
    for source in sources() {
        for name in source.strings.iter().flat_map(|string| variables_in(string)) {
            assert!(is_variable(name), "{}: {name} is not in the table", source.path.display());
        }
    }
}

#[test]
fn every_link_of_the_docs_leads_somewhere() {
    for (path, text) in pages() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (file, place) = target.split_once('#').unwrap_or((target, ""));
            let to = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(root().join(&to).exists(), "{}: no {target}", path.display());
            let there =
                place.is_empty() || fs::read_to_string(root().join(&to)).unwrap().lines().any(|l| is_at(l, place));
            assert!(there, "{}: nothing in {file} is called #{place}", path.display());
        }
    }
}

#[test]
fn every_name_that_a_producer_may_use_is_documented_in_order() {
    let wire = page("docs/wire.md");
    let native = page("src/wire/native/names.rs");
    let otlp = page("src/otlp/dialects.rs");
    let native = lists(native.split("#[cfg(test)]").next().unwrap());
    let of = |table: &str| lists(otlp.split(&format!("const {table}:")).nth(1).unwrap().split("\n];").next().unwrap());
    let tables = ["TABLE", "CLAUDE_CODE", "COUNTERS"].map(of);
    let least = [25, 12, 2];
    assert!(native.len() > 60, "these are not the names: {native:?}");
    assert!(tables.iter().zip(least).all(|(names, least)| names.len() >= least), "these are not the names: {tables:?}");
    for names in native.into_iter().chain(tables.into_iter().flatten()) {
        assert!(
            wire.lines().any(|line| has_in_order(line, &names)),
            "no line of docs/wire.md has, in order, {names:?}"
        );
    }
}

#[test]
fn every_column_of_every_table_is_documented() {
    let wire = page("docs/wire.md");
    let schemas = ["schema.sql", "schema2.sql", "schema3.sql", "schema4.sql"];
    let schema = schemas.map(|name| page(&format!("src/store/{name}"))).join("\n");
    for table in schema.split("CREATE TABLE ").skip(1) {
        let (name, columns) = table.split_once(" (\n").unwrap();
        let part = section(&wire, &format!("### `{name}`"));
        for column in columns.split("\n)").next().unwrap().lines().filter_map(|line| words(line).next()) {
            let is_column = column.starts_with(|c: char| c.is_ascii_lowercase());
            let row = format!("| `{column}` | ");
            assert!(!is_column || part.contains(&row), "docs/wire.md has no row {row}below `{name}`");
        }
    }
    for added in schema.lines().filter_map(|line| line.strip_prefix("ALTER TABLE ")) {
        let (table, column) = added.split_once(" ADD COLUMN ").unwrap();
        let row = format!("| `{}` | ", column.split(' ').next().unwrap().trim());
        let part = section(&wire, &format!("### `{table}`"));
        assert!(part.contains(&row), "docs/wire.md has no row {row}below `{table}`");
    }
}

#[test]
fn every_field_of_health_is_documented() {
    let wire = page("docs/wire.md");
    let part = section(&wire, "## Health");
    let health = sources().into_iter().find(|source| source.path.ends_with("http/health.rs")).unwrap();
    let bodies = health.code.split("#[derive(Serialize)]").skip(1).filter_map(|rest| rest.split('}').next());
    let fields: Vec<&str> =
        bodies.flat_map(str::lines).filter_map(|line| line.trim().split_once(": ")).map(|f| f.0).collect();
    assert!(fields.len() > 40, "these are not the fields: {fields:?}");
    for field in fields {
        let named = ["`", "."].iter().any(|before| part.contains(&format!("{before}{field}`")));
        assert!(named, "docs/wire.md does not say what {field} is");
    }
}

#[test]
fn every_kind_of_secret_is_documented_in_order() {
    let wire = page("docs/wire.md");
    let rows = section(&wire, "## Secrets").lines().filter(|line| line.starts_with("| `"));
    let documented: Vec<&str> =
        rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2)).collect();
    assert_eq!(documented, kinds());
}

#[test]
fn every_log_line_that_is_explained_is_one_that_the_code_writes() {
    let strings: Vec<String> = sources().into_iter().flat_map(|Source { strings, .. }| strings).collect();
    let operations = page("docs/operations.md");
    let rows = section(&operations, "## The log").lines().filter(|line| line.starts_with("| `"));
    let said: Vec<&str> = rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2)).collect();
    assert!(said.len() > 10, "these are not the log lines: {said:?}");
    for fragment in said {
        assert!(strings.iter().any(|string| string.contains(fragment)), "no string of the code has {fragment:?}");
    }
}

#[test]
fn every_test_that_the_requirements_name_is_there() {
    let requirements = page("docs/requirements.md");
    let tests: Vec<(&str, &str)> =
        requirements.split('`').skip(1).step_by(2).filter_map(|token| token.split_once(".rs::")).collect();
    assert!(tests.len() > 20, "these are not the tests: {tests:?}");
    for (file, name) in tests {
        let text = fs::read_to_string(root().join(format!("{file}.rs"))).unwrap_or_default();
        assert!(
            text.contains(&format!("#[test]\nfn {name}(")) || text.contains(&format!("#[test]\n    fn {name}(")),
            "docs/requirements.md: there is no test {name} in {file}.rs"
        );
    }
}

/// The row of a variable in a table of the docs.
fn row(variable: &Variable) -> String {
    format!("| `{}` | {} | {} |", variable.name, variable.default, variable.meaning)
}

/// What `--help` says of a variable, whatever makes it say so.
fn entry(variable: &Variable) -> String {
    let Variable { name, default, meaning, secret } = variable;
    let file = if *secret { format!("; also from the file in {name}_FILE") } else { String::new() };
    format!("{name} {meaning}{file} [{default}]")
}

fn is_variable(name: &str) -> bool {
    let is_file_of = |variable: &Variable| variable.secret && name.strip_suffix("_FILE") == Some(variable.name);
    VARIABLES.iter().any(|variable| variable.name == name || is_file_of(variable))
}

/// The words that look like a variable of ours; the prefix alone is none.
fn variables_in(text: &str) -> impl Iterator<Item = &str> {
    words(text).filter(|word| word.starts_with("TRACE_") && *word != "TRACE_")
}

pub fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The README and the docs: where they are, from the root, and their text.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = files_below(&root().join("docs"), "md");
    let paths = docs.iter().map(|path| path.strip_prefix(root()).unwrap().to_owned()).chain(["README.md".into()]);
    paths.map(|path| (path.clone(), page(path.to_str().unwrap()))).collect()
}

/// What stands below a heading, up to the next one that is no lower.
pub fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("there is no {heading}"));
    let level = heading.len() - heading.trim_start_matches('#').len();
    let ends = (2..=level).filter_map(|level| rest.find(&format!("\n{} ", "#".repeat(level))));
    ends.min().map_or(rest, |end| &rest[..end])
}

/// Whether a line is the heading that a link calls `place`.
fn is_at(line: &str, place: &str) -> bool {
    let title = line.strip_prefix('#').map(|rest| rest.trim_start_matches('#').trim().to_lowercase());
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    title.is_some_and(|title| title.chars().filter(kept).collect::<String>().replace(' ', "-") == place)
}

/// The strings of every `&[…]`, of those that hold any.
pub fn lists(code: &str) -> Vec<Vec<&str>> {
    let inside = code.split("&[").map(|rest| rest.split(']').next().unwrap());
    let strings = inside.map(|list| list.split('"').skip(1).step_by(2).collect());
    strings.filter(|strings: &Vec<&str>| !strings.is_empty()).collect()
}

/// Whether a line has all these names, each between backticks, one after the other.
fn has_in_order(line: &str, names: &[&str]) -> bool {
    let mut rest = line;
    names.iter().all(|name| match rest.split_once(&format!("`{name}`")) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}
