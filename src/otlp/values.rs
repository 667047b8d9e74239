//! How OTLP/JSON writes values: ids in hex, 64-bit numbers also in strings, enums as numbers, null for absence.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::proto::{Any, AnyValue, KeyValueList, ValueList};
use crate::jsontext::{unescape, unquoted};

/// An id in hex. Anything else is no id, and the span says so when it is asked.
pub(super) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = text(deserializer)?;
    let digits: Option<Vec<u8>> = text.iter().map(|c| Some(char::from(*c).to_digit(16)? as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0).unwrap_or_default();
    Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// A string.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = Option::<Text<'de>>::deserialize(deserializer)?;
    Ok(text.map(|text| Bytes::from(text.0.into_owned())).unwrap_or_default())
}

/// A string, with U+FFFD for what cannot be stored.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let inner = unquoted(raw.get()).ok_or_else(|| D::Error::custom("expected a string"))?;
        Ok(Text(unescape(inner)))
    }
}

/// A whole number (nanoseconds, a count), as a number or a decimal string.
pub(super) fn whole<'de, T: NumberOfJson + Default, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(optional(deserializer)?.unwrap_or_default())
}

/// A number, as one or in a string, or null for none.
pub(super) fn optional<'de, T: NumberOfJson, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<Number<T>>::deserialize(deserializer)?.map(|number| number.0))
}

/// The number of an enum's value.
pub(super) fn enumeration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    let number = Option::<i32>::deserialize(deserializer)
        .map_err(|e| D::Error::custom(format_args!("{e} (enums are numbers in OTLP/JSON)")))?;
    Ok(number.unwrap_or_default())
}

/// Anything, or null for its default.
pub(super) fn or_default<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

impl<'de> Deserialize<'de> for AnyValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AnyValue, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Json<'a> {
            #[serde(borrow)]
            string_value: Option<Text<'a>>,
            bool_value: Option<bool>,
            int_value: Option<Number<i64>>,
            double_value: Option<Number<f64>>,
            array_value: Option<ValueList>,
            kvlist_value: Option<KeyValueList>,
        }
        let json = Json::deserialize(deserializer)?;
        let value = None
            .or(json.string_value.map(|text| Any::Text(text.0.into_owned().into())))
            .or(json.bool_value.map(Any::Flag))
            .or(json.int_value.map(|number| Any::Whole(number.0)))
            .or(json.double_value.map(|number| Any::Real(number.0)))
            .or(json.array_value.map(Any::List))
            .or(json.kvlist_value.map(Any::Map));
        Ok(AnyValue { value })
    }
}

/// A number, or the same in a string.
struct Number<T>(T);

impl<'de, T: NumberOfJson> Deserialize<'de> for Number<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number<T>, D::Error> {
        deserializer.deserialize_any(NumberVisitor(PhantomData)).map(Number)
    }
}

/// The numbers of OTLP/JSON, from each form that JSON gives them. `None` = out of range, or none.
pub(super) trait NumberOfJson: Sized {
    fn of_whole(number: i128) -> Option<Self>;
    fn of_real(number: f64) -> Option<Self>;
    fn of_text(text: &str) -> Option<Self>;
}

impl NumberOfJson for u64 {
    fn of_whole(number: i128) -> Option<u64> {
        number.try_into().ok()
    }
    fn of_real(number: f64) -> Option<u64> {
        (number.fract() == 0.0 && (0.0..WHOLE_REAL_MAX).contains(&number)).then_some(number as u64)
    }
    fn of_text(text: &str) -> Option<u64> {
        text.parse().ok()
    }
}

impl NumberOfJson for u32 {
    fn of_whole(number: i128) -> Option<u32> {
        number.try_into().ok()
    }
    fn of_real(number: f64) -> Option<u32> {
        u64::of_real(number)?.try_into().ok()
    }
    fn of_text(text: &str) -> Option<u32> {
        text.parse().ok()
    }
}

impl NumberOfJson for i64 {
    fn of_whole(number: i128) -> Option<i64> {
        number.try_into().ok()
    }
    fn of_real(number: f64) -> Option<i64> {
        (number.fract() == 0.0 && number.abs() < WHOLE_REAL_MAX).then_some(number as i64)
    }
    fn of_text(text: &str) -> Option<i64> {
        text.parse().ok()
    }
}

impl NumberOfJson for f64 {
    fn of_whole(number: i128) -> Option<f64> {
        Some(number as f64)
    }
    fn of_real(number: f64) -> Option<f64> {
        Some(number)
    }
    fn of_text(text: &str) -> Option<f64> {
        // Rust reads `NaN`, `Infinity` and `-Infinity` as protobuf's JSON writes them.
        text.parse().ok()
    }
}

/// 2^63: below it, a whole `f64` is an `i64`.
const WHOLE_REAL_MAX: f64 = 9_223_372_036_854_775_808.0;

struct NumberVisitor<T>(PhantomData<T>);

impl<T: NumberOfJson> Visitor<'_> for NumberVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number in range, or one in a string")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        T::of_whole(number.into()).ok_or_else(|| E::custom(format_args!("{number} is out of range")))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        T::of_whole(number.into()).ok_or_else(|| E::custom(format_args!("{number} is out of range")))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<T, E> {
        T::of_real(number).ok_or_else(|| E::custom(format_args!("{number} is no whole number in range")))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        T::of_text(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::super::proto::Span;
    use super::*;

    fn span(members: &str) -> Result<Span, serde_json::Error> {
        serde_json::from_str(&format!("{{{members}}}"))
    }

    #[test]
    fn numbers_come_as_numbers_or_strings_and_null_is_absence() {
        let read = span(
            r#""startTimeUnixNano":"1795451285468000000","endTimeUnixNano":1795451285468000001,"name":null,
               "attributes":[{"key":"a","value":{"intValue":"-7"}},{"key":"b","value":{"intValue":8}},
               {"key":"c","value":{"doubleValue":"NaN"}},{"key":"d","value":{"doubleValue":1}},
               {"key":"e","value":{"doubleValue":"-Infinity"}},{"key":"f","value":{"intValue":1e3}},
               {"key":"g","value":null},{"key":"h","value":{"bytesValue":"AA=="}},{"key":"i","value":{"boolValue":false}}],
               "events":null,"status":null,"parentSpanId":null,"kind":"SPAN_KIND_CLIENT","newer":[{"x":1}]"#,
        )
        .unwrap();
        assert_eq!((read.start_ns, read.end_ns), (1_795_451_285_468_000_000, 1_795_451_285_468_000_001));
        let values: Vec<Option<Any>> = read.attributes.into_iter().map(|a| a.value.and_then(|v| v.value)).collect();
        assert_eq!(values[0], Some(Any::Whole(-7)));
        assert_eq!(values[1], Some(Any::Whole(8)));
        assert!(matches!(values[2], Some(Any::Real(number)) if number.is_nan()));
        assert_eq!(values[3], Some(Any::Real(1.0)));
        assert_eq!(values[4], Some(Any::Real(f64::NEG_INFINITY)));
        assert_eq!(values[5], Some(Any::Whole(1000)));
        assert_eq!(values[6..], [None, None, Some(Any::Flag(false))]);
    }

    #[test]
    fn ids_are_hex_in_either_case_and_what_is_not_is_no_id() {
        assert_eq!(&span(r#""traceId":"00FFab""#).unwrap().trace_id[..], [0, 255, 171]);
        for bad in ["abc", "zz", "AAAAAAAAAAAAAAAAAAAAAA==", ""] {
            assert_eq!(span(&format!(r#""spanId":"{bad}""#)).unwrap().span_id, "", "{bad}");
        }
    }

    #[test]
    fn names_of_enums_and_numbers_out_of_range_are_refused_with_a_reason() {
        let reason = span(r#""status":{"code":"STATUS_CODE_ERROR"}"#).unwrap_err().to_string();
        assert!(reason.contains("enums are numbers"), "{reason}");
        assert_eq!(span(r#""status":{"code":2}"#).unwrap().status.unwrap().code, 2);
        for bad in ["-1", "1.5", "\"1.5\"", "18446744073709551616", "\"x\"", "true", "[]"] {
            assert!(span(&format!(r#""startTimeUnixNano":{bad}"#)).is_err(), "{bad}");
        }
        for bad in ["9223372036854775808", "\"\"", "1e30", "{}"] {
            assert!(span(&format!(r#""attributes":[{{"value":{{"intValue":{bad}}}}}]"#)).is_err(), "{bad}");
        }
    }
}
