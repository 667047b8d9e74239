//! A table of prices: its text, and where each model stands in it.
//!
//! The text is read when it is made, to find what is wrong with it and the names in it; the prices of a model are
//! read again when they are wanted. So the table takes little more memory than its text.

use std::collections::HashSet;
use std::sync::Arc;

use super::cells::{When, Wrong, rate};
use super::pattern::{is_open, is_pattern, matches};
use super::providers::{Asked, known};
use super::{FILE_BYTES_MAX, Fault};

/// The first line of a file, before the word that says what becomes of the embedded table.
const FIRST_LINE: &str = "openclaw-trace prices 1 ";
const EXTENDS: &str = "extends";
const REPLACES: &str = "replaces";
/// Where the embedded table says what it is.
const VERSION: &str = "# version: ";
/// The provider of a line that is for any.
const ANY: &str = "*";
/// The models of a line that is for those of the line above.
const SAME: &str = "\"";
const COLUMNS: usize = 9;
/// What gateways put behind the names of models that cost nothing there.
const FREE: &str = ":free";
/// What can be priced apart.
const APART: [&str; 4] = ["audio", "image", "search", "video"];
/// Faults of one file that are told: whoever has more has the wrong file.
const FAULTS_MAX: usize = 50;
/// A cell is shown no longer.
const FOUND_CHARS_MAX: usize = 40;

/// A table.
pub(super) struct Table {
    /// Where its prices are from: what the rows say.
    pub(super) version: Arc<str>,
    names: Names<'static>,
}

/// Which models stand where.
#[derive(Default)]
struct Names<'a> {
    providers: Vec<Provider<'a>>,
    entries: Vec<Entry<'a>>,
}

struct Provider<'a> {
    name: &'a str,
    /// Names of models, and the numbers of their entries, by name.
    exact: Vec<(&'a str, u32)>,
    /// Patterns, in the order of their entries.
    open: Vec<(&'a str, u32)>,
}

/// The lines of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a>(&'a str);

/// One line: the prices of a model under one condition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a>(&'a str);

impl Table {
    /// The table that is compiled in. A test holds it to the rules for files.
    pub(super) fn embedded(text: &'static str) -> Table {
        let version = text.lines().find_map(|line| line.strip_prefix(VERSION)).unwrap_or_default();
        Table { version: version.into(), names: Reading::of(text).names }
    }

    /// The table of a file, and whether it replaces the embedded one.
    pub(super) fn of_file(file: &str) -> Result<(Table, bool), Vec<Fault>> {
        let text = file.strip_prefix('\u{feff}').unwrap_or(file);
        let Reading { faults, replaces, .. } = Reading::of(text);
        if !faults.is_empty() {
            return Err(faults);
        }
        let version = format!("file {:016x}", fnv1a(file.as_bytes()));
        // A configuration is read once, and its prices are wanted to the end of the process.
        let text: &'static str = Box::leak(text.into());
        Ok((Table { version: version.into(), names: Reading::of(text).names }, replaces))
    }

    /// Where the model stands; lines for any provider come last.
    pub(super) fn entry(&self, asked: &Asked<'_>) -> Option<Entry<'static>> {
        let mut found = None;
        let mut find = |provider: &str, model: &str| {
            found = self.names.entry(provider, model);
            found.is_some()
        };
        if !asked.names(&mut find) {
            find(ANY, &asked.model);
        }
        found
    }
}

impl<'a> Names<'a> {
    fn entry(&self, provider: &str, model: &str) -> Option<Entry<'a>> {
        let provider = self.providers.iter().find(|p| p.name == provider)?;
        let number = provider.find(model).or_else(|| provider.find(&with_dashes(model)?))?;
        self.entries.get(number as usize).copied()
    }
}

impl Provider<'_> {
    /// The number of the first entry that has the name.
    fn find(&self, model: &str) -> Option<u32> {
        let is_free = model.ends_with(FREE);
        let exact = self.exact.binary_search_by_key(&model, |(name, _)| *name);
        let exact = exact.ok().map(|place| self.exact[place].1);
        let mut open = self.open.iter().take_while(|(_, number)| exact.is_none_or(|exact| *number < exact)).peekable();
        while let Some(&(pattern, number)) = open.next() {
            match pattern.strip_prefix('!') {
                Some(not) if matches(not, model) => while open.next_if(|(_, other)| *other == number).is_some() {},
                // What somebody gives away is not at the price of what is sold under nearly the same name.
                None if is_free && !pattern.contains(FREE) => {}
                None if matches(pattern, model) => return Some(number),
                _ => {}
            }
        }
        exact
    }
}

/// The name with its date as OpenAI writes it: `gpt-5.2-20251211` is `gpt-5.2-2025-12-11` (LiteLLM and OpenRouter leave the
/// dashes out).
fn with_dashes(model: &str) -> Option<String> {
    let at = model.match_indices("-20").map(|(at, _)| at + 1).find(|at| {
        let rest = &model[*at..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        digits == 8 && (rest.len() == 8 || rest[8..].starts_with(['-', ':']))
    })?;
    let (before, date) = model.split_at(at);
    Some(format!("{before}{}-{}-{}{}", &date[..4], &date[4..6], &date[6..8], &date[8..]))
}

impl<'a> Entry<'a> {
    /// Its lines, in their order.
    pub(super) fn lines(self) -> impl Iterator<Item = Line<'a>> {
        self.0.lines().filter(|line| !is_comment(line)).map(Line)
    }
}

impl<'a> Line<'a> {
    fn cell(self, column: usize) -> &'a str {
        self.0.split('\t').nth(column).unwrap_or_default()
    }

    /// When its prices hold.
    pub(super) fn when(self) -> &'a str {
        self.cell(2)
    }

    /// Price of the prompt; empty = the model has no price.
    pub(super) fn input(self) -> &'a str {
        self.cell(3)
    }

    /// Price of the answer; empty = there is no answer.
    pub(super) fn output(self) -> &'a str {
        self.cell(4)
    }

    /// Price of what is read from a cache; empty = that of the prompt.
    pub(super) fn cache_read(self) -> &'a str {
        self.cell(5)
    }

    /// Price of what is written to a cache; empty = that of the prompt.
    pub(super) fn cache_write(self) -> &'a str {
        self.cell(6)
    }

    /// Price of what is written to a cache for an hour; empty = as for minutes.
    pub(super) fn cache_write_1h(self) -> &'a str {
        self.cell(7)
    }

    /// What is priced apart.
    pub(super) fn apart(self) -> impl Iterator<Item = &'a str> {
        self.cell(8).split(' ')
    }
}

fn is_comment(line: &str) -> bool {
    line.is_empty() || line.starts_with('#')
}

/// A text while it is read.
struct Reading<'a> {
    text: &'a str,
    names: Names<'a>,
    faults: Vec<Fault>,
    replaces: bool,
    /// Provider and first byte of the entry that is being read.
    open: Option<(&'a str, usize)>,
    /// Providers and their names so far.
    seen: HashSet<(&'a str, &'a str)>,
}

impl<'a> Reading<'a> {
    fn of(text: &'a str) -> Reading<'a> {
        let mut reading = Reading {
            text,
            names: Names::default(),
            faults: Vec::new(),
            replaces: false,
            open: None,
            seen: HashSet::new(),
        };
        if text.len() > FILE_BYTES_MAX {
            reading.fault(1, 1, &format!("a file of at most {FILE_BYTES_MAX} bytes"), &text.len().to_string());
            return reading;
        }
        let mut start = 0;
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            let content = line.trim_end_matches(['\n', '\r']);
            if number == 1 {
                reading.first_line(content);
            } else if !is_comment(content) {
                reading.line(number, start, content);
            }
            start += line.len();
        }
        if text.is_empty() {
            reading.first_line("");
        }
        for provider in &mut reading.names.providers {
            provider.exact.sort_unstable();
        }
        reading
    }

    fn first_line(&mut self, line: &str) {
        match line.strip_prefix(FIRST_LINE) {
            Some(EXTENDS) => {}
            Some(REPLACES) => self.replaces = true,
            _ => self.fault(1, 1, &format!("`{FIRST_LINE}{EXTENDS}` or `{FIRST_LINE}{REPLACES}`"), line),
        }
    }

    /// One line with prices.
    fn line(&mut self, number: usize, start: usize, line: &'a str) {
        if !line.contains('\t') {
            let end = line.find(' ').unwrap_or(line.len());
            let column = line[..end].chars().count() + 1;
            return self.fault(number, column, "a tab, and the names of models", &line[end..]);
        }
        let end = start + line.len();
        let mut column = 1;
        for (place, cell) in line.split('\t').enumerate() {
            let wrong = match place {
                0 => self.provider(cell),
                1 => self.models(cell, start, end),
                2 => When::parse(cell).map(|_| ()),
                3..8 => price(cell, Line(line)),
                8 => apart(cell),
                _ => Err((0, "at most nine columns")),
            };
            if let Err((at, wanted)) = wrong {
                let before = cell[..at.min(cell.len())].chars().count();
                self.fault(number, column + before, wanted, &cell[at.min(cell.len())..]);
            }
            if place == COLUMNS {
                break;
            }
            column += cell.chars().count() + 1;
        }
    }

    fn provider(&mut self, cell: &'a str) -> Result<(), Wrong> {
        let is_name =
            cell == ANY || !cell.is_empty() && !cell.contains(|c: char| c.is_whitespace() || c.is_uppercase());
        if !is_name {
            self.open = None;
            return Err((0, "the name of a provider in lower case, or * for any"));
        }
        let name = known(cell).unwrap_or(cell);
        if self.names.providers.last().is_none_or(|last| last.name != name) {
            self.open = None;
            match self.names.providers.iter().position(|p| p.name == name) {
                // The last is the one that is being read.
                Some(place) => {
                    let provider = self.names.providers.remove(place);
                    self.names.providers.push(provider);
                }
                None => self.names.providers.push(Provider { name, exact: Vec::new(), open: Vec::new() }),
            }
        }
        Ok(())
    }

    fn models(&mut self, cell: &'a str, start: usize, end: usize) -> Result<(), Wrong> {
        let Some(provider) = self.names.providers.last_mut() else { return Ok(()) };
        if cell == SAME {
            let same = self.open.filter(|(name, _)| *name == provider.name);
            let (_, start) =
                same.ok_or((0, "names of models: there is no line above that is for the same provider"))?;
            if let Some(last) = self.names.entries.last_mut() {
                *last = Entry(&self.text[start..end]);
            }
            return Ok(());
        }
        let number = self.names.entries.len() as u32;
        self.names.entries.push(Entry(&self.text[start..end]));
        self.open = Some((provider.name, start));
        let mut at = 0;
        for name in cell.split(' ') {
            let pattern = name.strip_prefix('!').unwrap_or(name);
            let wrong = if !is_pattern(pattern) {
                Some("a name in lower case, in which * stands at an end only, or one after !")
            } else if name == pattern && !self.seen.insert((provider.name, name)) {
                Some("a name that no line above has for the provider")
            } else {
                None
            };
            if let Some(wanted) = wrong {
                return Err((at, wanted));
            }
            let names = if is_open(pattern) || name != pattern { &mut provider.open } else { &mut provider.exact };
            names.push((name, number));
            at += name.len() + 1;
        }
        Ok(())
    }

    fn fault(&mut self, line: usize, column: usize, wanted: &str, found: &str) {
        if self.faults.len() < FAULTS_MAX {
            let found = found.chars().take(FOUND_CHARS_MAX).collect();
            self.faults.push(Fault { line, column, wanted: wanted.to_owned(), found });
        }
    }
}

/// A price; empty ones are left out, but a model that has any has one of the prompt.
fn price(cell: &str, line: Line<'_>) -> Result<(), Wrong> {
    if cell.is_empty() {
        return Ok(());
    }
    if line.input().is_empty() {
        return Err((0, "nothing, where the prompt has no price"));
    }
    rate(cell, 0).map(|_| ())
}

fn apart(cell: &str) -> Result<(), Wrong> {
    let mut at = 0;
    for word in cell.split(' ').filter(|_| !cell.is_empty()) {
        if !APART.contains(&word) {
            return Err((at, "audio, image, search, video, or several of them with a space between"));
        }
        at += word.len() + 1;
    }
    Ok(())
}

/// 64 bits that tell two files apart.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
