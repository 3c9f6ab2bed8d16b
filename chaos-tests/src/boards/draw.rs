//! A board as a page of HTML with SVG, as near to Grafana as it need be.

mod chart;
mod few;
mod heatmap;
mod states;
mod table;
mod unit;

use std::fmt::Write;

use anyhow::{Context, Result};

use super::expression::filled;
use super::model::{Board, Panel};
use super::prometheus::Prometheus;
use crate::live::prometheus::Series;

/// Width of a column and height of a row, and what is free between two panels.
const COLUMN: u32 = 60;
const ROW: u32 = 32;
const GAP: u32 = 6;
/// Height of the board's heading, and of a panel's.
const HEADING: u32 = 40;
const TITLE: u32 = 24;

const STYLE: &str = "\
body{margin:0;background:#f4f5f5;font:12px 'DejaVu Sans',Arial,sans-serif;color:#24292e}\
h1{font-size:17px;margin:0;padding:10px 12px;height:20px}h1 small{font-weight:normal;color:#667}\
.panel{position:absolute;background:#fff;border:1px solid #d8dadf;border-radius:2px;\
overflow:hidden}\
.panel h2{font-size:12px;margin:0;padding:5px 8px;height:14px;overflow:hidden;white-space:nowrap}\
.legend{position:absolute;left:8px;right:8px;bottom:3px;overflow:hidden;font-size:10.5px;\
line-height:14px}.legend span{margin-right:10px;white-space:nowrap}\
.legend i{display:inline-block;width:10px;height:3px;margin-right:4px;vertical-align:middle}\
table{border-collapse:collapse;width:100%;font-size:11.5px}th{text-align:left;color:#3871dc}\
td,th{padding:5px 8px;border-bottom:1px solid #eceef0;white-space:nowrap}\
.few{display:flex;height:100%;align-items:stretch}\
.few div{flex:1;display:flex;flex-direction:column;justify-content:center;align-items:center}\
.few b{font-size:26px}.none{color:#889;text-align:center;padding-top:30px}\
svg text{font-size:10.5px;fill:#556}";

/// What a panel is drawn with.
struct Drawing<'a> {
    panel: &'a Panel,
    prometheus: &'a Prometheus,
    cluster: &'a str,
    scrape: u64,
    /// Pixels inside, below its title.
    width: u32,
    height: u32,
}

/// The page and its size in pixels.
pub(super) fn page(
    board: &Board,
    prometheus: &Prometheus,
    cluster: &str,
    scrape: u64,
) -> Result<(String, u32, u32)> {
    let ends = board.panels.iter().map(|it| it.grid_pos.y + it.grid_pos.h);
    let height = HEADING + ends.max().unwrap_or(0) * ROW + GAP;
    let width = 24 * COLUMN + GAP;
    let mut page = format!(
        "<!doctype html><meta charset=utf-8><style>{STYLE}</style><h1>{} <small>{}</small></h1>\n",
        text(&board.title),
        text(&board.description)
    );
    for panel in &board.panels {
        let at = panel.grid_pos;
        let (w, h) = (at.w * COLUMN - GAP, at.h * ROW - GAP);
        let drawing = Drawing {
            panel,
            prometheus,
            cluster,
            scrape,
            width: w - 2,
            height: h - TITLE - 2,
        };
        let inside = drawing
            .draw()
            .with_context(|| format!("{}: {}", board.title, panel.title))?;
        let (x, y) = (at.x * COLUMN + GAP, HEADING + at.y * ROW);
        let title = text(&panel.title);
        let _ = writeln!(
            page,
            "<div class=panel style='left:{x}px;top:{y}px;width:{w}px;height:{h}px'>\
             <h2>{title}</h2>{inside}</div>"
        );
    }
    Ok((page, width, height))
}

impl Drawing<'_> {
    fn draw(&self) -> Result<String> {
        match self.panel.kind.as_str() {
            "timeseries" => chart::draw(self),
            "state-timeline" => states::draw(self),
            "heatmap" => heatmap::draw(self),
            "table" => table::draw(self),
            "bargauge" => few::bars(self),
            _ => few::numbers(self),
        }
    }

    fn filled(&self, expression: &str) -> String {
        let rate = (4 * self.scrape).max(self.prometheus.step + self.scrape);
        filled(expression, self.cluster, rate)
    }

    /// All series of all targets over time, with their names.
    fn lines(&self) -> Result<Vec<(String, Vec<Option<f64>>)>> {
        let mut found = Vec::new();
        for target in &self.panel.targets {
            for (series, line) in self.prometheus.range(&self.filled(&target.expr))? {
                if line.iter().any(Option::is_some) {
                    found.push((name(&target.legend_format, &series), line));
                }
            }
        }
        Ok(found)
    }

    /// All series of all targets at the end, with their names.
    fn numbers(&self) -> Result<Vec<(String, f64)>> {
        let mut found = Vec::new();
        for target in &self.panel.targets {
            for series in self.prometheus.instant(&self.filled(&target.expr))? {
                let number = series.numbers().next();
                found.extend(number.map(|it| (name(&target.legend_format, &series), it)));
            }
        }
        Ok(found)
    }

    /// The times to write below an axis: where, from 0 to 1, and what.
    fn times(&self) -> Vec<(f64, String)> {
        let (from, to) = (self.prometheus.from, self.prometheus.to);
        let steps = [
            15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0,
        ];
        let wide = f64::from(self.width) / 75.0;
        let step = steps.into_iter().find(|it| (to - from) / it <= wide);
        let step = step.unwrap_or(14400.0);
        let first = (from / step).ceil() as u64;
        let last = (to / step) as u64;
        let times = (first..=last).map(|number| number as f64 * step);
        times
            .map(|time| {
                let second = time as u64 % 86400;
                let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
                let written = match s {
                    0 => format!("{h:02}:{m:02}"),
                    _ => format!("{h:02}:{m:02}:{s:02}"),
                };
                ((time - from) / (to - from), written)
            })
            .collect()
    }
}

fn nothing() -> String {
    "<div class=none>No data: it did not happen in this time</div>".into()
}

fn name(legend: &str, series: &Series) -> String {
    let mut name = legend.to_string();
    for (label, value) in &series.labels {
        name = name.replace(&format!("{{{{{label}}}}}"), value);
    }
    name
}

/// Text as HTML.
fn text(raw: &str) -> String {
    raw.replace('&', "&amp;").replace('<', "&lt;")
}

/// Grafana's names of colours.
fn colour(name: &str) -> &str {
    match name {
        "green" => "#56a64b",
        "red" => "#e02f44",
        "orange" => "#ff780a",
        "blue" => "#3274d9",
        "yellow" => "#f2cc0c",
        other => other,
    }
}

/// The colour of the series of this number.
fn nth(number: usize) -> &'static str {
    const COLOURS: [&str; 10] = [
        "#56a64b", "#f2a90c", "#3274d9", "#e0226e", "#8f3bb8", "#00998c", "#ff780a", "#5f6f86",
        "#a3611c", "#7ac4e6",
    ];
    COLOURS[number % COLOURS.len()]
}
