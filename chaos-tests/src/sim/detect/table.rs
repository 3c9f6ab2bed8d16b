//! The figures as text and as pictures.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::figures::{Figures, Life, Way};
use super::measure::{Crash, Detection, percentile};
use super::plot::{Chart, Series};
use super::profiles::Profile;
use crate::sim::Time;

/// What is aimed at for a lost host without loss: members, and seconds at p50 and p99.
pub const TARGETS: [(usize, f64, f64); 4] = [
    (3, 1.7, 2.3),
    (32, 2.2, 3.0),
    (256, 3.1, 4.0),
    (1000, 3.7, 4.7),
];

/// All tables.
pub fn tables(figures: &Figures) -> String {
    let mut text = String::new();
    targets(figures, &mut text);
    show(
        &mut text,
        "detection.svg",
        "Time to detection by number of members",
    );
    for (crash, what) in [
        (Crash::HostLost, "A host is lost without a word"),
        (Crash::Killed, "A process is killed"),
    ] {
        let _ = writeln!(
            text,
            "\n{what}: seconds until a survivor declares it dead, p50 / p99 over all survivors \
             (never: not within two minutes).\n"
        );
        by_way(figures, crash, &mut text, |found| {
            let missed = match found.missed {
                0 => String::new(),
                missed => format!(" ({missed} never)"),
            };
            format!("{} / {}{missed}", p(found, 50), p(found, 99))
        });
        if crash == Crash::HostLost {
            show(&mut text, "loss.svg", "Time to detection by lost packets");
        }
    }
    let _ = writeln!(
        text,
        "\nLiving members declared dead meanwhile, counted at each member that declared it, in so \
         many node-hours.\n"
    );
    by_way(figures, Crash::HostLost, &mut text, |found| {
        let hours = found.watched.as_secs_f64() / 3600.0;
        format!("{} in {hours:.1} h", found.false_deaths)
    });
    starved(figures, &mut text);
    let name = "Healthy members declared dead by number of starved ones";
    show(&mut text, "starved.svg", name);
    meshes(figures, &mut text);
    heals(figures, &mut text);
    half_dead(figures, &mut text);
    text
}

/// Shows a picture.
fn show(text: &mut String, file: &str, name: &str) {
    let _ = writeln!(text, "\n![{name}](reliability/{file})");
}

fn p(found: &Detection, percent: usize) -> String {
    format!("{:.2}", percentile(&found.times, percent).as_secs_f64())
}

fn row(text: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn head(text: &mut String, cells: &[String]) {
    row(text, cells.iter().cloned());
    row(text, cells.iter().map(|_| "---".into()));
}

fn ours(figures: &Figures) -> impl Iterator<Item = &Life> {
    let lives = figures.lives.iter();
    lives.filter(|life| life.way.profile == Profile::Local)
}

fn targets(figures: &Figures, text: &mut String) {
    let cells = [
        "members",
        "host lost, p50 / p99",
        "target",
        "killed, p99",
        "target",
        "memberlist_lan (UDP), host lost",
        "times longer at p50",
    ];
    head(text, &cells.map(String::from));
    for life in ours(figures) {
        let Some(lost) = life.found.get(&(Crash::HostLost, 0)) else {
            continue;
        };
        let target = TARGETS.iter().find(|(nodes, ..)| *nodes == life.nodes);
        let killed = life.found.get(&(Crash::Killed, 0));
        let theirs = figures.lives.iter().find(|other| {
            let way = (other.way.profile, other.way.datagrams);
            other.nodes == life.nodes && way == (Profile::MemberlistLan, true)
        });
        let theirs = theirs.and_then(|other| other.found.get(&(Crash::HostLost, 0)));
        let times = |theirs: &Detection| {
            let [theirs, ours] = [theirs, lost].map(|it| percentile(&it.times, 50));
            theirs.as_secs_f64() / ours.as_secs_f64()
        };
        row(
            text,
            [
                life.nodes.to_string(),
                format!("{} / {}", p(lost, 50), p(lost, 99)),
                target.map_or(String::new(), |(_, p50, p99)| format!("{p50} / {p99}")),
                killed.map_or(String::new(), |found| p(found, 99)),
                "1.2".into(),
                theirs.map_or(String::new(), |it| format!("{} / {}", p(it, 50), p(it, 99))),
                theirs.map_or(String::new(), |it| format!("{:.1}", times(it))),
            ],
        );
    }
}

/// One column a way, one row for each number of members and each loss.
fn by_way(figures: &Figures, crash: Crash, text: &mut String, cell: impl Fn(&Detection) -> String) {
    let has = |way: &Way| {
        let mut lives = figures.lives.iter().filter(|life| life.way == *way);
        lives.any(|life| life.found.keys().any(|(kind, _)| *kind == crash))
    };
    let ways: Vec<Way> = Way::ALL.into_iter().filter(has).collect();
    let names = ways.iter().map(|way| way.name());
    let first = ["members".to_string(), "loss".to_string()];
    head(text, &first.into_iter().chain(names).collect::<Vec<_>>());
    let rows: BTreeSet<(usize, u32)> = figures
        .lives
        .iter()
        .flat_map(|life| life.found.keys().map(|(_, loss)| (life.nodes, *loss)))
        .collect();
    for (nodes, loss) in rows {
        let found = ways.iter().map(|way| {
            let mut lives = figures.lives.iter();
            let life = lives.find(|life| (life.way, life.nodes) == (*way, nodes));
            life.and_then(|life| life.found.get(&(crash, loss)))
                .map_or("–".into(), &cell)
        });
        let first = [nodes.to_string(), format!("{loss} %")];
        row(text, first.into_iter().chain(found));
    }
}

fn starved(figures: &Figures, text: &mut String) {
    let _ = writeln!(
        text,
        "\nSome members of {} stand still for 0.5 to 6 s, run for up to 0.1 s, and so on, for a \
         minute. Members that ran as they should and were declared dead by anybody (in brackets: \
         by one that ran as it should) · starved members declared dead; counted at each member \
         that declared it.\n",
        figures.starved_of
    );
    let names = Way::ALL.iter().map(|way| way.name());
    let first = ["starved".to_string()];
    head(text, &first.into_iter().chain(names).collect::<Vec<_>>());
    let counts: BTreeSet<usize> = figures.starved.keys().map(|(count, _)| *count).collect();
    for count in counts {
        let cells = Way::ALL.iter().map(|way| {
            let found = figures.starved.get(&(count, *way));
            found.map_or("–".into(), |it| {
                format!(
                    "{} ({}) · {}",
                    it.healthy, it.healthy_at_healthy, it.starved
                )
            })
        });
        row(text, [count.to_string()].into_iter().chain(cells));
    }
    let _ = writeln!(
        text,
        "\nWho stands still for longer than zmesh takes to find the dead, about two seconds, is \
         rightly declared dead by it, and taken back when it goes on."
    );
}

fn meshes(figures: &Figures, text: &mut String) {
    let _ = writeln!(
        text,
        "\nA mesh without faults: from the last start (all within one second) to one view; time \
         and rounds of gossip until a changed record is with everybody, median / longest; bytes a \
         second and node of packets (with frames, heartbeats and handshakes) when idle, and when a \
         host is lost every 20 s and comes back.\n"
    );
    let cells = [
        "members",
        "way",
        "cold start, s",
        "change with all, s",
        "rounds",
        "log2 N",
        "idle, B/s",
        "churn, B/s",
    ];
    head(text, &cells.map(String::from));
    for life in &figures.lives {
        let interval = life.way.profile.config(life.nodes).gossip_interval;
        let spread = [percentile(&life.spread, 50), percentile(&life.spread, 100)];
        let seconds = spread.map(|time| format!("{:.2}", time.as_secs_f64()));
        let rounds =
            spread.map(|time: Time| format!("{:.1}", time.as_secs_f64() / interval.as_secs_f64()));
        let rate = |it: &super::measure::Traffic| format!("{:.0} ({:.0})", it.packets, it.written);
        row(
            text,
            [
                life.nodes.to_string(),
                life.way.name(),
                format!("{:.1}", life.cold_start.as_secs_f64()),
                seconds.join(" / "),
                rounds.join(" / "),
                format!("{:.1}", (life.nodes as f64).log2()),
                rate(&life.idle),
                life.churn.as_ref().map_or("–".into(), rate),
            ],
        );
    }
}

fn heals(figures: &Figures, text: &mut String) {
    let _ = writeln!(
        text,
        "\nA mesh is cut in two (3 | 2, 16 | 16, 128 | 128) and the cut ends: seconds until all \
         are in one view, median / longest of so many cuts; and how often a member was declared \
         dead on its own side because of what the other side said. memberlist itself does not come \
         together again; modelled is Serf's call on one dead member every 30 s. 0.0: nobody had \
         been declared dead yet.\n"
    );
    let cells = [
        "members",
        "cut, s",
        "way",
        "one view after, s",
        "cuts",
        "declared dead on its own side",
    ];
    head(text, &cells.map(String::from));
    for ((nodes, seconds, profile), heals) in &figures.heals {
        let mut times: Vec<Time> = heals.iter().filter_map(|heal| heal.took).collect();
        times.sort_unstable();
        let [median, longest] = [50, 100].map(|percent| percentile(&times, percent).as_secs_f64());
        let never = match heals.len() - times.len() {
            0 => String::new(),
            never => format!(" ({never} never)"),
        };
        let inside: usize = heals.iter().map(|heal| heal.deaths_inside).sum();
        row(
            text,
            [
                nodes.to_string(),
                seconds.to_string(),
                profile.name().into(),
                format!("{median:.1} / {longest:.1}{never}"),
                heals.len().to_string(),
                inside.to_string(),
            ],
        );
    }
}

fn half_dead(figures: &Figures, text: &mut String) {
    let _ = writeln!(
        text,
        "\nHalf of a mesh of {} is lost for good: what each of the others sends, calls on the \
         dead included, so long after.\n",
        figures.half_dead_of
    );
    let cells = ["dead for, s", "packets, B/s", "connections begun, 1/s"];
    head(text, &cells.map(String::from));
    for (seconds, rate) in &figures.half_dead {
        row(
            text,
            [
                seconds.to_string(),
                format!("{:.0}", rate.packets),
                format!("{:.2}", rate.connections),
            ],
        );
    }
}

/// Pictures by file name.
pub fn pictures(figures: &Figures) -> Vec<(&'static str, Chart)> {
    vec![
        ("detection.svg", by_members(figures)),
        ("loss.svg", by_loss(figures)),
        ("starved.svg", by_starved(figures)),
    ]
}

/// The same colour everywhere for the same settings.
fn colour(way: Way) -> usize {
    match way.profile {
        Profile::Local => 0,
        Profile::Swim => 1,
        Profile::MemberlistLan => 2,
    }
}

/// Each profile once: over what it is meant for.
fn shown(way: Way) -> bool {
    way.datagrams != (way.profile == Profile::Local)
}

fn by_members(figures: &Figures) -> Chart {
    let mut series = Vec::new();
    let marks: BTreeSet<usize> = figures.lives.iter().map(|life| life.nodes).collect();
    let mut line = |way: Way, crash, percent, name: String, colour| {
        let lives = figures.lives.iter().filter(|life| life.way == way);
        let points = lives.filter_map(|life| {
            let found = life.found.get(&(crash, 0))?;
            let time = percentile(&found.times, percent);
            Some((life.nodes as f64, time.as_secs_f64()))
        });
        series.push(Series {
            name,
            colour,
            dashed: percent == 99,
            points: points.collect(),
        });
    };
    for way in Way::ALL.into_iter().filter(|way| shown(*way)) {
        for percent in [50, 99] {
            let name = format!("{} p{percent}", way.profile.name());
            line(way, Crash::HostLost, percent, name, colour(way));
        }
    }
    let ours = Way::ALL[0];
    line(ours, Crash::Killed, 99, "zmesh, killed p99".into(), 3);
    Chart {
        title: "From the loss of a host until a survivor declares it dead".into(),
        across: "members".into(),
        up: "seconds".into(),
        marks: marks.into_iter().map(|nodes| nodes as f64).collect(),
        logarithmic: true,
        series,
    }
}

fn by_loss(figures: &Figures) -> Chart {
    let sizes = figures.lives.iter().map(|life| life.nodes);
    let nodes = sizes
        .filter(|nodes| *nodes <= 256)
        .max()
        .unwrap_or_default();
    let mut series = Vec::new();
    let mut marks = BTreeSet::new();
    for way in Way::ALL.into_iter().filter(|way| shown(*way)) {
        let mut lives = figures.lives.iter();
        let Some(life) = lives.find(|life| (life.way, life.nodes) == (way, nodes)) else {
            continue;
        };
        for percent in [50, 99] {
            let lost = life
                .found
                .iter()
                .filter(|((crash, _), _)| *crash == Crash::HostLost);
            let points = lost.map(|((_, loss), found)| {
                marks.insert(*loss);
                let time = percentile(&found.times, percent);
                (f64::from(*loss), time.as_secs_f64())
            });
            series.push(Series {
                name: format!("{} p{percent}", way.profile.name()),
                colour: colour(way),
                dashed: percent == 99,
                points: points.collect(),
            });
        }
    }
    Chart {
        title: format!("The same among {nodes} members where packets are lost"),
        across: "lost packets, percent (zmesh: TCP, the others: datagrams)".into(),
        up: "seconds".into(),
        marks: marks.into_iter().map(f64::from).collect(),
        logarithmic: false,
        series,
    }
}

fn by_starved(figures: &Figures) -> Chart {
    let counts: BTreeSet<usize> = figures.starved.keys().map(|(count, _)| *count).collect();
    let line = |way: Way| {
        let found = figures.starved.iter().filter(|((_, of), _)| *of == way);
        Series {
            name: way.profile.name().into(),
            colour: colour(way),
            dashed: false,
            points: found
                .map(|((count, _), it)| (*count as f64, it.healthy as f64))
                .collect(),
        }
    };
    let ways = Way::ALL.into_iter().filter(|way| shown(*way));
    Chart {
        title: "Members that ran as they should, declared dead".into(),
        across: format!("starved members of {}", figures.starved_of),
        up: "declarations in a minute".into(),
        marks: counts.into_iter().map(|count| count as f64).collect(),
        logarithmic: true,
        series: ways.map(line).collect(),
    }
}
