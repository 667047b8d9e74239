//! A small reader of the schemas in docs/openapi.json and docs/push.schema.json, stricter than JSON Schema: a field that is
//! not listed is a fault unless `additionalProperties` says otherwise.

use serde_json::{Map, Value};

/// The schemas of a file.
pub struct Schemas<'a> {
    pub file: &'a Value,
}

impl<'a> Schemas<'a> {
    /// What of the value the schema does not allow.
    pub fn faults(&self, schema: &'a Value, value: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        self.check(schema, value, "", &mut faults);
        faults
    }

    /// What `#/…` stands for.
    pub fn follow(&self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(to) => self.file.pointer(&to[1..]).unwrap_or_else(|| panic!("there is no {to}")),
            None => value,
        }
    }

    fn check(&self, schema: &'a Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        let schema = self.follow(schema);
        if schema == &Value::Bool(true) {
            return;
        }
        assert!(schema.is_object(), "{at}: there is no such schema");
        if let Some(any) = schema["anyOf"].as_array() {
            let each = any.iter().map(|one| {
                let mut faults = Vec::new();
                self.check(one, value, at, &mut faults);
                faults
            });
            let each: Vec<Vec<String>> = each.collect();
            if each.iter().all(|faults| !faults.is_empty()) {
                faults.push(format!("{at}: {value} is none of {each:?}"));
            }
            return;
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            list => list.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
        };
        if !types.is_empty() && !types.iter().any(|name| is_of(value, name)) {
            faults.push(format!("{at}: {value} is none of {types:?}"));
        }
        if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
            faults.push(format!("{at}: {value} is none of {}", schema["enum"]));
        }
        if schema.get("const").is_some_and(|only| only != value) {
            faults.push(format!("{at}: {value} is not {}", schema["const"]));
        }
        let least = |name: &str| schema[name].as_u64().unwrap_or(0) as usize;
        if let Value::String(text) = value
            && (text.len() < least("minLength")
                || schema["maxLength"].as_u64().is_some_and(|most| text.len() as u64 > most))
        {
            faults.push(format!("{at}: {text:?} is too short or too long"));
        }
        if schema["minimum"].as_i64().is_some_and(|least| value.as_i64().is_some_and(|value| value < least)) {
            faults.push(format!("{at}: {value} is too small"));
        }
        if let Value::Array(items) = value {
            for item in items {
                self.check(&schema["items"], item, &format!("{at}[]"), faults);
            }
        }
        if let Value::Object(fields) = value {
            self.check_fields(schema, fields, at, faults);
        }
    }

    fn check_fields(&self, schema: &'a Value, fields: &Map<String, Value>, at: &str, faults: &mut Vec<String>) {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                faults.push(format!("{at}: {name} is missing"));
            }
        }
        for (name, value) in fields {
            let known = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
            match known {
                Some(known) => self.check(known, value, &format!("{at}.{name}"), faults),
                None => faults.push(format!("{at}: {name} is not listed")),
            }
        }
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other} is no type"),
    }
}
