//! The text format of Prometheus, version 0.0.4.

use std::io::Write;

use super::{Kind, Number, Sink};

/// The text so far.
#[derive(Debug, Default)]
pub struct Text {
    text: Vec<u8>,
    family: String,
}

impl Text {
    /// All of it.
    pub fn end(self) -> Vec<u8> {
        self.text
    }

    /// Adds what is written, to memory: that cannot fail.
    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        if let Err(error) = self.text.write_fmt(text) {
            unreachable!("a vector takes what is written: {error}");
        }
    }

    fn escaped(&mut self, text: &str, quotes: bool) {
        for byte in text.bytes() {
            match byte {
                b'\\' => self.text.extend_from_slice(b"\\\\"),
                b'\n' => self.text.extend_from_slice(b"\\n"),
                b'"' if quotes => self.text.extend_from_slice(b"\\\""),
                byte => self.text.push(byte),
            }
        }
    }
}

impl Sink for Text {
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        self.add(format_args!("# HELP {name} "));
        self.escaped(help, false);
        self.add(format_args!("\n# TYPE {name} {}\n", kind.name()));
        name.clone_into(&mut self.family);
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: Number) {
        self.text.extend_from_slice(self.family.as_bytes());
        self.text.extend_from_slice(suffix.as_bytes());
        for (place, (label, text)) in labels.iter().enumerate() {
            self.add(format_args!("{}{label}=\"", if place == 0 { '{' } else { ',' }));
            self.escaped(text, true);
            self.text.push(b'"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        self.add(format_args!("{end} {value}\n"));
    }
}
