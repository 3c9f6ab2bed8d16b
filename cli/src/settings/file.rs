//! Settings from a TOML file: every complaint names the line.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use toml::de::{DeTable, DeValue};

use super::catalogue::SETTINGS;
use super::given::Given;
use super::{Origin, find, nearest, rules, services, tables};

/// A larger file is no configuration.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Reads the file's settings, in the order of its lines.
pub(super) fn read(path: &Path) -> Result<Vec<Origin>> {
    let name = path.display();
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {name}"))?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {name}"))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        bail!("{name} is larger than 1 MiB: is it the right file?");
    }
    parse(&name.to_string(), &text)
}

/// Reads the settings out of the text of a file of this name.
pub(super) fn parse(name: &str, text: &str) -> Result<Vec<Origin>> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        let message = error.message().trim().replace('\n', ", ");
        let hint = match message.contains("duplicate key") {
            true => ": it is set further up, too; keep one",
            false => "",
        };
        anyhow::anyhow!("{name}:{line}: {message}{hint}")
    })?;
    let mut settings = Vec::new();
    for (key, value) in table.get_ref() {
        let start = key.span().start;
        let line = line_of(text, start);
        let Some(setting) = find(key.get_ref()) else {
            bail!("{name}:{line}: {}", unknown(key.get_ref()));
        };
        let placed = |(at, refusal): tables::Misplaced| {
            anyhow::anyhow!("{name}:{}: {refusal}", line_of(text, at))
        };
        let given = match tables_of(value.get_ref()) {
            Some(tables) if setting.name == rules::NAME => {
                Given::Rules(rules::of_tables(&tables).map_err(placed)?)
            }
            Some(tables) if setting.name == services::NAME => {
                Given::Services(services::of_tables(&tables).map_err(placed)?)
            }
            _ => given(value.get_ref()),
        };
        let place = format!("{name}:{line}: {} = {}", setting.name, given.shown());
        settings.push((
            start,
            Origin {
                setting,
                given,
                place,
            },
        ));
    }
    settings.sort_by_key(|(start, _)| *start);
    Ok(settings.into_iter().map(|(_, origin)| origin).collect())
}

fn unknown(key: &str) -> String {
    let best = nearest(key, SETTINGS.iter().map(|setting| setting.name)).unwrap_or_default();
    let key: String = key.chars().take(80).flat_map(char::escape_debug).collect();
    format!("unknown key `{key}`; the nearest that exists is `{best}`")
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// The tables of a list that has nothing else, each with its place in the file.
fn tables_of<'a>(value: &'a DeValue<'a>) -> Option<Vec<(usize, &'a DeTable<'a>)>> {
    let DeValue::Array(values) = value else {
        return None;
    };
    let tables = values.iter().map(|value| match value.get_ref() {
        DeValue::Table(table) => Some((value.span().start, table)),
        _ => None,
    });
    tables.collect()
}

pub(super) fn given(value: &DeValue<'_>) -> Given {
    match value {
        DeValue::String(text) => Given::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Given::Other("a number beyond all limits"), Given::Integer),
        DeValue::Array(values) => {
            let texts: Option<Vec<String>> = values
                .iter()
                .map(|value| value.get_ref().as_str().map(String::from))
                .collect();
            texts.map_or(
                Given::Other("a list of other things than text"),
                Given::List,
            )
        }
        DeValue::Float(_) => Given::Other("a number with a fraction"),
        DeValue::Boolean(truth) => Given::Truth(*truth),
        DeValue::Datetime(_) => Given::Other("a date"),
        DeValue::Table(_) => Given::Other("a table"),
    }
}
