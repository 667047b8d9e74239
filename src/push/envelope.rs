//! Who sends a batch, frozen with it: a machine that was moved or renamed sends the same bytes again.

use serde::{Deserialize, Serialize};

use crate::config::{Identity, Sender};

/// Who sends a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The id of the database file.
    pub instance_id: String,
    /// The machine.
    pub identity: Identity,
    /// Version of the program.
    pub version: String,
}

/// As it is written down: the file itself knows its id.
#[derive(Serialize, Deserialize)]
struct Written {
    hostname: Option<String>,
    fly_app_name: Option<String>,
    fly_machine_id: Option<String>,
    fly_region: Option<String>,
    fly_image_ref: Option<String>,
    fly_process_group: Option<String>,
    version: String,
}

impl Envelope {
    /// The same, borrowed.
    pub fn sender(&self) -> Sender<'_> {
        Sender { instance_id: &self.instance_id, identity: &self.identity, version: &self.version }
    }

    /// As JSON, without the id of the file.
    pub fn to_json(&self) -> String {
        let Identity { hostname, fly_app_name, fly_machine_id, fly_region, fly_image_ref, fly_process_group } =
            self.identity.clone();
        let version = self.version.clone();
        let written =
            Written { hostname, fly_app_name, fly_machine_id, fly_region, fly_image_ref, fly_process_group, version };
        serde_json::json!(written).to_string()
    }

    /// From what [`Envelope::to_json`] wrote, of the file with this id. `None` when it is something else.
    pub fn from_json(text: &str, instance_id: &str) -> Option<Envelope> {
        let Written { hostname, fly_app_name, fly_machine_id, fly_region, fly_image_ref, fly_process_group, version } =
            serde_json::from_str(text).ok()?;
        let identity =
            Identity { hostname, fly_app_name, fly_machine_id, fly_region, fly_image_ref, fly_process_group };
        Some(Envelope { instance_id: instance_id.to_owned(), identity, version })
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
