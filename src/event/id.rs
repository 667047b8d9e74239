//! What makes two events the same one.

use std::fmt;

use uuid::Uuid;

use super::Table;

/// Identity of an event: a UUID, stored and shown in its hyphenated form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId(Uuid);

impl EventId {
    /// An id nobody has seen (UUIDv7): ordered by `now_ms`, Unix milliseconds.
    pub fn new(now_ms: i64) -> EventId {
        let mut random = [0; 10];
        fastrand::fill(&mut random);
        EventId(uuid::Builder::from_unix_timestamp_millis(now_ms.max(0) as u64, &random).into_uuid())
    }

    /// The id that a client sent. `None` unless it is a hyphenated UUID that is not nil.
    pub fn parse(text: &str) -> Option<EventId> {
        // `Uuid::try_parse` also takes 32 bare digits, braces and a URN: a bare OTel trace id
        // must not pass for the id of one event (docs/wire.md).
        let hyphenated = text.len() == 36 && text.as_bytes()[8] == b'-';
        let uuid = Uuid::try_parse(text).ok().filter(|u| hyphenated && !u.is_nil())?;
        Some(EventId(uuid))
    }

    /// The same id for the same record, whenever it is sent again (UUIDv8): 48 bits of the
    /// record's own start, which keep the index in order, and 74 bits of the SHA-1 of `identity`.
    pub fn of_record(start_ms: i64, identity: &[u8]) -> EventId {
        let mut bytes = *Uuid::new_v5(&RECORDS, identity).as_bytes();
        bytes[..6].copy_from_slice(&start_ms.max(0).to_be_bytes()[2..]);
        EventId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// The same id for the same position under the same `Idempotency-Key` (UUIDv5).
    pub fn of_key(table: Table, key: &str, index: usize) -> EventId {
        let identity = format!("{}\0{index}\0{key}", table.name());
        EventId(Uuid::new_v5(&KEYS, identity.as_bytes()))
    }

    /// When an id made by [`EventId::new`] was made, Unix milliseconds. `None` for any other text.
    pub fn made_ms(text: &str) -> Option<i64> {
        let uuid = Uuid::try_parse(text).ok().filter(|uuid| uuid.get_version_num() == 7)?;
        let mut ms = [0; 8];
        ms[2..].copy_from_slice(&uuid.as_bytes()[..6]);
        Some(i64::from_be_bytes(ms))
    }

    /// The 16 bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        *self.0.as_bytes()
    }

    /// The 36 characters, written into `buffer`.
    pub fn encode(self, buffer: &mut [u8; 36]) -> &str {
        self.0.hyphenated().encode_lower(buffer)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// Name space of [`EventId::of_record`]. Made once at random, never to change.
const RECORDS: Uuid = Uuid::from_u128(0x6f1e_2f0b_5a53_4d0e_9d5c_0c8b_7d1a_44e1);
/// Name space of [`EventId::of_key`]. Likewise.
const KEYS: Uuid = Uuid::from_u128(0x0b7c_53a4_8f0f_4b3b_8a6d_39a1_5e0d_c2f7);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_is_a_hyphenated_uuid_and_nothing_else() {
        let good = "0192f0c1-7d4e-7abc-8def-0123456789ab";
        assert_eq!(EventId::parse(good).unwrap().to_string(), good);
        assert_eq!(EventId::parse(&good.to_uppercase()).unwrap().to_string(), good);
        for bad in [
            "",
            "0192f0c17d4e7abc8def0123456789ab",
            "{0192f0c1-7d4e-7abc-8def-0123456789ab}",
            "urn:uuid:0192f0c1-7d4e-7abc-8def-0123456789ab",
            "00000000-0000-0000-0000-000000000000",
            "0192f0c1-7d4e-7abc-8def-0123456789ag",
            "0192f0c1-7d4e-7abc-8def-0123456789a\u{e9}",
        ] {
            assert_eq!(EventId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn ids_made_here_are_ordered_by_time_and_ids_of_records_are_stable() {
        let ids: Vec<String> = (1..50).map(|ms| EventId::new(ms * 1000).to_string()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
        assert_eq!(EventId::made_ms(&ids[6]), Some(7000));
        assert_eq!(EventId::made_ms(&EventId::of_record(7, b"").to_string()), None);
        let record = EventId::of_record(1_795_000_000_123, b"llm_traces\0a\0b");
        assert_eq!(record, EventId::of_record(1_795_000_000_123, b"llm_traces\0a\0b"));
        assert_ne!(record, EventId::of_record(1_795_000_000_123, b"llm_traces\0a\0c"));
        assert_eq!(record.to_string().as_bytes()[14], b'8');
        assert!(EventId::parse(&record.to_string()).is_some());
        assert_ne!(EventId::of_key(Table::LlmTraces, "k", 0), EventId::of_key(Table::LlmTraces, "k", 1));
        assert_ne!(EventId::of_key(Table::LlmTraces, "k", 0), EventId::of_key(Table::CustomEvents, "k", 0));
    }
}
