//! That the NixOS module has the program's variables.

use std::fs;

use openclaw_trace::config::VARIABLES;

use super::source::root;

#[test]
fn the_nixos_module_has_an_option_for_every_variable_in_order_and_in_the_same_words() {
    let text = fs::read_to_string(root().join("nix/variables.nix")).unwrap();
    let options: Vec<Vec<&str>> = text.split("\n  (").skip(1).map(words_of).collect();
    let found: Vec<&[&str]> = options.iter().map(Vec::as_slice).collect();
    let wanted: Vec<[&str; 4]> = VARIABLES
        .iter()
        .map(|variable| {
            [if variable.secret { "secret" } else { "variable" }, variable.name, variable.default, variable.meaning]
        })
        .collect();
    assert_eq!(found, wanted);
}

/// Of `variable "NAME" "option" (a type) "default" "meaning"`: all but the option and its type.
fn words_of(entry: &str) -> Vec<&str> {
    let kind = entry.split_whitespace().next().unwrap();
    let strings: Vec<&str> = entry.split('"').skip(1).step_by(2).collect();
    let last = strings.len() - 1;
    vec![kind, strings[0], strings[last - 1], strings[last]]
}
