//! A table: the answers of several targets, merged by their labels.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use super::{Drawing, colour, nothing, text, unit};
use crate::boards::model::{Property, word};

/// A row by its first label.
type Rows = BTreeMap<String, BTreeMap<String, Cell>>;

enum Cell {
    Word(String),
    Number(f64),
}

pub(super) fn draw(drawing: &Drawing) -> Result<String> {
    let rows = merged(drawing)?;
    if rows.is_empty() {
        return Ok(nothing());
    }
    let steps = &drawing.panel.transformations;
    let organize = steps.iter().find(|it| it.id == "organize");
    let organize = organize.map_or(&Value::Null, |it| &it.options);
    let renamed = |column: &str| organize["renameByName"][column].as_str().map(String::from);
    let mut columns: Vec<String> = Vec::new();
    for column in rows.values().flat_map(BTreeMap::keys) {
        let hidden = organize["excludeByName"][column] == true;
        if !hidden && !columns.contains(column) {
            columns.push(column.clone());
        }
    }
    let place = |column: &String| {
        let index = organize["indexByName"][column].as_u64();
        (index.unwrap_or(u64::MAX), column.clone())
    };
    columns.sort_by_key(place);
    let mut html = String::from("<table><tr>");
    for column in &columns {
        let name = renamed(column).unwrap_or_else(|| column.clone());
        html += &format!("<th>{}</th>", text(&name));
    }
    for row in rows.values() {
        html += "</tr><tr>";
        for column in &columns {
            let name = renamed(column).unwrap_or_else(|| column.clone());
            html += &cell(drawing, &name, row.get(column));
        }
    }
    Ok(html + "</tr></table>")
}

fn merged(drawing: &Drawing) -> Result<Rows> {
    let mut rows = Rows::new();
    for target in &drawing.panel.targets {
        for series in drawing.prometheus.instant(&drawing.filled(&target.expr))? {
            let Some(key) = series.labels.get("node") else {
                continue;
            };
            let row = rows.entry(key.clone()).or_default();
            for (label, value) in &series.labels {
                row.insert(label.clone(), Cell::Word(value.clone()));
            }
            if let Some(number) = series.numbers().next() {
                row.insert(format!("Value #{}", target.ref_id), Cell::Number(number));
            }
        }
    }
    Ok(rows)
}

fn cell(drawing: &Drawing, column: &str, cell: Option<&Cell>) -> String {
    let config = &drawing.panel.field_config;
    let overrides = config.overrides.iter();
    let own: Vec<&Property> = overrides
        .filter(|it| it.matcher.options == column)
        .flat_map(|it| &it.properties)
        .collect();
    let property = |id: &str| own.iter().find(|it| it.id == id).map(|it| &it.value);
    match cell {
        None => "<td></td>".into(),
        Some(Cell::Word(value)) => format!("<td>{}</td>", text(value)),
        Some(Cell::Number(value)) => {
            let mappings = property("mappings").and_then(Value::as_array);
            if let Some((word, tint)) = mappings.and_then(|it| word(it, *value)) {
                return format!("<td style='color:{}'>{word}</td>", colour(tint));
            }
            let name = property("unit").and_then(Value::as_str);
            let name = name.unwrap_or(&config.defaults.unit);
            format!("<td>{}</td>", unit::format(name, *value))
        }
    }
}
