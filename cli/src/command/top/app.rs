//! What the screen shows, and what each key changes of it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::grid::{Grid, Section};
use super::sample::{History, Sample, Wish};

/// Rows that a page key goes.
const PAGE: isize = 10;

/// What is on the screen.
pub(super) struct App {
    pub(super) history: Option<History>,
    /// Why the last look failed.
    pub(super) failure: Option<String>,
    pub(super) section: Section,
    /// Of each section: the column by which it is sorted, and whether the greatest comes first.
    orders: [(usize, bool); 4],
    /// Of each section: the chosen row.
    rows: [usize; 4],
    /// The node whose links and clients are shown; `None` for the one that answers.
    node: Option<String>,
}

/// What follows from a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    /// Another look is wanted.
    Look,
    Leave,
}

impl App {
    pub(super) fn new() -> Self {
        Self {
            history: None,
            failure: None,
            section: Section::Nodes,
            orders: Section::ALL.map(Section::first_order),
            rows: [0; 4],
            node: None,
        }
    }

    /// What the next look shall tell.
    pub(super) fn wish(&self) -> Wish {
        Wish {
            node: self.node.clone(),
            links: self.section == Section::Links,
            clients: self.section == Section::Clients,
        }
    }

    pub(super) fn take(&mut self, look: anyhow::Result<Sample>) {
        match look {
            Ok(sample) => {
                self.failure = None;
                match &mut self.history {
                    Some(history) => history.push(sample),
                    None => self.history = Some(History::new(sample)),
                }
            }
            Err(error) => self.failure = Some(format!("{error:#}")),
        }
    }

    /// The rows of the section that is shown, in their order.
    pub(super) fn grid(&self) -> Option<Grid> {
        let mut grid = Grid::of(self.section, self.history.as_ref()?);
        let (column, reverse) = self.order();
        grid.sort(column, reverse);
        Some(grid)
    }

    /// The column by which the section is sorted, and whether the greatest comes first.
    pub(super) fn order(&self) -> (usize, bool) {
        self.orders[self.section as usize]
    }

    /// The chosen row, of so many.
    pub(super) fn row(&self, rows: usize) -> Option<usize> {
        let last = rows.checked_sub(1)?;
        Some(self.rows[self.section as usize].min(last))
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> After {
        if key.kind == KeyEventKind::Release {
            return After::Nothing;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return After::Leave,
            KeyCode::Char('c') if control => return After::Leave,
            KeyCode::Char(digit @ '1'..='4') => {
                return self.show(Section::ALL[digit as usize - '1' as usize]);
            }
            KeyCode::Tab => return self.show(Section::ALL[(self.section as usize + 1) % 4]),
            KeyCode::BackTab => return self.show(Section::ALL[(self.section as usize + 3) % 4]),
            KeyCode::Left | KeyCode::Char('<') => self.sort_by(-1),
            KeyCode::Right | KeyCode::Char('>') => self.sort_by(1),
            KeyCode::Char('r') => {
                let reverse = &mut self.orders[self.section as usize].1;
                *reverse = !*reverse;
            }
            KeyCode::Up | KeyCode::Char('k') => self.go(-1),
            KeyCode::Down | KeyCode::Char('j') => self.go(1),
            KeyCode::PageUp => self.go(-PAGE),
            KeyCode::PageDown => self.go(PAGE),
            KeyCode::Home => self.rows[self.section as usize] = 0,
            KeyCode::End => self.go(isize::MAX),
            KeyCode::Enter => return self.enter(),
            KeyCode::Char('n') => return self.other_node(1),
            KeyCode::Char('p') => return self.other_node(-1),
            _ => {}
        }
        After::Nothing
    }

    fn show(&mut self, section: Section) -> After {
        self.section = section;
        After::Look
    }

    fn sort_by(&mut self, step: isize) {
        let columns = self.section.columns().len() as isize;
        let column = &mut self.orders[self.section as usize].0;
        *column = (*column as isize + step).rem_euclid(columns) as usize;
    }

    fn go(&mut self, step: isize) {
        let rows = self.grid().map_or(0, |grid| grid.rows.len());
        let Some(row) = self.row(rows) else { return };
        let row = row.saturating_add_signed(step).min(rows - 1);
        self.rows[self.section as usize] = row;
    }

    /// The clients of the chosen node, or of the owner of the chosen topic.
    fn enter(&mut self) -> After {
        let column = match self.section {
            Section::Nodes | Section::Links => 0,
            Section::Topics => 1,
            Section::Clients => return After::Nothing,
        };
        let Some(grid) = self.grid() else {
            return After::Nothing;
        };
        let Some(row) = self.row(grid.rows.len()) else {
            return After::Nothing;
        };
        self.node = Some(grid.rows[row][column].text.clone());
        self.show(Section::Clients)
    }

    /// Links and clients of another living node, in the order of their names.
    fn other_node(&mut self, step: isize) -> After {
        let Some(history) = &self.history else {
            return After::Nothing;
        };
        let mesh = &history.now.mesh;
        let names: Vec<&str> = mesh.nodes.iter().map(|node| &*node.name).collect();
        if names.is_empty() {
            return After::Nothing;
        }
        let shown = self.node.as_deref().unwrap_or(&mesh.node);
        let at = names.iter().position(|name| *name == shown).unwrap_or(0);
        let next = (at as isize + step).rem_euclid(names.len() as isize);
        self.node = Some(names[next as usize].into());
        After::Look
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zmesh_node::report::{Member, Mesh, MeshNode};

    fn app() -> App {
        let member = |name: &str| Member {
            name: name.into(),
            state: "alive".into(),
            ..Member::default()
        };
        let node = |name: &str| MeshNode {
            name: name.into(),
            ..MeshNode::default()
        };
        let mut app = App::new();
        app.take(Ok(Sample {
            mesh: Mesh {
                node: "a".into(),
                members: ["a", "b", "c"].map(member).into(),
                nodes: ["a", "b", "c"].map(node).into(),
                ..Mesh::default()
            },
            ..Sample::default()
        }));
        app
    }

    fn press(app: &mut App, keys: &[KeyCode]) -> After {
        let mut after = After::Nothing;
        for key in keys {
            after = app.key(KeyEvent::new(*key, KeyModifiers::NONE));
        }
        after
    }

    #[test]
    fn keys_leave_choose_a_section_and_sort() {
        let mut app = app();
        assert_eq!(press(&mut app, &[KeyCode::Char('q')]), After::Leave);
        assert_eq!(press(&mut app, &[KeyCode::Esc]), After::Leave);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(app.key(interrupt), After::Leave);
        assert_eq!(press(&mut app, &[KeyCode::Char('3')]), After::Look);
        assert_eq!(app.section, Section::Topics);
        press(&mut app, &[KeyCode::Tab]);
        assert_eq!(app.section, Section::Clients);
        assert!(app.wish().clients);
        press(&mut app, &[KeyCode::Tab, KeyCode::Left]);
        assert_eq!(app.order(), (Section::Nodes.columns().len() - 1, false));
        press(&mut app, &[KeyCode::Right, KeyCode::Char('r')]);
        assert_eq!(app.order(), (0, true));
    }

    #[test]
    fn the_clients_of_the_chosen_node_are_asked_for() {
        let mut app = app();
        press(&mut app, &[KeyCode::Down, KeyCode::Down, KeyCode::Up]);
        assert_eq!(press(&mut app, &[KeyCode::Enter]), After::Look);
        assert_eq!(app.section, Section::Clients);
        assert_eq!(app.wish().node.as_deref(), Some("b"));
        press(&mut app, &[KeyCode::Char('n'), KeyCode::Char('n')]);
        assert_eq!(app.wish().node.as_deref(), Some("a"), "round and round");
        press(&mut app, &[KeyCode::Char('p')]);
        assert_eq!(app.wish().node.as_deref(), Some("c"));
    }

    #[test]
    fn a_choice_stays_within_the_rows() {
        let mut app = app();
        press(&mut app, &[KeyCode::End]);
        assert_eq!(app.row(3), Some(2));
        press(&mut app, &[KeyCode::PageUp]);
        assert_eq!(app.row(3), Some(0));
        assert_eq!(app.row(0), None);
        press(
            &mut app,
            &[KeyCode::Char('2'), KeyCode::End, KeyCode::Enter],
        );
        assert_eq!(app.section, Section::Links, "there is nothing to enter");
    }
}
