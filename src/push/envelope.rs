//! Who sends a batch, frozen with it: a machine that was moved or renamed sends the same bytes again.

use serde::{Deserialize, Serialize};

use crate::config::{Identity, Sender};

/// Who sends a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The id of the database file. Not written down: the file itself knows it.
    #[serde(skip)]
    pub instance_id: String,
    /// The machine.
    #[serde(flatten)]
    pub identity: Identity,
    /// Version of the program.
    pub version: String,
}

impl Envelope {
    /// The same, borrowed.
    pub fn sender(&self) -> Sender<'_> {
        Sender { instance_id: &self.instance_id, identity: &self.identity, version: &self.version }
    }

    /// As JSON, without the id of the file.
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// From what [`Envelope::to_json`] wrote, of the file with this id. `None` when it is something else.
    pub fn from_json(text: &str, instance_id: &str) -> Option<Envelope> {
        let envelope: Envelope = serde_json::from_str(text).ok()?;
        Some(Envelope { instance_id: instance_id.to_owned(), ..envelope })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sent_is_read_as_it_was_written() {
        let identity =
            Identity { hostname: Some("h\"1".to_owned()), fly_region: Some("ams".to_owned()), ..Identity::default() };
        let envelope = Envelope { instance_id: "i".to_owned(), identity, version: "1.2.3".to_owned() };
        assert_eq!(Envelope::from_json(&envelope.to_json(), "i"), Some(envelope));
        assert_eq!(Envelope::from_json("{}", "i"), None);
    }
}
