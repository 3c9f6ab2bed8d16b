//! The Grafana boards, and the page that lists all metrics.

use std::collections::BTreeSet;
use std::fs;

use chaos_tests::boards::{PROCESS_METRICS, check, metrics_page, read_all};
use chaos_tests::live::Mesh;
use chaos_tests::tidy::root;

#[test]
fn boards_use_what_exists_and_lie_side_by_side() {
    let boards = read_all().unwrap();
    let wrong = boards
        .iter()
        .flat_map(|(name, board)| check::complaints(name, board));
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_metric_is_on_a_board_or_it_is_said_why_not() {
    let wrong = check::not_shown(&read_all().unwrap());
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_page_of_metrics_is_what_the_code_makes() {
    let made = metrics_page::page(&read_all().unwrap());
    let page = fs::read_to_string(root().join("docs/metrics.md")).unwrap_or_default();
    let anew = "cargo run -p chaos-tests -- metrics > docs/metrics.md";
    assert!(page == made, "docs/metrics.md is old; make it anew: {anew}");
}

#[test]
#[cfg(target_os = "linux")]
fn the_list_of_process_metrics_is_what_a_node_answers() {
    let mesh = Mesh::start(1);
    let page = mesh.nodes[0].page("/metrics").unwrap();
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let answered: BTreeSet<&str> = types.filter(|it| it.starts_with("process_")).collect();
    let listed: Vec<String> = PROCESS_METRICS
        .iter()
        .map(|(name, kind, _)| format!("{name} {kind}"))
        .collect();
    assert_eq!(answered, listed.iter().map(String::as_str).collect());
}

#[test]
fn a_board_with_mistakes_is_complained_about() {
    let (name, mut board) = read_all().unwrap().remove(0);
    board.panels[1].grid_pos = board.panels[0].grid_pos;
    board.panels[1].id = board.panels[0].id;
    board.panels[2].kind = "graph".into();
    board.templating.list[1].name = "colour".into();
    board.panels[3].targets[0].expr = "sum by (colour) (zmesh_nothing)".into();
    board.panels[3].targets[0].legend_format = "{{node}}".into();
    let wrong = check::complaints(name, &board).join("\n");
    for part in [
        "lies upon",
        "the same id",
        "the type graph",
        "zmesh_nothing does not exist",
        "has the label colour",
        "the legend names node",
        "does not choose by $cluster",
        "no panel asks for its variable colour",
    ] {
        assert!(wrong.contains(part), "{part} is not in:\n{wrong}");
    }
}
