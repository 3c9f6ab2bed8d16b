//! A few numbers: stat, gauge, and bars.

use std::fmt::Write;

use anyhow::Result;

use super::{Drawing, colour, nothing, text, unit};

/// Stat and gauge.
pub(super) fn numbers(drawing: &Drawing) -> Result<String> {
    let field = &drawing.panel.field_config.defaults;
    let mut numbers = drawing.numbers()?;
    numbers.sort_by(|a, b| a.0.cmp(&b.0));
    if numbers.is_empty() {
        let nothing = nothing();
        let written = field.no_value.as_ref();
        return Ok(written.map_or(nothing, |it| {
            format!("<div class=few><div><b>{it}</b></div></div>")
        }));
    }
    let gauge = drawing.panel.kind == "gauge";
    let size = if numbers.len() > 2 { 17 } else { 26 };
    let height = drawing.height;
    let mut html = format!("<div class=few style='height:{height}px'>");
    for (name, value) in numbers {
        let tint = colour(field.color(value));
        let (written, name) = (unit::format(&field.unit, value), text(&name));
        if gauge {
            let part = (value / field.max.unwrap_or(1.0)).clamp(0.0, 1.0);
            let _ = write!(
                html,
                "<div>{}<span>{name}</span></div>",
                dial(part, tint, &written)
            );
        } else {
            let style = format!("font-size:{size}px;color:{tint}");
            let _ = write!(
                html,
                "<div><b style='{style}'>{written}</b><span>{name}</span></div>"
            );
        }
    }
    Ok(html + "</div>")
}

/// Half a circle, filled so far.
fn dial(part: f64, tint: &str, written: &str) -> String {
    let arc = "M10 52A40 40 0 0 1 90 52";
    let length = std::f64::consts::PI * 40.0;
    let filled = part * length;
    format!(
        "<svg width='100' height='60'><path d='{arc}' fill='none' stroke='#e8eaee' \
         stroke-width='11'/><path d='{arc}' fill='none' stroke='{tint}' stroke-width='11' \
         stroke-dasharray='{filled:.1} {length:.1}'/><text x='50' y='52' text-anchor='middle' \
         style='font-size:14px;font-weight:bold;fill:#24292e'>{written}</text></svg>"
    )
}

/// A bar for each, the longest first.
pub(super) fn bars(drawing: &Drawing) -> Result<String> {
    let field = &drawing.panel.field_config.defaults;
    let mut numbers = drawing.numbers()?;
    numbers.sort_by(|a, b| b.1.total_cmp(&a.1));
    let Some(longest) = numbers.first().map(|it| it.1) else {
        return Ok(nothing());
    };
    let (width, height) = (f64::from(drawing.width), f64::from(drawing.height));
    let row = ((height - 6.0) / numbers.len() as f64).min(30.0);
    let full = width - 120.0 - 80.0;
    let mut svg = format!("<svg width='{width}' height='{height}'>");
    for (number, (name, value)) in numbers.iter().enumerate() {
        let y = number as f64 * row + 3.0;
        let most = field.max.unwrap_or(longest).max(f64::MIN_POSITIVE);
        let bar = full * (value / most).clamp(0.0, 1.0);
        let tint = colour(field.color(*value));
        let _ = write!(
            svg,
            "<text x='112' y='{middle:.1}' text-anchor='end'>{}</text><rect x='120' y='{y:.1}' \
             width='{bar:.1}' height='{:.1}' fill='{tint}' fill-opacity='.75'/>\
             <text x='{:.1}' y='{middle:.1}'>{}</text>",
            text(name),
            row - 4.0,
            126.0 + bar,
            unit::format(&field.unit, *value),
            middle = y + row / 2.0 + 2.0
        );
    }
    Ok(svg + "</svg>")
}
