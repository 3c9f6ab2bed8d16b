//! States over time: a row for each series, a block for each stretch of one state.

use std::fmt::Write;

use anyhow::Result;

use super::chart::Frame;
use super::{Drawing, colour, nothing, text};

pub(super) fn draw(drawing: &Drawing) -> Result<String> {
    let mut lines = drawing.lines()?;
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    if lines.is_empty() {
        return Ok(nothing());
    }
    let field = &drawing.panel.field_config.defaults;
    let mut frame = Frame::of(drawing, 2.0);
    let longest = lines.iter().map(|(name, _)| name.chars().count()).max();
    let names = 14.0 + 6.5 * longest.unwrap_or(0) as f64;
    frame.width += frame.x - names;
    frame.x = names;
    let row = frame.height / lines.len() as f64;
    let mut svg = frame.times(drawing);
    for (number, (name, line)) in lines.iter().enumerate() {
        let y = frame.y + row * number as f64;
        let middle = y + row / 2.0 + 3.5;
        let _ = write!(
            svg,
            "<text x='{:.1}' y='{middle:.1}' text-anchor='end'>{}</text>",
            frame.x - 6.0,
            text(name)
        );
        let mut start = 0;
        for part in line.chunk_by(|a, b| a == b) {
            let x = frame.x + frame.width * start as f64 / line.len() as f64;
            let width = frame.width * part.len() as f64 / line.len() as f64;
            start += part.len();
            let Some(value) = part[0] else { continue };
            let (word, tint) = field.word(value).unwrap_or(("", "blue"));
            let word = if width > 50.0 { word } else { "" };
            let _ = write!(
                svg,
                "<rect x='{x:.1}' y='{:.1}' width='{width:.1}' height='{:.1}' fill='{}' \
                 fill-opacity='.8'/>\
                 <text x='{:.1}' y='{middle:.1}' style='fill:#fff'>{word}</text>",
                y + row * 0.1,
                row * 0.8,
                colour(tint),
                x + 6.0
            );
        }
    }
    Ok(svg + "</svg>")
}
