//! What `dashboards/` holds, tried on a real Prometheus and Alertmanager: rules and boards against
//! a live mesh, and alerts that come and go. The times are shortened as `live/sooner.rs` says.

use chaos_tests::boards::expression::{filled, legend_labels};
use chaos_tests::boards::model::{Board, Target};
use chaos_tests::boards::read_all;
use chaos_tests::live::alertmanager::Alertmanager;
use chaos_tests::live::mesh::{agree, new_cluster, settle};
use chaos_tests::live::network::Network;
use chaos_tests::live::prometheus::{Prometheus, Series};
use chaos_tests::live::raw::Raw;
use chaos_tests::live::socket::{publisher, receive, subscriber};
use chaos_tests::live::sooner::yaml;
use chaos_tests::live::{Mesh, Node, Options, service, wait};
use chaos_tests::tidy::root;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How long a subscriber looks for a message before it looks whether the test is over.
const LOOK: Duration = Duration::from_millis(20);

/// What a test waits for here comes in seconds of Prometheus, and twice as late when it has to be
/// forgotten first: some times the patience for one thing.
const TURNS: usize = 4;

#[track_caller]
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let came = (0..TURNS).any(|_| wait::comes_true(&mut condition));
    assert!(came, "waited in vain for {what}");
}

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(10);

/// Traffic between nodes for as long as the action takes: a publisher and a subscriber at each, an
/// asker at the first and a worker at the second.
fn with_traffic<T>(endpoints: &[String], action: impl FnOnce() -> T) -> T {
    let context = zmq::Context::new();
    let over = AtomicBool::new(false);
    let subscribers = endpoints.iter();
    let subscribers: Vec<_> = subscribers
        .map(|it| subscriber(&context, it.clone(), &["STOCK."]))
        .collect();
    let publishers = endpoints.iter();
    let publishers: Vec<_> = publishers
        .map(|it| publisher(&context, it.clone()))
        .collect();
    thread::scope(|scope| {
        for socket in subscribers {
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    receive(&socket, LOOK);
                }
            });
        }
        for socket in publishers {
            let over = &over;
            scope.spawn(move || {
                for number in (0..10).cycle() {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let topic = format!("STOCK.{number}");
                    // A node that is gone takes nothing: the message waits for its return.
                    let _ = socket.send_multipart([topic.as_bytes(), b"187.32"], zmq::DONTWAIT);
                    // How fast it publishes; nothing waits for it.
                    thread::sleep(Duration::from_millis(2));
                }
            });
        }
        scope.spawn(|| service::serve(&over, &endpoints[1], "risk"));
        scope.spawn(|| service::ask(&over, &endpoints[0], "risk", PAUSE));
        let _end = SetOnDrop(&over);
        action()
    })
}

/// Ends the traffic also when the test fails.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| name.to_string()).collect()
}

/// Waits until every node is scraped and every rule was evaluated, without an error.
fn wait_watching(prometheus: &Prometheus, nodes: usize) {
    wait::until_true("every node to be scraped", || {
        prometheus.number("count(up == 1)") == Some(nodes as f64)
    });
    wait::until_true("every rule to be evaluated", || {
        let rules = prometheus.rules().unwrap_or_default();
        let bad = rules.iter().find(|it| it.health == "err");
        assert!(bad.is_none(), "{bad:?}");
        !rules.is_empty() && rules.iter().all(|it| it.health == "ok")
    });
}

#[test]
fn alerts_of_a_killed_node_come_and_go_and_every_panel_has_data() {
    let mut mesh = Mesh::start_with(3, &["--queue-size", "64KiB"]);
    let alertmanager = Alertmanager::start();
    let clients: Vec<String> = mesh.nodes.iter().map(|it| it.client.clone()).collect();
    let prometheus = Prometheus::start(&clients, Some(alertmanager.address()), None);
    wait_watching(&prometheus, 3);
    let endpoints: Vec<String> = mesh.nodes[..2].iter().map(Node::endpoint).collect();
    with_traffic(&endpoints, || {
        fill_a_queue(&mesh.nodes[0]);
        eventually("no alert before the fault", || {
            alertmanager.alerts() == Some(BTreeSet::new())
        });
        mesh.nodes[2].kill();
        let wanted = names(&["ZmeshNodeDown", "ZmeshMemberDead", "ZmeshMembersMissing"]);
        eventually("the alerts of a dead node", || {
            let held = alertmanager.alerts().unwrap_or_default();
            held.is_superset(&wanted)
        });
        mesh.nodes[2].restart();
        mesh.settle();
        eventually("the alerts to go", || {
            alertmanager.alerts() == Some(BTreeSet::new())
        });
        expect_none(panels_without_data(&prometheus, &mesh.cluster));
    });
    eventually("all messages to be accounted for", || {
        prometheus.number("zmesh:messages_unaccounted") == Some(0.0)
    });
    // They were at every moment, but for those that the nodes knew to be on their way.
    let unexplained = prometheus.since_start("zmesh:messages_unexplained");
    let unexplained = unexplained.expect("an answer");
    let numbers: Vec<f64> = unexplained.iter().flat_map(Series::numbers).collect();
    assert!(!numbers.is_empty() && numbers.iter().all(|it| *it == 0.0));
}

#[test]
fn a_member_that_leaves_on_purpose_is_not_missed() {
    let mut mesh = Mesh::start(3);
    let clients: Vec<String> = mesh.nodes.iter().map(|it| it.client.clone()).collect();
    let prometheus = Prometheus::start(&clients, None, None);
    wait_watching(&prometheus, 3);
    mesh.nodes[2].signal("TERM");
    assert_eq!(mesh.nodes[2].wait_end(), Some(0));
    mesh.nodes.truncate(2);
    mesh.settle();
    // This alert waits as long as the shortest; those that miss a member would be here by then.
    eventually("the alert of who does not answer", || {
        let firing = prometheus.firing_names().unwrap_or_default();
        firing.contains("ZmeshNodeDown")
    });
    let goodbyes = "max(increase(zmesh_gossip_leaves_total[1m]))";
    eventually("the goodbye to be scraped", || {
        prometheus.number(goodbyes).is_some_and(|it| it > 0.0)
    });
    let missing = prometheus.since_start("zmesh:members_missing > 0");
    assert_eq!(missing.expect("an answer").len(), 0);
}

/// A subscriber that does not read is there for a moment.
fn fill_a_queue(node: &Node) {
    let mut slow = Raw::handshake(&node.client, "SUB");
    slow.subscribe(b"BULK");
    let sender = publisher(&zmq::Context::new(), node.endpoint());
    let payload = vec![b'.'; 16 << 10];
    wait::until_true("a full queue", || {
        for _ in 0..100 {
            sender.send_multipart([&b"BULK"[..], &payload], 0).unwrap();
        }
        node.metric("zmesh_queues_full", "") == 1
    });
}

fn expect_none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// What no panel may be: without a number at any second since the start, or without the labels
/// that its legend names.
fn panels_without_data(prometheus: &Prometheus, cluster: &str) -> Vec<String> {
    let boards = read_all().expect("the boards");
    let targets = boards.iter().flat_map(|(name, board)| targets(name, board));
    targets
        .filter_map(|(place, target)| {
            let expression = filled(&target.expr, cluster, 4);
            // What shows only faults that happened has data behind it also when there were none.
            let expression = expression.strip_suffix(" > 0").unwrap_or(&expression);
            let answer = prometheus.since_start(expression);
            let complaint = match answer {
                Ok(series) => complaint(&series, target)?,
                Err(error) => format!("{error:#}"),
            };
            Some(format!("{place}: {complaint}: {expression}"))
        })
        .collect()
}

fn targets<'a>(
    name: &'a str,
    board: &'a Board,
) -> impl Iterator<Item = (String, &'a Target)> + use<'a> {
    board.panels.iter().flat_map(move |panel| {
        let place = format!("{name}.json, {}", panel.title);
        panel.targets.iter().map(move |it| (place.clone(), it))
    })
}

fn complaint(series: &[Series], target: &Target) -> Option<String> {
    if !series.iter().any(|it| it.numbers().next().is_some()) {
        return Some(format!("no number in {} series", series.len()));
    }
    let legend = legend_labels(&target.legend_format);
    let missing = legend
        .into_iter()
        .find(|label| series.iter().any(|it| !it.labels.contains_key(*label)));
    missing.map(|label| format!("a series has no label {label}"))
}

#[test]
fn nodes_that_disagree_in_a_split_are_told_of_until_it_heals() {
    let mut network = Network::new(3);
    let cluster = new_cluster();
    let ports = [5555, 5556, 5557];
    let seed = format!("{}:5556", network.host(0).address);
    let options = |host: usize| {
        let options = Options::new(&format!("n{}", host + 1), &cluster);
        let options = if host == 0 {
            options
        } else {
            options.seed(&seed)
        };
        options.on(network.host(host), ports)
    };
    let nodes: Vec<Node> = (0..3).map(|host| Node::start(options(host))).collect();
    let all: Vec<&Node> = nodes.iter().collect();
    settle(&all);
    let watcher = network.watcher();
    let clients: Vec<String> = nodes.iter().map(|it| it.client.clone()).collect();
    let prometheus = Prometheus::start(&clients, None, Some(&watcher));
    wait_watching(&prometheus, 3);
    let disagree = || {
        let firing = prometheus.firing_names()?;
        Some(firing.contains("ZmeshViewsDisagree"))
    };
    eventually("one view at first", || {
        prometheus.number("zmesh:views") == Some(1.0) && disagree() == Some(false)
    });
    network.isolate(&[0]);
    eventually("the alert of two views", || disagree() == Some(true));
    assert_eq!(prometheus.number("zmesh:views"), Some(2.0));
    assert_eq!(
        prometheus.number("count(up == 1)"),
        Some(3.0),
        "all are seen"
    );
    network.heal();
    agree(&all);
    eventually("the alert to go", || disagree() == Some(false));
    assert_eq!(prometheus.number("zmesh:views"), Some(1.0));
}

/// Runs promtool in `dashboards/`, where the paths in the configurations begin.
#[track_caller]
fn promtool(arguments: &[&str]) {
    let mut command = Command::new("promtool");
    command
        .args(arguments)
        .current_dir(root().join("dashboards"));
    let output = command
        .output()
        .expect("promtool: run `make setup`, which installs it");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "promtool {arguments:?}\n{}",
        String::from_utf8_lossy(&said)
    );
}

#[test]
fn promtool_finds_nothing_wrong_with_rules_and_configurations() {
    promtool(&["check", "rules", "rules/recording.yml", "rules/alerts.yml"]);
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["check", "config", "prometheus-dns.yml"]);
}

#[test]
fn every_rule_passes_its_own_tests() {
    promtool(&["test", "rules", "rules/tests.yml"]);
}

#[test]
fn amtool_finds_nothing_wrong_with_the_alertmanager() {
    let path = root().join("dashboards/alertmanager.yml");
    let output = Command::new("amtool")
        .arg("check-config")
        .arg(path)
        .output()
        .expect("amtool: run `make setup`, which installs it");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn every_alert_says_what_it_is_has_a_section_in_the_runbook_and_is_tested() {
    let runbook = std::fs::read_to_string(root().join("docs/runbook.md")).expect("a runbook");
    let alerts = yaml("dashboards/rules/alerts.yml").expect("alerts");
    let tests = yaml("dashboards/rules/tests.yml").expect("their tests");
    let fired = fired_in(&tests);
    let mut complaints = Vec::new();
    for alert in rules_of(&alerts) {
        let name = alert["alert"].as_str().expect("an alert has a name");
        let texts = &alert["annotations"];
        for text in ["summary", "description"] {
            if texts[text].as_str().is_none_or(str::is_empty) {
                complaints.push(format!("{name} has no {text}"));
            }
        }
        if !["page", "ticket"]
            .iter()
            .any(|it| alert["labels"]["severity"] == **it)
        {
            complaints.push(format!("{name} has the severity {}", alert["labels"]));
        }
        let anchor = format!("docs/runbook.md#{}", name.to_lowercase());
        if texts["runbook_url"] != anchor {
            complaints.push(format!("{name}: its runbook_url is not {anchor}"));
        }
        if !runbook.lines().any(|line| line == format!("## {name}")) {
            complaints.push(format!("{name} has no section in docs/runbook.md"));
        }
        if !fired.contains(name) {
            complaints.push(format!("{name} fires in no test of tests.yml"));
        }
    }
    expect_none(complaints);
}

fn rules_of(file: &Value) -> Vec<&Value> {
    let groups = file["groups"].as_array().expect("groups").iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().expect("rules"));
    rules.collect()
}

/// The alerts that a test expects to fire.
fn fired_in(tests: &Value) -> BTreeSet<String> {
    let tests = tests["tests"].as_array().expect("tests").iter();
    let cases = tests.filter_map(|test| test["alert_rule_test"].as_array());
    let fire = cases.flatten().filter(|case| {
        case["exp_alerts"]
            .as_array()
            .is_some_and(|it| !it.is_empty())
    });
    fire.filter_map(|case| Some(case["alertname"].as_str()?.to_string()))
        .collect()
}
