//! That docs/openapi.json has the paths, names and answers of the code, and no others.

use std::collections::BTreeSet;

use serde_json::Value;

use super::docs::{lists, page};
use super::source::words;
use crate::support::schema::Schemas;

fn file() -> Value {
    serde_json::from_str(&page("docs/openapi.json")).unwrap()
}

#[test]
fn the_openapi_file_is_of_this_version_and_no_reference_leads_nowhere() {
    let file = file();
    assert_eq!(file["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut used = BTreeSet::new();
    each_object(&file, &mut |object| {
        if let Some(to) = object["$ref"].as_str() {
            assert!(file.pointer(&to[1..]).is_some(), "there is no {to}");
            used.insert(to.to_owned());
        }
    });
    for kind in ["schemas", "responses", "parameters", "headers"] {
        for name in keys(&file["components"][kind]) {
            assert!(used.contains(&format!("#/components/{kind}/{name}")), "nobody uses {name} of {kind}");
        }
    }
}

#[test]
fn the_openapi_file_has_every_path_that_is_not_otlp_alone() {
    let routes = page("src/http/routes.rs");
    let places = routes.split("\nfn place(").nth(1).unwrap().split("\n}").next().unwrap();
    let arms = places.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" => "));
    let native: BTreeSet<&str> = arms.filter(|(_, place)| !place.contains("Otlp")).map(|(path, _)| path).collect();
    assert!(native.len() > 4, "these are not the paths: {native:?}");
    assert_eq!(keys(&file()["paths"]).collect::<BTreeSet<_>>(), native);
}

#[test]
fn the_openapi_file_has_every_name_of_every_field_in_order_and_no_other() {
    let code = page("src/wire/native/names.rs");
    let code = code.split("#[cfg(test)]").next().unwrap();
    let file = file();
    for (table, schema) in
        [("TRACES", "Trace"), ("EVENTS", "Event"), ("ERRORS", "ErrorItem"), ("USAGE", "Usage"), ("ERROR", "Cause")]
    {
        let wanted: BTreeSet<Vec<&str>> = names_of_table(code, table).into_iter().collect();
        let found: BTreeSet<Vec<&str>> = names_in_file(&file, schema).into_iter().collect();
        assert!(wanted.len() > 2, "these are not the names of {table}: {wanted:?}");
        let differ: Vec<_> = wanted.symmetric_difference(&found).collect();
        assert!(differ.is_empty(), "{schema} and {table} do not have the same names: {differ:?}");
    }
}

#[test]
fn the_openapi_file_has_every_status_and_code_of_an_answer() {
    let fault = page("src/http/fault.rs");
    let codes = fault.split("\nfn code(").nth(1).unwrap().split("\n}").next().unwrap();
    let codes: Vec<(&str, &str)> = codes
        .lines()
        .filter_map(|line| line.trim().split_once(" => \""))
        .map(|(status, word)| (status, word.trim_end_matches("\",")))
        .filter(|(status, _)| *status != "_")
        .collect();
    assert!(codes.len() > 10, "these are not the codes: {codes:?}");
    let file = file();
    let listed = file["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]["enum"].clone();
    let listed: BTreeSet<&str> = listed.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(listed, codes.iter().map(|(_, word)| *word).chain(["invalid"]).collect());
    let responses = &file["components"]["responses"];
    for (status, word) in &codes {
        let described = responses[*status]["description"].as_str();
        assert!(
            described.is_some_and(|text| text.contains(&format!("{word}: "))),
            "the response {status}: {described:?}"
        );
    }
    for (path, operations) in file["paths"].as_object().unwrap() {
        for (method, operation) in
            operations.as_object().unwrap().iter().filter(|(method, _)| ["get", "post"].contains(&method.as_str()))
        {
            let mut wanted: BTreeSet<&str> = codes.iter().map(|(status, _)| *status).collect();
            // What both listeners have is never absent, and what needs no token never lacks it.
            let is_public = operation["security"].as_array().is_some_and(Vec::is_empty);
            wanted.retain(|status| match *status {
                "401" => !is_public,
                "404" => !["/health", "/v1/traces"].contains(&path.as_str()),
                _ => true,
            });
            wanted.insert(if method == "post" { "202" } else { "200" });
            if path == "/v1/traces" {
                wanted.insert("200");
            }
            assert_eq!(keys(&operation["responses"]).collect::<BTreeSet<_>>(), wanted, "{method} {path}");
        }
    }
}

/// The names of every line of a table, lines that tables share included.
fn names_of_table<'a>(code: &'a str, table: &str) -> Vec<Vec<&'a str>> {
    let body = code.split(&format!("const {table}: &[Line] = &[\n")).nth(1).unwrap().split("\n];").next().unwrap();
    let shared = body.lines().filter_map(|line| line.strip_prefix("    ")?.strip_suffix(','));
    let shared = shared.filter(|name| words(name).next() == Some(*name));
    let mut names = lists(body);
    for name in shared {
        let line = code.split(&format!("const {name}: Line = ")).nth(1).unwrap().split(";\n").next().unwrap();
        names.extend(lists(line));
    }
    names
}

/// The names of every field of a schema: `x-names`, else the one that it has.
fn names_in_file<'a>(file: &'a Value, schema: &str) -> Vec<Vec<&'a str>> {
    let schemas = Schemas { file };
    let fields = file["components"]["schemas"][schema]["properties"].as_object().unwrap();
    let names = fields.iter().map(move |(name, field)| {
        let named = if field["x-names"].is_null() { schemas.follow(field) } else { field };
        let Some(names) = named["x-names"].as_array() else { return vec![name.as_str()] };
        let names: Vec<&str> = names.iter().map(|name| name.as_str().unwrap()).collect();
        assert!(names.contains(&name.as_str()), "{schema}: {name} is none of {names:?}");
        names
    });
    names.collect()
}

fn keys(object: &Value) -> impl Iterator<Item = &str> {
    object.as_object().unwrap().keys().map(String::as_str)
}

fn each_object(value: &Value, each: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(fields) => {
            each(value);
            fields.values().for_each(|field| each_object(field, each));
        }
        Value::Array(items) => items.iter().for_each(|item| each_object(item, each)),
        _ => {}
    }
}
