//! The same families as JSON: `{"<family>": {"type", "help", "samples": [{"suffix"?, "labels", "value"}]}}`.

use std::io::Write;

use super::{Kind, Number, Sink};

/// The JSON so far.
#[derive(Debug, Default)]
pub struct Json {
    json: Vec<u8>,
    /// Whether the family has a sample.
    has_sample: bool,
}

impl Json {
    /// All of it.
    pub fn end(mut self) -> Vec<u8> {
        self.json.extend_from_slice(if self.json.is_empty() { b"{}" } else { b"]}}" });
        self.json
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        if let Err(error) = self.json.write_fmt(text) {
            unreachable!("a vector takes what is written: {error}");
        }
    }

    fn string(&mut self, text: &str) {
        if let Err(error) = serde_json::to_writer(&mut self.json, text) {
            unreachable!("every text is a string of JSON: {error}");
        }
    }
}

impl Sink for Json {
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        self.json.extend_from_slice(if self.json.is_empty() { b"{" } else { b"]}," });
        self.string(name);
        self.add(format_args!(":{{\"type\":\"{}\",\"help\":", kind.name()));
        self.string(help);
        self.json.extend_from_slice(b",\"samples\":[");
        self.has_sample = false;
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: Number) {
        self.json.extend_from_slice(if self.has_sample { b",{" } else { b"{" });
        self.has_sample = true;
        if !suffix.is_empty() {
            self.add(format_args!("\"suffix\":\"{suffix}\","));
        }
        self.json.extend_from_slice(b"\"labels\":{");
        for (place, (label, text)) in labels.iter().enumerate() {
            self.add(format_args!("{}\"{label}\":", if place == 0 { "" } else { "," }));
            self.string(text);
        }
        self.add(format_args!("}},\"value\":{value}}}"));
    }
}
