//! The tree as the rules see it: files, and code apart from its strings, comments and tests.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file of the program, without its tests.
pub struct Source {
    /// Below `src`.
    pub path: PathBuf,
    /// The module directly below the crate that it is, or is part of.
    pub module: String,
    /// How many modules deep it is: 1 for the module itself.
    pub depth: usize,
    /// Its code, every string emptied and every comment left out.
    pub code: String,
    /// Its strings, as they are written, lines that were continued joined.
    pub strings: Vec<String>,
}

/// Every source file of the program.
pub fn sources() -> Vec<Source> {
    let src = root().join("src");
    let files = files_below(&src, "rs").into_iter().filter(|path| !is_test_file(path));
    let all: Vec<Source> = files.map(|path| Source::read(&src, &path)).collect();
    assert!(all.len() > 20, "these are not the sources: {} files", all.len());
    all
}

impl Source {
    fn read(src: &Path, path: &Path) -> Source {
        let path_below = path.strip_prefix(src).unwrap();
        let parts: Vec<&str> = path_below.iter().map(|part| part.to_str().unwrap().trim_end_matches(".rs")).collect();
        let depth = parts.iter().filter(|part| **part != "mod").count();
        let (code, strings) = split(without_tests(&fs::read_to_string(path).unwrap()));
        Source { path: path_below.to_owned(), module: parts[0].to_owned(), depth, code, strings }
    }

    /// The modules of ours that the code names: `crate::x`, `crate::{x, y::{z}}`.
    pub fn modules_used(&self) -> Vec<String> {
        let mut used = Vec::new();
        for (at, path) in self.code.match_indices("crate::") {
            let whole = !self.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let rest = &self.code[at + path.len()..];
            match rest.strip_prefix('{') {
                Some(list) if whole => used.extend(first_names(list)),
                None if whole => used.extend(words(rest).next().map(str::to_owned)),
                _ => {}
            }
        }
        used.retain(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
        used
    }

    /// Whether a path of the code leads past its own module with `super`, where nobody looks for it.
    pub fn climbs_out(&self) -> bool {
        self.code.contains(&"super::".repeat(self.depth))
    }

    /// Whether the code has a path that begins with this crate, or takes it in whole.
    pub fn names_crate(&self, name: &str) -> bool {
        self.code.match_indices(name).any(|(at, _)| {
            let (before, after) = (&self.code[..at], &self.code[at + name.len()..]);
            let inside = before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.'));
            let below = before.strip_suffix("::").is_some_and(|outer| outer.ends_with(|c: char| c.is_alphanumeric()));
            let taken_in = before.ends_with("use ") && after.starts_with([';', ' ']);
            !inside && !below && (after.starts_with("::") || taken_in)
        })
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The words of a text: letters, digits and underscores.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The files of that extension, sorted.
pub fn files_below(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Files that hold nothing but tests, by the `#[cfg(test)] mod` that mounts them.
fn is_test_file(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let directory = path.parent().unwrap();
    let mounts = [directory.join("mod.rs"), directory.with_extension("rs")];
    let mounted = mounts.iter().filter_map(|file| fs::read_to_string(file).ok());
    directory.ends_with("tests") || mounted.into_iter().any(|text| text.contains(&format!("#[cfg(test)]\nmod {name};")))
}

/// The text up to the module of tests at its end.
fn without_tests(text: &str) -> &str {
    let end = text.match_indices("#[cfg(test)]\n").map(|(at, found)| (at, &text[at + found.len()..]));
    let is_module = |rest: &str| rest.lines().next().is_some_and(|line| line.contains("mod ") && line.ends_with('{'));
    end.into_iter().find(|(_, rest)| is_module(rest)).map_or(text, |(at, _)| &text[..at])
}

/// Code and strings apart.
fn split(text: &str) -> (String, Vec<String>) {
    let (mut code, mut strings) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let hashes = rest.strip_prefix('r').map_or(0, |r| r.len() - r.trim_start_matches('#').len());
        let raw = rest.starts_with('r')
            && rest[1 + hashes..].starts_with('"')
            && !code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if raw {
            let inside = &rest[2 + hashes..];
            let end = format!("\"{}", "#".repeat(hashes));
            let (string, after) = inside.split_once(end.as_str()).unwrap();
            strings.push(string.to_owned());
            code.push_str("\"\"");
            rest = after;
        } else if c == '"' {
            let end = end_of(&rest[1..], '"');
            strings.push(joined(&rest[1..1 + end]));
            code.push_str("\"\"");
            rest = &rest[end + 2..];
        } else if c == '\'' && (rest[1..].starts_with('\\') || rest.chars().nth(2) == Some('\'')) {
            // `'''` is no character, but `'\''` is, and what is escaped is never empty.
            let first = rest[1..].chars().next().unwrap().len_utf8();
            let end = if first == 1 && rest[1..].starts_with('\\') { end_of(&rest[1..], '\'') } else { first };
            code.push_str("' '");
            rest = &rest[end + 2..];
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    (code, strings)
}

/// Where the quote is that ends a literal; what a backslash precedes is no quote.
fn end_of(inside: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = inside.char_indices().find(|(_, c)| {
        let found = !escaped && *c == quote;
        escaped = !escaped && *c == '\\';
        found
    });
    end.unwrap().0
}

/// A string whose lines end in a backslash, in one line.
fn joined(string: &str) -> String {
    let mut lines = string.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |all, line| all + line.trim_start())
}

/// The first name of each path in the inside of `{x, y::{a, b}}`.
fn first_names(list: &str) -> Vec<String> {
    let (mut names, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                names.extend(words(&list[start..at]).next().map(str::to_owned));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names
}

#[test]
fn code_is_read_without_its_strings_comments_and_tests() {
    let text = "use a; // crate::x\nlet b = \"crate::y \\\" \\\n   z\"; let c = '\"'; let d: &'static str = r#\"q\"q\"#;\n\
                let e = '\\''; let f = '\\u{7f}';\n#[cfg(test)]\nmod captures;\nlet g;\n#[cfg(test)]\npub(super) mod tests {\n h }\n";
    let (code, strings) = split(without_tests(text));
    assert_eq!(strings, ["crate::y \\\" z", "q\"q"]);
    assert!(!code.contains("crate") && !code.contains(" h "), "{code}");
    assert!(code.contains("let d: &'static str = \"\";") && code.contains("let g;"), "{code}");
}

#[test]
fn every_form_of_naming_a_module_or_a_crate_is_seen() {
    let source = |code: &str| Source {
        path: "a/b.rs".into(),
        module: "a".into(),
        depth: 2,
        code: code.into(),
        strings: Vec::new(),
    };
    let used = source("use crate::{queue::{Queue, x}, stats, wire::y}; crate::http::z(); super::super::push::w()");
    assert_eq!(used.modules_used(), ["queue", "stats", "wire", "http"]);
    assert!(used.climbs_out() && !source("use super::x;").climbs_out());
    for code in ["use nix::x;", "nix::y()", "::nix::y", "use nix;", "use nix as n;", "(nix::y)"] {
        assert!(source(code).names_crate("nix"), "{code}");
    }
    for code in ["unix::y", "a::nix::y", "self.nix::<x>()", "nixy::z", "let nix = 1"] {
        assert!(!source(code).names_crate("nix"), "{code}");
    }
}
