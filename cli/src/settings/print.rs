//! The settings in force as a TOML file.

use super::Settings;
use super::catalogue::{SETTINGS, Shown};

/// Every setting with its help; those that follow from others stand in comments.
pub(super) fn to_toml(settings: &Settings) -> String {
    let mut file = String::new();
    for setting in &SETTINGS {
        file.push_str(&format!("# {}\n", setting.help));
        match (setting.show)(settings) {
            None => file.push_str(&format!("# {} =\n", setting.name)),
            Some(value) => file.push_str(&format!("{} = {}\n", setting.name, literal(value))),
        }
    }
    file
}

/// A value as TOML writes it.
fn literal(value: Shown) -> String {
    let value = match value {
        Shown::Number(number) => return number.to_string(),
        Shown::Text(text) => toml::Value::String(text),
        Shown::List(all) => toml::Value::Array(all.into_iter().map(toml::Value::String).collect()),
    };
    value.to_string()
}
