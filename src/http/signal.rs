//! Whether an OTLP/JSON body is of the signal of its path, by the names at its top level. Pure.

use std::fmt;

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::otlp::Signal;

/// Whether a JSON object has names, and none of them is that of the signal: another signal's, or native JSON. To OTLP
/// that is an empty request, since unknown names are ignored; its sender meant something else. Exporters write one name, and
/// it is the first: nearly nothing of the body is read then.
pub(super) fn is_of_another(body: &[u8], signal: Signal) -> bool {
    let mut names = Names { own: name(signal), others: false };
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    deserializer.deserialize_map(&mut names).is_ok() && deserializer.end().is_ok() && names.others
}

fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "resourceSpans",
        Signal::Logs => "resourceLogs",
        Signal::Metrics => "resourceMetrics",
    }
}

/// No OTLP either, but refused with a reason of its own.
const SNAKE_CASE: [&str; 3] = ["resource_spans", "resource_logs", "resource_metrics"];

struct Names {
    own: &'static str,
    others: bool,
}

impl<'de> Visitor<'de> for &mut Names {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == self.own || SNAKE_CASE.contains(&key.as_str()) {
                return Err(A::Error::custom("enough was seen"));
            }
            // Null is absence.
            self.others |= map.next_value::<Option<IgnoredAny>>()?.is_some();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_other_names_alone_is_of_another() {
        for (body, of_another) in [
            (r#"{"resourceLogs":[]}"#, true),
            (r#"{"x":[{}],"resourceMetrics":[{}],"resourceLogs":[]}"#, true),
            (r#"{"resourceLogs":[],"resourceSpans":[]}"#, false),
            (r#"{"resourceSpans":[],"resourceLogs":[]}"#, false),
            (r#"{"resourceLogs":null}"#, false),
            (r#"{"resource_logs":[]}"#, false),
            (r#"{"model":"m"}"#, true),
            ("{}", false),
            ("[]", false),
            ("", false),
            (r#"{"resourceLogs":[]"#, false),
            (r#"{"resourceLogs":[]} {}"#, false),
        ] {
            assert_eq!(is_of_another(body.as_bytes(), Signal::Traces), of_another, "{body}");
        }
        assert!(is_of_another(br#"{"resourceSpans":[]}"#, Signal::Logs));
        assert!(!is_of_another(br#"{"resourceMetrics":[]}"#, Signal::Metrics));
    }
}
