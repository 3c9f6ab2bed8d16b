//! Lines, areas and bars over time.

use std::fmt::Write;

use anyhow::Result;

use super::{Drawing, nothing, nth, text, unit};

/// Left of the plot stand the values, below it the times, and below those the names.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 6.0;
const TIMES: f64 = 16.0;
const LEGEND: f64 = 34.0;

/// Where the plot is, and what its height stands for.
pub(super) struct Frame {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

type Line = Vec<Option<f64>>;

pub(super) fn draw(drawing: &Drawing) -> Result<String> {
    let lines = drawing.lines()?;
    if lines.is_empty() {
        return Ok(nothing());
    }
    let field = &drawing.panel.field_config.defaults;
    let custom = &field.custom;
    let stacked = custom["stacking"]["mode"] == "normal";
    let bars = custom["drawStyle"] == "bars";
    let mut tops = Vec::new();
    let mut below: Line = vec![Some(0.0); drawing.prometheus.points()];
    for (_, line) in &lines {
        let top = if stacked {
            add(&below, line)
        } else {
            line.clone()
        };
        let floor = below.clone();
        if stacked {
            below = filled(&floor, &top);
        }
        tops.push((floor, top));
    }
    let values = || {
        tops.iter()
            .flat_map(|(_, top)| top.iter().flatten().copied())
    };
    let low = values().fold(field.min.unwrap_or(f64::INFINITY), f64::min);
    let high = values().fold(f64::NEG_INFINITY, f64::max);
    let marks = unit::marks(&field.unit, low.min(high), high);
    let frame = Frame::of(drawing, LEGEND);
    let mut svg = frame.axes(drawing, &marks, &field.unit);
    let range = (marks[0], marks[marks.len() - 1]);
    for (number, (floor, top)) in tops.iter().enumerate() {
        let shape = Shape {
            frame: &frame,
            range,
            colour: nth(number),
        };
        if bars {
            shape.bars(&mut svg, floor, top);
        } else {
            shape.area(&mut svg, floor, top, stacked);
        }
    }
    svg.push_str("</svg>");
    Ok(svg + &legend(&lines))
}

fn add(below: &Line, line: &Line) -> Line {
    let pairs = below.iter().zip(line);
    pairs
        .map(|(a, b)| b.map(|b| b + a.unwrap_or(0.0)))
        .collect()
}

/// The tops, or what was below where there is none.
fn filled(below: &Line, top: &Line) -> Line {
    below.iter().zip(top).map(|(a, b)| b.or(*a)).collect()
}

fn legend(lines: &[(String, Line)]) -> String {
    let mut html = String::from("<div class=legend style='max-height:28px'>");
    for (number, (name, _)) in lines.iter().enumerate() {
        let _ = write!(
            html,
            "<span><i style='background:{}'></i>{}</span> ",
            nth(number),
            text(name)
        );
    }
    html + "</div>"
}

impl Frame {
    /// The plot of a panel that leaves so much free at the bottom.
    pub(super) fn of(drawing: &Drawing, below: f64) -> Self {
        let (width, height) = (f64::from(drawing.width), f64::from(drawing.height));
        Self {
            x: LEFT,
            y: TOP,
            width: width - LEFT - RIGHT,
            height: height - TOP - TIMES - below,
        }
    }

    /// The begin of the SVG, with values at the left and times below.
    pub(super) fn axes(&self, drawing: &Drawing, marks: &[f64], unit: &str) -> String {
        let mut svg = self.times(drawing);
        let (first, last) = (marks[0], marks[marks.len() - 1]);
        for mark in marks {
            let y = self.y + self.height * (1.0 - (mark - first) / (last - first));
            let written = unit::format(unit, *mark);
            let _ = write!(
                svg,
                "<path d='M{:.1} {y:.1}h{:.1}' stroke='#e4e6ea'/>\
                 <text x='{:.1}' y='{:.1}' text-anchor='end'>{written}</text>",
                self.x,
                self.width,
                self.x - 5.0,
                y + 3.5
            );
        }
        svg
    }

    /// The begin of the SVG, with times below.
    pub(super) fn times(&self, drawing: &Drawing) -> String {
        let (width, height) = (drawing.width, drawing.height);
        let mut svg = format!("<svg width='{width}' height='{height}'>");
        for (part, written) in drawing.times() {
            let x = self.x + part * self.width;
            let bottom = self.y + self.height;
            let _ = write!(
                svg,
                "<path d='M{x:.1} {:.1}V{bottom:.1}' stroke='#eef0f2'/>\
                 <text x='{x:.1}' y='{:.1}' text-anchor='middle'>{written}</text>",
                self.y,
                bottom + 13.0
            );
        }
        svg
    }
}

/// One series in its frame.
struct Shape<'a> {
    frame: &'a Frame,
    range: (f64, f64),
    colour: &'a str,
}

impl Shape<'_> {
    fn at(&self, index: usize, of: usize, value: f64) -> (f64, f64) {
        let frame = self.frame;
        let x = frame.x + frame.width * index as f64 / (of.max(2) - 1) as f64;
        let part = (value - self.range.0) / (self.range.1 - self.range.0);
        (x, frame.y + frame.height * (1.0 - part))
    }

    fn bars(&self, svg: &mut String, floor: &Line, top: &Line) {
        let width = (self.frame.width / top.len() as f64).max(1.5);
        for (index, (floor, top_value)) in floor.iter().zip(top).enumerate() {
            let Some(value) = top_value else { continue };
            let (x, y) = self.at(index, top.len(), *value);
            let (_, bottom) = self.at(index, top.len(), floor.unwrap_or(0.0));
            let height = bottom - y;
            let _ = write!(
                svg,
                "<rect x='{:.1}' y='{y:.1}' width='{width:.1}' height='{height:.1}' fill='{}'/>",
                x - width / 2.0,
                self.colour
            );
        }
    }

    fn area(&self, svg: &mut String, floor: &Line, top: &Line, stacked: bool) {
        let count = top.len();
        let runs = runs(top);
        for run in runs {
            let point = |index: usize, line: &Line| {
                let (x, y) = self.at(index, count, line[index].unwrap_or(0.0));
                format!("{x:.1} {y:.1}")
            };
            let over: Vec<String> = run.clone().map(|index| point(index, top)).collect();
            let line = over.join("L");
            let fill = if stacked { 0.3 } else { 0.06 };
            let zero = vec![Some(self.range.0.max(0.0)); count];
            let under = if stacked { floor } else { &zero };
            let back: Vec<String> = run.rev().map(|index| point(index, under)).collect();
            let _ = write!(
                svg,
                "<path d='M{line}L{}Z' fill='{colour}' fill-opacity='{fill}'/>\
                 <path d='M{line}' fill='none' stroke='{colour}' stroke-width='1.3'/>",
                back.join("L"),
                colour = self.colour
            );
        }
    }
}

/// Stretches without a gap.
fn runs(line: &Line) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for index in (0..line.len()).filter(|index| line[*index].is_some()) {
        match runs.last_mut() {
            Some(run) if run.end == index => run.end = index + 1,
            _ => runs.push(index..index + 1),
        }
    }
    runs
}
