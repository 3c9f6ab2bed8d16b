//! The console as a person sees it, in headless Chromium.

use chaos_tests::live::browser::Browser;
use chaos_tests::live::socket::{publisher, receive_data, subscriber};
use chaos_tests::live::wait::PATIENCE;
use chaos_tests::live::{Mesh, Node, http, wait};
use serde_json::{Value, json};
use zmesh_node::report;

const ESCAPE: &str = "\u{e00c}";
const ENTER: &str = "\u{e007}";

/// Every name here would run if it became markup.
const HOSTILE: &str = "<img src=x onerror=\"window.hurt=1\">";

fn looking_at(node: &Node) -> Browser {
    let browser = Browser::start(1280, 800, false);
    browser.open(&format!("http://{}/", node.client));
    let live = format!("live, seen from {}", node.options.name);
    browser.wait_text("#live", &live);
    browser
}

fn expect_no_complaints(browser: &Browser) {
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// The number that begins the text of an element.
fn number(browser: &Browser, selector: &str) -> f64 {
    let text = browser.text(selector);
    let digits: String = text
        .chars()
        .take_while(|it| it.is_ascii_digit() || *it == '.')
        .collect();
    digits.parse().unwrap_or(0.0)
}

/// A mesh of this many, as one node could tell of it.
fn made_up(count: u32) -> report::Mesh {
    let name = |number: u32| format!("node{number:03}");
    let members = (0..count).map(|number| report::Member {
        name: name(number),
        id: format!("{number:032x}"),
        state: if number == 60 { "suspect" } else { "alive" }.into(),
        in_view: true,
        me: number == 0,
        partitions: 16384 / count,
        rtt_us: (number > 0).then_some(300 + 7 * u64::from(number)),
        ..report::Member::default()
    });
    let nodes = (0..count).map(|number| report::MeshNode {
        name: name(number),
        error: (number == 60).then(|| "no answer within 2 s".into()),
        overview: (number != 60).then(|| report::Overview {
            node: report::Node {
                name: name(number),
                state: "ready".into(),
                view_hash: if number == 7 { "bad0" } else { "900d" }.repeat(4),
                ..report::Node::default()
            },
            links_up: count.saturating_sub(2),
            links_down: vec![name(60)],
            ..report::Overview::default()
        }),
    });
    let event = |number: u32| report::Event {
        event: "member.suspected".into(),
        node: name(number),
        seq: 1,
        at_ms: 1_700_000_000_000 + u64::from(number),
        subject: name(60),
        ..report::Event::default()
    };
    report::Mesh {
        node: name(0),
        cluster: "large".into(),
        at_ms: 1_700_000_000_000,
        members: members.collect(),
        nodes: nodes.collect(),
        events: [1, 2, 3].map(event).into(),
    }
}

fn render(browser: &Browser, mesh: &report::Mesh) {
    let mesh = serde_json::to_value(mesh).expect("a shape becomes JSON");
    browser.run("render(arguments[0])", &[mesh]);
}

#[test]
fn the_page_comes_from_the_node_and_may_use_nothing_else() {
    let mesh = Mesh::start(1);
    let address = &mesh.nodes[0].client;
    let response = ureq::get(format!("http://{address}/")).call().unwrap();
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(response.headers()["cache-control"], "no-cache");
    let (status, _) = http::page(address, "/console/nothing.js").unwrap();
    assert_eq!(status, 404);
}

#[test]
fn every_node_shows_all_three_and_a_killed_one_turns_dead() {
    let mut mesh = Mesh::start(3);
    for node in &mesh.nodes[1..] {
        let browser = looking_at(node);
        wait::until_true("three members", || browser.count("#members tbody tr") == 3);
        browser.wait_text("#fact-members", "3 members alive");
        browser.wait_text("#fact-views", "all 3 hold one view");
        browser.wait_text("#fact-links", "6 links up");
        assert_eq!(browser.count("#ring path"), 3);
        expect_no_complaints(&browser);
    }
    let browser = looking_at(&mesh.nodes[0]);
    mesh.nodes.remove(2).kill();
    browser.wait_text("#fact-dead", "dead: n3");
    browser.wait_text("#members tbody tr:first-child", "✕ dead");
    // What both saw is one line.
    browser.wait_text("#events", "member n3 is dead – seen by n1, n2");
    wait::until_true("a ring of two", || browser.count("#ring path") == 2);
    expect_no_complaints(&browser);
}

#[test]
fn traffic_moves_the_rates_and_a_click_explains_its_topic() {
    let mesh = Mesh::start(3);
    let topic = mesh.topic_owned_by(1, "T");
    let context = zmq::Context::new();
    let reader = subscriber(&context, mesh.nodes[2].endpoint(), &["T"]);
    let sender = publisher(&context, mesh.nodes[0].endpoint());
    let browser = looking_at(&mesh.nodes[0]);
    let (taken, delivered) = (
        "#rates .chart:nth-child(1) strong",
        "#rates .chart:nth-child(2) strong",
    );
    wait::until_true("rates above zero", || {
        for _ in 0..20 {
            sender.send_multipart([topic.as_str(), "x"], 0).unwrap();
            receive_data(&reader, PATIENCE).expect("the message comes");
        }
        number(&browser, taken) > 0.0 && number(&browser, delivered) > 0.0
    });
    wait::until_true("a latency", || {
        number(&browser, "#rates .chart:nth-child(5) strong") > 0.0
    });
    browser.wait_text("#topics tbody", "n2");
    browser.run("document.querySelector('#topics tbody a').click()", &[]);
    browser.wait_text("#detail-title", &format!("Topic {topic}"));
    browser.wait_text("#detail-body", "owner n2");
    browser.wait_text(".way", "to subscribers at n3 (1)");
    // It goes back to zero when nothing comes any more.
    wait::until_true("rest", || browser.text(taken) == "0/s");
    expect_no_complaints(&browser);
}

#[test]
fn keys_alone_explain_a_topic_and_open_and_close_a_node() {
    let mesh = Mesh::start(2);
    let context = zmq::Context::new();
    let _reader = subscriber(&context, mesh.nodes[1].endpoint(), &["prices."]);
    let browser = looking_at(&mesh.nodes[0]);
    browser.run("document.querySelector('#topic').focus()", &[]);
    browser.press(&format!("prices.eu & more{ENTER}"));
    browser.wait_text("#detail-title", "Topic prices.eu & more");
    browser.wait_text("#detail-body table", "prices.");
    browser.press(ESCAPE);
    wait::until_true("the end of the details", || {
        browser.count("#detail[hidden]") == 1
    });
    wait::until_true("members", || browser.count("#members tbody a") == 2);
    browser.run("document.querySelectorAll('#members a')[1].focus()", &[]);
    browser.press(ENTER);
    browser.wait_text("#detail-title", "Node n2");
    browser.wait_text("#detail-body", "✓ up");
    browser.wait_text("#detail-body", "SUB");
    browser.wait_text("#detail-body", "prices.");
    expect_no_complaints(&browser);
}

#[test]
fn names_that_look_like_markup_stay_text() {
    let mesh = Mesh::start(1);
    let context = zmq::Context::new();
    let reader = subscriber(&context, mesh.nodes[0].endpoint(), &["<"]);
    let sender = publisher(&context, mesh.nodes[0].endpoint());
    // A topic's key ends at the first space.
    let topic = "<svg/onload=window.hurt=1>";
    for _ in 0..50 {
        sender.send_multipart([topic, "x"], 0).unwrap();
        receive_data(&reader, PATIENCE).expect("the message comes");
    }
    let browser = looking_at(&mesh.nodes[0]);
    browser.wait_text("#topics tbody", topic);
    browser.run("document.querySelector('#topics tbody a').click()", &[]);
    browser.wait_text("#detail-title", topic);
    browser.wait_text("#detail-body table", "<");
    let hash = format!(
        "location.hash = 'node=' + encodeURIComponent({})",
        json!(HOSTILE)
    );
    browser.run(&hash, &[]);
    browser.wait_text("#detail-say", HOSTILE);
    // The node says that there is no such member: that is what the browser logs, and all of it.
    let complaints = browser.complaints();
    assert!(
        complaints.iter().all(|it| it.contains("404")),
        "{complaints:?}"
    );
    browser.press(ESCAPE);
    let mut hostile = made_up(2);
    hostile.cluster = HOSTILE.into();
    hostile.members[1].name = HOSTILE.into();
    hostile.members[1].state = HOSTILE.into();
    hostile.nodes[1].name = HOSTILE.into();
    for event in &mut hostile.events {
        event.subject = HOSTILE.into();
        event.node = HOSTILE.into();
    }
    render(&browser, &hostile);
    for part in ["#cluster", "#members tbody", "#links", "#events"] {
        browser.wait_text(part, HOSTILE);
    }
    assert_eq!(browser.run("return window.hurt ?? null", &[]), Value::Null);
    assert_eq!(browser.count("main img, aside img"), 0);
    assert_eq!(browser.count("td svg, th svg"), 0);
}

#[test]
fn a_hundred_nodes_can_be_looked_through() {
    let mesh = Mesh::start(1);
    let browser = looking_at(&mesh.nodes[0]);
    render(&browser, &made_up(100));
    assert_eq!(browser.count("#members tbody tr"), 100);
    assert_eq!(browser.count("#ring path"), 100);
    // Whoever is in trouble comes first, and it is said plainly that views differ.
    let first = browser.text("#members tbody tr:first-child");
    assert!(
        first.contains("node060") && first.contains("no answer"),
        "{first}"
    );
    let views = browser.text("#fact-views");
    assert!(views.contains("2 different views"), "{views}");
    assert!(views.contains("bad0ba at node007"), "{views}");
    let events = browser.text("#events");
    assert!(
        events.contains("seen by node001, node002, node003"),
        "{events}"
    );
    browser.run("document.querySelector('#filter').focus()", &[]);
    browser.press("node09");
    wait::until_true("ten members", || browser.count("#members tbody tr") == 10);
    for width in [1280, 390] {
        browser.size(width, 800);
        let wider = "return document.documentElement.scrollWidth > innerWidth";
        assert_eq!(browser.run(wider, &[]), json!(false), "{width} wide");
    }
    expect_no_complaints(&browser);
}

#[test]
fn counters_that_fall_are_a_restart_and_no_negative_rate() {
    let mesh = Mesh::start(1);
    let browser = looking_at(&mesh.nodes[0]);
    let mut told = made_up(1);
    // Later than all that was streamed before.
    told.node = "node000".into();
    told.at_ms = 4_000_000_000_000;
    for (taken, uptime) in [(1000, 50.0), (30, 1.0)] {
        let overview = told.nodes[0].overview.as_mut().unwrap();
        overview.node.taken_messages = taken;
        overview.node.uptime_seconds = uptime;
        render(&browser, &told);
        told.at_ms += 1000;
    }
    assert_eq!(browser.text("#rates .chart strong"), "30/s");
}

#[test]
fn a_lost_stream_is_said_and_comes_back_by_itself() {
    let mut mesh = Mesh::start(2);
    let browser = looking_at(&mesh.nodes[0]);
    mesh.nodes[0].kill();
    browser.wait_text("#live", "Stream lost");
    mesh.nodes[0].restart();
    browser.wait_text("#live", "live, seen from n1");
    mesh.nodes[1].signal("STOP");
    browser.wait_text("#members tbody tr:first-child", "n2");
    browser.wait_text("#health", "n2");
    mesh.nodes[1].signal("CONT");
    browser.wait_text("#fact-members", "2 members alive");
}

/// Words whose colour is too near to what is behind them: WCAG 2.2 asks for a contrast of 4.5.
const FAINT: &str = r#"
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const pixel = (colours) => {
  canvas.clearRect(0, 0, 1, 1);
  for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
  return canvas.getImageData(0, 0, 1, 1).data;
};
const luminance = ([red, green, blue]) => {
  const linear = (byte) => {
    const it = byte / 255;
    return it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
};
const faint = [];
let seen = 0;
for (const element of document.body.querySelectorAll("*")) {
  const words = [...element.childNodes].filter((it) => it.nodeType === 3 && it.data.trim());
  if (!words.length || !element.checkVisibility()) continue;
  seen += 1;
  const behind = [];
  for (let it = element; it; it = it.parentElement) {
    behind.unshift(getComputedStyle(it).backgroundColor);
  }
  const style = getComputedStyle(element);
  const colour = element instanceof SVGElement ? style.fill : style.color;
  const back = luminance(pixel(behind));
  const front = luminance(pixel([...behind, colour]));
  const contrast = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
  if (contrast < 4.5) faint.push(`${words[0].data.trim()}: ${contrast.toFixed(2)}`);
}
const back = luminance(pixel([getComputedStyle(document.body).backgroundColor]));
return { faint, seen, dark: back < 0.1 };
"#;

#[test]
fn every_word_can_be_read_in_the_light_and_in_the_dark() {
    let mesh = Mesh::start(1);
    for dark in [false, true] {
        let browser = Browser::start(1280, 800, dark);
        browser.open(&format!("http://{}/", mesh.nodes[0].client));
        browser.wait_text("#live", "live, seen from n1");
        for count in [100, 3] {
            let mut told = made_up(count);
            told.at_ms = 4_000_000_000_000;
            render(&browser, &told);
            let found = browser.run(FAINT, &[]);
            assert_eq!(found["dark"], dark);
            assert!(found["seen"].as_u64() > Some(50), "{found}");
            assert_eq!(found["faint"], json!([]), "dark: {dark}");
        }
    }
}
