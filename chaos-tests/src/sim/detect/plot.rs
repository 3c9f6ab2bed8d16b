//! Line charts as SVG, made by hand: small, readable in light and dark, the same for the same
//! figures.

use std::fmt::Write;

const WIDTH: f64 = 700.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 56.0;
/// Least distance between two names at the right.
const LINE: f64 = 17.0;

const STYLE: &str = "\
text{font:14px system-ui,sans-serif;fill:#24292f}.title{font-size:16px;font-weight:600}\
.grid{stroke:#d0d7de;stroke-width:1}.axis{stroke:#57606a;stroke-width:1}\
path{fill:none;stroke-width:2.5}.dashed{stroke-dasharray:6 5}\
.c0{stroke:#0969da}.c1{stroke:#bc4c00}.c2{stroke:#8250df}.c3{stroke:#1a7f37}\
circle{stroke-width:0}.f0{fill:#0969da}.f1{fill:#bc4c00}.f2{fill:#8250df}.f3{fill:#1a7f37}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.grid{stroke:#30363d}.axis{stroke:#8b949e}\
.c0{stroke:#58a6ff}.c1{stroke:#f0883e}.c2{stroke:#bc8cff}.c3{stroke:#3fb950}\
.f0{fill:#58a6ff}.f1{fill:#f0883e}.f2{fill:#bc8cff}.f3{fill:#3fb950}}";

/// One line of a chart.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name, at its right end.
    pub name: String,
    /// Which of four colours.
    pub colour: usize,
    /// Drawn with gaps.
    pub dashed: bool,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

/// A chart. Horizontally numbers stand as far apart as their logarithms where that is said.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Above it.
    pub title: String,
    /// What stands below, with its unit.
    pub across: String,
    /// What stands at the left, with its unit.
    pub up: String,
    /// Marks below.
    pub marks: Vec<f64>,
    /// Whether the horizontal axis is logarithmic.
    pub logarithmic: bool,
    /// The lines.
    pub series: Vec<Series>,
}

impl Chart {
    /// The chart as a file.
    pub fn svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             role=\"img\">\n<title>{0}</title>\n<style>{STYLE}</style>\n\
             <text class=\"title\" x=\"{LEFT}\" y=\"26\">{0}</text>\n",
            self.title
        );
        let step = self.step();
        let top = self.highest(step);
        self.draw_axes(&mut svg, step, top);
        for series in &self.series {
            self.draw_line(&mut svg, series, top);
        }
        self.draw_names(&mut svg, top);
        svg.push_str("</svg>\n");
        svg
    }

    fn draw_axes(&self, svg: &mut String, step: f64, top: f64) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut value = 0.0;
        while value <= top + step / 2.0 {
            let y = up(value, top);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 5.0,
                number(value)
            );
            value += step;
        }
        for &mark in &self.marks {
            let x = self.across(mark);
            let _ = writeln!(
                svg,
                "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{:.1}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 5.0,
                bottom + 21.0,
                number(mark)
            );
        }
        let _ = writeln!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n\
             <text x=\"18\" y=\"{:.1}\" text-anchor=\"middle\" \
             transform=\"rotate(-90 18 {:.1})\">{}</text>",
            f64::midpoint(LEFT, right),
            HEIGHT - 12.0,
            self.across,
            f64::midpoint(TOP, bottom),
            f64::midpoint(TOP, bottom),
            self.up
        );
    }

    fn draw_line(&self, svg: &mut String, series: &Series, top: f64) {
        let dashed = if series.dashed { " dashed" } else { "" };
        let mut way = String::new();
        let mut dots = String::new();
        for (index, &(x, y)) in series.points.iter().enumerate() {
            let (x, y) = (self.across(x), up(y, top));
            let _ = write!(way, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" });
            let _ = write!(
                dots,
                "<circle class=\"f{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>",
                series.colour
            );
        }
        let _ = writeln!(
            svg,
            "<path class=\"c{}{dashed}\" d=\"{way}\"/>{dots}",
            series.colour
        );
    }

    /// Names stand at the ends of their lines, pushed apart where those meet.
    fn draw_names(&self, svg: &mut String, top: f64) {
        let ends = self.series.iter().filter_map(|series| {
            let (_, y) = *series.points.last()?;
            Some((up(y, top), series))
        });
        let mut ends: Vec<(f64, &Series)> = ends.collect();
        ends.sort_by(|one, other| one.0.total_cmp(&other.0));
        let lowest = HEIGHT - BOTTOM;
        let mut below = lowest + LINE;
        for (y, _) in ends.iter_mut().rev() {
            *y = y.min(below - LINE);
            below = *y;
        }
        for (y, series) in ends {
            let x = WIDTH - RIGHT + 12.0;
            let dashed = if series.dashed { " dashed" } else { "" };
            let _ = writeln!(
                svg,
                "<path class=\"c{}{dashed}\" d=\"M{x:.1} {y:.1}h18\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                series.colour,
                x + 24.0,
                y + 5.0,
                series.name
            );
        }
    }

    fn across(&self, x: f64) -> f64 {
        let place = |x: f64| if self.logarithmic { x.ln() } else { x };
        let first = self.marks.first().map_or(0.0, |x| place(*x));
        let last = self.marks.last().map_or(1.0, |x| place(*x));
        let width = WIDTH - RIGHT - LEFT - 24.0;
        LEFT + 12.0 + (place(x) - first) / (last - first) * width
    }

    /// Between two lines of the grid: 1, 2 or 5 times a power of ten, so that there are about five.
    fn step(&self) -> f64 {
        let values = self.series.iter().flat_map(|series| &series.points);
        let highest = values.map(|(_, y)| *y).fold(0.0, f64::max).max(1e-3);
        let rough = highest / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|times| times * power);
        steps
            .into_iter()
            .find(|step| *step >= rough)
            .unwrap_or(rough)
    }

    fn highest(&self, step: f64) -> f64 {
        let values = self.series.iter().flat_map(|series| &series.points);
        let highest = values.map(|(_, y)| *y).fold(0.0, f64::max);
        (highest / step).ceil().max(1.0) * step
    }
}

fn up(y: f64, top: f64) -> f64 {
    HEIGHT - BOTTOM - y / top * (HEIGHT - BOTTOM - TOP)
}

fn number(value: f64) -> String {
    if value >= 10.0 || value.fract().abs() < 1e-9 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_lie_on_one_another_and_nothing_leaves_the_picture() {
        let series = |name: &str, y: f64| Series {
            name: name.into(),
            colour: 0,
            dashed: false,
            points: vec![(3.0, y), (1000.0, y)],
        };
        let chart = Chart {
            title: "t".into(),
            across: "members".into(),
            up: "seconds".into(),
            marks: vec![3.0, 32.0, 1000.0],
            logarithmic: true,
            series: vec![series("a", 0.0), series("b", 0.1), series("c", 17.7)],
        };
        let svg = chart.svg();
        let heights = svg.lines().filter(|line| line.contains("h18"));
        let heights: Vec<f64> = heights
            .map(|line| {
                let place = line.split("d=\"M").nth(1).unwrap_or_default();
                let y = place.split([' ', 'h']).nth(1).unwrap_or_default();
                y.parse().unwrap_or(f64::NAN)
            })
            .collect();
        assert_eq!(heights.len(), 3);
        for pair in heights.windows(2) {
            assert!(pair[1] - pair[0] >= LINE, "{heights:?}");
        }
        assert!(heights.iter().all(|y| (TOP - 1.0..=HEIGHT).contains(y)));
        assert_eq!(svg, chart.svg());
    }
}
