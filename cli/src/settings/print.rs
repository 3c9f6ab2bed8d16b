//! The settings in force as a TOML file.

use super::Settings;
use super::catalogue::{SETTINGS, Setting, Shown};

/// Every setting with its help; those that follow from others stand in comments.
pub(super) fn to_toml(settings: &Settings) -> String {
    let mut file = String::new();
    for setting in &SETTINGS {
        file.push_str(&format!("# {}\n", setting.help));
        match (setting.show)(settings) {
            None => file.push_str(&format!("# {} =\n", setting.name)),
            // Set, it would be in the way of a table [[…]] further down.
            Some(Shown::Tables(all)) if all.is_empty() => {
                file.push_str(&format!("# {} = []\n", setting.name));
            }
            Some(value) => file.push_str(&format!("{} = {}\n", setting.name, literal(value))),
        }
    }
    file
}

/// A setting's value as the file has it, on one line.
pub(crate) fn value(setting: &Setting, settings: &Settings) -> String {
    let shown = (setting.show)(settings).map_or_else(|| "unset".into(), literal);
    let lines: Vec<&str> = shown.lines().map(str::trim).collect();
    lines.join(" ")
}

/// A value as TOML writes it.
fn literal(value: Shown) -> String {
    let value = match value {
        Shown::Number(number) => return number.to_string(),
        Shown::Text(text) => toml::Value::String(text),
        Shown::List(all) => toml::Value::Array(all.into_iter().map(toml::Value::String).collect()),
        Shown::Tables(all) => return tables(all),
    };
    value.to_string()
}

/// Tables on a line each: as `[[…]]` they would have to stand behind all other settings.
fn tables(all: Vec<Vec<(&'static str, String)>>) -> String {
    let table = |keys: Vec<(&'static str, String)>| {
        let keys = keys.into_iter().map(|(key, value)| {
            let value = toml::Value::String(value);
            format!("{key} = {value}")
        });
        format!("    {{ {} }},\n", keys.collect::<Vec<_>>().join(", "))
    };
    let lines: String = all.into_iter().map(table).collect();
    match lines.is_empty() {
        true => "[]".into(),
        false => format!("[\n{lines}]"),
    }
}
