//! A board as Grafana keeps it: the part of its JSON that zmesh uses.

use serde::Deserialize;
use serde_json::Value;

/// A board.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Board {
    /// Its name in addresses.
    pub uid: String,
    /// Its heading.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// The version of Grafana's format.
    pub schema_version: u32,
    /// What it shows.
    pub panels: Vec<Panel>,
    /// What people choose by.
    pub templating: Templating,
}

/// What people choose by.
#[derive(Debug, Deserialize)]
pub struct Templating {
    /// Each has a field above the panels.
    pub list: Vec<Variable>,
}

/// Something to choose by.
#[derive(Debug, Deserialize)]
pub struct Variable {
    /// `$name` in an expression.
    pub name: String,
    /// `query` takes its values from Prometheus.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A panel.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Panel {
    /// Unique on its board.
    pub id: u32,
    /// `timeseries`, `stat`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Its heading.
    pub title: String,
    /// What it means and what to do.
    #[serde(default)]
    pub description: String,
    /// Where it stands, in a grid of 24 columns.
    pub grid_pos: GridPos,
    /// Units, limits, colours.
    pub field_config: FieldConfig,
    /// What it asks.
    pub targets: Vec<Target>,
    /// How a table is put together.
    #[serde(default)]
    pub transformations: Vec<Transformation>,
}

/// A place on a board.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct GridPos {
    /// Columns from the left.
    pub x: u32,
    /// Rows from the top.
    pub y: u32,
    /// Columns.
    pub w: u32,
    /// Rows.
    pub h: u32,
}

/// How numbers are shown.
#[derive(Debug, Deserialize)]
pub struct FieldConfig {
    /// For all.
    pub defaults: Field,
    /// For some columns of a table.
    #[serde(default)]
    pub overrides: Vec<Override>,
}

/// How a number is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// Grafana's name of its unit.
    #[serde(default)]
    pub unit: String,
    /// Where an axis or a gauge begins.
    pub min: Option<f64>,
    /// Where a gauge ends.
    pub max: Option<f64>,
    /// Colours from some value on.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// Words for values.
    #[serde(default)]
    pub mappings: Vec<Value>,
    /// What stands there without a number.
    pub no_value: Option<String>,
    /// What only this type of panel knows.
    #[serde(default)]
    pub custom: Value,
}

/// Colours from some value on.
#[derive(Debug, Default, Deserialize)]
pub struct Thresholds {
    /// In rising order.
    pub steps: Vec<Step>,
}

/// A colour from some value on.
#[derive(Debug, Deserialize)]
pub struct Step {
    /// Grafana's name of the colour.
    pub color: String,
    /// From where on; the first has none.
    pub value: Option<f64>,
}

/// How one column is shown.
#[derive(Debug, Deserialize)]
pub struct Override {
    /// Which.
    pub matcher: Matcher,
    /// What is other there.
    pub properties: Vec<Property>,
}

/// Which column.
#[derive(Debug, Deserialize)]
pub struct Matcher {
    /// Its name.
    pub options: String,
}

/// What is other there.
#[derive(Debug, Deserialize)]
pub struct Property {
    /// `unit`, `mappings`, …
    pub id: String,
    /// Its value.
    pub value: Value,
}

/// A question to Prometheus.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// `A`, `B`, …
    pub ref_id: String,
    /// In PromQL, with Grafana's variables.
    pub expr: String,
    /// The name of a series, with `{{label}}`.
    #[serde(default)]
    pub legend_format: String,
}

/// One step that puts a table together.
#[derive(Debug, Deserialize)]
pub struct Transformation {
    /// `merge` or `organize`.
    pub id: String,
    /// How.
    #[serde(default)]
    pub options: Value,
}

impl Field {
    /// The colour of a value.
    pub fn color(&self, value: f64) -> &str {
        let reached = |step: &&Step| step.value.is_none_or(|from| value >= from);
        let step = self.thresholds.steps.iter().rfind(reached);
        step.map_or("blue", |step| &step.color)
    }

    /// The word and the colour for a value, if it has one.
    pub fn word(&self, value: f64) -> Option<(&str, &str)> {
        word(&self.mappings, value)
    }
}

/// The word and the colour for a value in a list of mappings.
pub fn word(mappings: &[Value], value: f64) -> Option<(&str, &str)> {
    let key = value.to_string();
    let found = mappings.iter().find_map(|it| it["options"].get(&key))?;
    Some((found["text"].as_str()?, found["color"].as_str()?))
}
