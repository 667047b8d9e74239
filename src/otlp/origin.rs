//! Where records come from: what of a resource is looked at, and nothing else.
//!
//! No resource attribute is stored wholesale: `process.command_args` can hold what a user said.

use std::sync::Arc;

use super::proto::{Any, KeyValue};
use super::text::cut;

/// What the resource of some records says of who sent them.
#[derive(Debug, Default)]
pub(super) struct Origin {
    parts: [Option<Box<str>>; PARTS.len()],
}

/// The attributes that tell one process from another. `service.name` is the first.
///
/// The versions are among them because a process id comes again when a container is started anew, perhaps with another
/// program in it.
const PARTS: [&str; 6] =
    ["service.name", "service.version", "service.instance.id", "host.name", "process.pid", "process.runtime.version"];

/// Its place among them.
const SERVICE_NAME: usize = 0;

/// Whether the attribute of this name is looked at.
pub(super) fn is_wanted(key: &[u8]) -> bool {
    PARTS.iter().any(|part| part.as_bytes() == key)
}

impl Origin {
    /// Takes one attribute of the resource, if it is wanted.
    pub(super) fn take(&mut self, attribute: &KeyValue) {
        let Some(place) = PARTS.iter().position(|part| part.as_bytes() == attribute.key) else { return };
        let text = match attribute.any() {
            Some(Any::Text(text)) => cut(text, PART_BYTES_MAX).0,
            Some(Any::Whole(number)) if place != SERVICE_NAME => number.to_string(),
            _ => return,
        };
        self.parts[place] = Some(text).filter(|text| !text.is_empty()).map(String::into_boxed_str);
    }

    /// `service.name`
    pub(super) fn service_name(&self) -> Option<&str> {
        self.parts[SERVICE_NAME].as_deref()
    }

    /// What tells this process from every other.
    pub(super) fn exporter(&self) -> Arc<str> {
        let said: Vec<&str> = self.parts.iter().flatten().map(|part| &**part).collect();
        said.join("/").into()
    }
}

/// A service name is a label, and so are the others.
const PART_BYTES_MAX: usize = 256;
