//! The screen: the mesh in a line, the sections, the rows of one of them, the keys.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

use super::app::App;
use super::grid::{Grid, Section};
use super::sample;
use crate::output::{Align, printable};

const KEYS: &str = "1-4/Tab section  \u{2190}\u{2192} sort  r reverse  \u{2191}\u{2193} choose  \
                    Enter clients  n/p node  q leave";

/// Widest that a column of words is made while others would be cut.
const WIDEST: usize = 40;

pub(super) fn draw(frame: &mut Frame, app: &App) {
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ]);
    let [head, trouble, tabs, body, keys] = rows.areas(frame.area());
    if let Some(history) = &app.history {
        let headline = printable(&sample::headline(history));
        frame.render_widget(bold(headline), head);
        frame.render_widget(self::tabs(app), tabs);
    }
    frame.render_widget(self::trouble(app), trouble);
    if let Some(grid) = app.grid() {
        table(frame, app, &grid, body);
    }
    frame.render_widget(Paragraph::new(KEYS).style(dim()), keys);
}

fn bold(text: String) -> Paragraph<'static> {
    Paragraph::new(text).style(Style::new().add_modifier(Modifier::BOLD))
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

/// What is wrong with what is shown.
fn trouble(app: &App) -> Paragraph<'static> {
    let missing = app.history.as_ref();
    let missing = missing.and_then(|history| history.now.missing.as_ref());
    let text = match (&app.failure, missing) {
        (Some(error), _) => format!("OLD, no answer: {error}"),
        (None, Some(reason)) => reason.clone(),
        (None, None) => String::new(),
    };
    Paragraph::new(printable(&text)).style(Style::new().fg(Color::Red))
}

fn tabs(app: &App) -> Line<'static> {
    let mut spans = Vec::new();
    for (number, section) in Section::ALL.into_iter().enumerate() {
        let name = match (&app.history, section == app.section) {
            (Some(history), true) => section.title(history),
            _ => section.name().into(),
        };
        let text = format!(" {} {} ", number + 1, printable(&name));
        spans.push(match section == app.section {
            true => Span::styled(text, Style::new().add_modifier(Modifier::REVERSED)),
            false => Span::styled(text, dim()),
        });
    }
    Line::from(spans)
}

fn table(frame: &mut Frame, app: &App, grid: &Grid, area: Rect) {
    let columns = grid.section.columns();
    let (sorted, reverse) = app.order();
    let titles = columns.iter().enumerate().map(|(number, (name, align))| {
        let mark = match (number == sorted, reverse) {
            (false, _) => "",
            (true, true) => "\u{2193}",
            (true, false) => "\u{2191}",
        };
        aligned(format!("{name}{mark}"), *align)
    });
    let header = Row::new(titles).style(Style::new().add_modifier(Modifier::BOLD));
    let rows = grid.rows.iter().map(|row| {
        let cells = row
            .iter()
            .zip(columns)
            .map(|(cell, (_, align))| aligned(shown(&cell.text), *align));
        Row::new(cells).style(style(grid.section, &row[1].text))
    });
    let widths = (0..columns.len()).map(|column| {
        let cells = grid.rows.iter().map(|row| shown(&row[column].text));
        let longest = cells.map(|text| text.chars().count()).max().unwrap_or(0);
        let title = columns[column].0.len() + 1;
        Constraint::Length(longest.max(title).min(WIDEST) as u16)
    });
    let table = Table::new(rows, widths.collect::<Vec<_>>())
        .header(header)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(app.row(grid.rows.len()));
    frame.render_stateful_widget(table, area, &mut state);
    if grid.rows.is_empty() && area.height > 1 {
        let below = Rect {
            y: area.y + 1,
            height: 1,
            ..area
        };
        frame.render_widget(Paragraph::new("none").style(dim()), below);
    }
}

fn shown(text: &str) -> String {
    match text {
        "" => "-".into(),
        _ => printable(text),
    }
}

fn aligned(text: String, align: Align) -> Cell<'static> {
    Cell::new(Text::from(text).alignment(match align {
        Align::Left => Alignment::Left,
        Align::Right => Alignment::Right,
    }))
}

/// The colour of a row of nodes or links, by its state.
fn style(section: Section, state: &str) -> Style {
    let by_state = [Section::Nodes, Section::Links].contains(&section);
    match state {
        "dead" | "silent" | "down" if by_state => Style::new().fg(Color::Red),
        "suspect" | "joining" | "leaving" if by_state => Style::new().fg(Color::Yellow),
        "left" if by_state => dim(),
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::Sample;
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use zmesh_node::report::{Member, Mesh, MeshNode, Node, Overview, Topic};

    fn node(number: usize) -> MeshNode {
        let name = format!("node{number}");
        let node = Node {
            name: name.clone(),
            state: "ready".into(),
            ..Node::default()
        };
        let topic = Topic {
            topic: "\u{1b}[2J".into(),
            ..Topic::default()
        };
        MeshNode {
            name,
            error: None,
            overview: Some(Overview {
                node,
                topics: vec![topic],
                ..Overview::default()
            }),
        }
    }

    fn app(nodes: usize) -> App {
        let member = |number| Member {
            name: format!("node{number}"),
            state: "alive".into(),
            ..Member::default()
        };
        let mut app = App::new();
        app.take(Ok(Sample {
            mesh: Mesh {
                cluster: "test".into(),
                node: "node0".into(),
                members: (0..nodes).map(member).collect(),
                nodes: (0..nodes).map(node).collect(),
                ..Mesh::default()
            },
            ..Sample::default()
        }));
        app
    }

    fn screen(app: &App, width: u16, height: u16) -> Vec<String> {
        let backend = TestBackend::new(width, height);
        let mut terminal = Terminal::new(backend).expect("a terminal in memory");
        terminal.draw(|frame| draw(frame, app)).expect("drawn");
        let cells = terminal.backend().buffer().content();
        let rows = cells.chunks(width.into());
        rows.map(|row| row.iter().map(|cell| cell.symbol()).collect())
            .collect()
    }

    #[test]
    fn eighty_columns_show_every_column_and_the_keys() {
        for section in Section::ALL {
            let mut app = app(3);
            app.section = section;
            let shown = screen(&app, 80, 24);
            assert!(shown[0].starts_with("test: 3 alive"), "{shown:#?}");
            assert!(shown[23].contains("q leave"), "{shown:#?}");
            for (name, _) in section.columns() {
                assert!(shown[3].contains(name), "{name}: {shown:#?}");
            }
        }
    }

    #[test]
    fn a_small_or_large_terminal_and_many_nodes_are_no_trouble() {
        for (width, height) in [(1, 1), (10, 4), (80, 24), (300, 100)] {
            screen(&app(0), width, height);
            screen(&app(500), width, height);
        }
        assert!(screen(&app(3), 120, 40)[4].starts_with("node0"));
    }

    #[test]
    fn a_topic_cannot_move_the_cursor_and_a_failure_is_told() {
        let mut app = app(1);
        app.section = Section::Topics;
        app.take(Err(anyhow::anyhow!("nobody there")));
        let shown = screen(&app, 80, 24);
        assert!(shown[1].starts_with("OLD, no answer: nobody there"));
        assert!(shown[4].starts_with("\\u{1b}[2J"), "{shown:#?}");
    }
}
