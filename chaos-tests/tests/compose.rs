//! `docker-compose.yml` and what its containers read, as far as that can be tried without Docker:
//! what is mounted exists and is what the programs in the containers are told, names and ports
//! fit each other, and the real program takes the flags of its containers.

use chaos_tests::live::options::zmesh;
use chaos_tests::live::sooner::yaml;
use chaos_tests::tidy::root;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

fn compose() -> Value {
    yaml("docker-compose.yml").expect("docker-compose.yml")
}

fn service(name: &str) -> Value {
    let found = compose()["services"][name].clone();
    assert!(found.is_object(), "a service {name}");
    found
}

/// The strings of a list; none if it is not there.
fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.map(|it| it.as_str().expect("a string").to_string())
        .collect()
}

fn nodes() -> Vec<(String, Value)> {
    let all = compose()["services"].as_object().cloned();
    let all = all.expect("services").into_iter();
    let nodes: Vec<_> = all.filter(|(_, it)| it["image"] == "zmesh").collect();
    assert_eq!(nodes.len(), 3);
    nodes
}

/// Where a file that a container sees at this path lies here, by what is mounted.
fn here(service: &Value, inside: &str) -> Option<PathBuf> {
    let mounts = strings(&service["volumes"]);
    let found = mounts.iter().find_map(|mount| {
        let mut parts = mount.split(':');
        let (from, to) = (parts.next()?, parts.next()?);
        let rest = Path::new(inside).strip_prefix(to).ok()?;
        let from = from.strip_prefix("./")?;
        let path = root().join(from);
        Some(if rest.as_os_str().is_empty() {
            path
        } else {
            path.join(rest)
        })
    })?;
    found.exists().then_some(found)
}

/// The value of a flag in a service's command.
fn flag(service: &Value, start: &str) -> String {
    let command = strings(&service["command"]);
    let found = command.iter().find_map(|it| it.strip_prefix(start));
    found
        .unwrap_or_else(|| panic!("{start} in {command:?}"))
        .into()
}

/// Whether a container's port is published.
fn publishes(service: &Value, port: &str) -> bool {
    let ports = strings(&service["ports"]);
    ports.iter().any(|it| it.ends_with(&format!(":{port}")))
}

/// The words of a line of the Dockerfile behind its instruction.
fn dockerfile(instruction: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join("Dockerfile")).expect("Dockerfile");
    let text = text.replace("\\\n", " ");
    let lines = text.lines().filter_map(|it| it.strip_prefix(instruction));
    let words = lines.map(|rest| rest.split_whitespace().map(String::from).collect());
    words.collect()
}

#[test]
fn what_is_mounted_is_there_for_reading_only() {
    for (name, service) in compose()["services"].as_object().expect("services") {
        for mount in strings(&service["volumes"]) {
            let Some(mount) = mount.strip_prefix("./") else {
                let volume = mount.split(':').next().unwrap_or_default();
                let declared = compose()["volumes"].get(volume).is_some();
                assert!(declared, "{name}: the volume {volume} is not declared");
                continue;
            };
            let path = mount.split(':').next().unwrap_or_default();
            assert!(root().join(path).exists(), "{name}: no {path}");
            assert!(mount.ends_with(":ro"), "{name}: {mount}");
        }
    }
}

#[test]
fn images_of_others_are_pinned_to_a_version() {
    for (name, service) in compose()["services"].as_object().expect("services") {
        let image = service["image"].as_str().expect("an image");
        let (_, tag) = image.split_once(':').unwrap_or((image, ""));
        let version = tag.trim_start_matches('v');
        let parts = version.split('.').filter(|it| it.parse::<u32>().is_ok());
        assert!(image == "zmesh" || parts.count() == 3, "{name}: {image}");
    }
    // The image of the nodes is built, by one of them.
    let builds = nodes().into_iter().filter(|(_, it)| it["build"] == ".");
    assert_eq!(builds.count(), 1);
}

#[test]
fn the_program_takes_the_flags_of_its_containers() {
    for (name, node) in nodes() {
        let output = zmesh()
            .args(strings(&node["command"]))
            .arg("--print-config")
            .output()
            .expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        let printed = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<&str> = printed.lines().collect();
        for wanted in [
            format!("name = \"{name}\""),
            format!("advertise = \"{name}\""),
        ] {
            assert!(lines.contains(&wanted.as_str()), "{wanted} in {printed}");
        }
        assert!(lines.contains(&"port = 5555"), "{printed}");
        for (other, _) in nodes().iter().filter(|(other, _)| *other != name) {
            let seed = format!("\"{other}:5556\"");
            assert!(printed.contains(&seed), "{name} has the seed {seed}");
        }
        assert!(publishes(&node, "5555"), "{name}");
    }
}

#[test]
fn the_image_runs_the_program_as_nobody_special_with_its_three_ports() {
    assert_eq!(dockerfile("EXPOSE "), [["5555", "5556", "5557"]]);
    assert_eq!(dockerfile("USER "), [["zmesh"]]);
    assert_eq!(dockerfile("ENTRYPOINT "), [["[\"zmesh\"]"]]);
    let check = dockerfile("HEALTHCHECK ").concat().join(" ");
    assert!(check.ends_with("CMD [\"zmesh\", \"status\"]"), "{check}");
    let verb = zmesh().args(["status", "--help"]).output();
    assert!(verb.is_ok_and(|output| output.status.success()));
    let mut command = zmesh();
    command
        .args(["node", "--print-config"])
        .env("ZMESH_BIND", "0.0.0.0");
    let printed = command.output().expect("the program starts").stdout;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    assert_eq!(dockerfile("ENV "), [["ZMESH_BIND=0.0.0.0"]]);
    assert!(printed.contains("bind = \"0.0.0.0\""), "{printed}");
}

#[test]
fn every_member_of_the_workspace_comes_into_the_build_of_the_image() {
    let ignored = fs::read_to_string(root().join(".dockerignore")).expect(".dockerignore");
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let members = manifest.lines().find(|line| line.starts_with("members"));
    let members = members.expect("members").split('"').skip(1).step_by(2);
    for needed in members.chain(["Cargo.toml", "Cargo.lock"]) {
        let line = format!("!{needed}");
        assert!(
            ignored.lines().any(|it| it == line),
            "{line} in .dockerignore"
        );
    }
}

#[test]
fn prometheus_finds_its_files_the_nodes_and_the_alertmanager() {
    let prometheus = service("prometheus");
    let inside = flag(&prometheus, "--config.file=");
    let path = here(&prometheus, &inside).unwrap_or_else(|| panic!("{inside} is not mounted"));
    let path = path.strip_prefix(root()).expect("below the root");
    let config = yaml(&path.to_string_lossy()).expect("a configuration");
    for file in strings(&config["rule_files"]) {
        let file = Path::new(&inside).with_file_name(file);
        let file = file.to_string_lossy();
        assert!(here(&prometheus, &file).is_some(), "{file} is not mounted");
    }
    let found = &config["scrape_configs"][0]["dns_sd_configs"][0];
    assert_eq!(found["port"], 5555);
    for (name, node) in nodes() {
        let aliases = strings(&node["networks"]["default"]["aliases"]);
        let known = strings(&found["names"]);
        assert!(
            known.iter().all(|it| aliases.contains(it)),
            "{name}: {aliases:?}"
        );
    }
    let told = &config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"];
    assert_eq!(strings(told), ["alertmanager:9093"]);
    let alertmanager = service("alertmanager");
    assert!(publishes(&alertmanager, "9093"));
    let inside = flag(&alertmanager, "--config.file=");
    assert!(
        here(&alertmanager, &inside).is_some(),
        "{inside} is not mounted"
    );
}

#[test]
fn grafana_finds_its_boards_and_prometheus() {
    let grafana = service("grafana");
    let sources = yaml("dashboards/grafana/provisioning/datasources/prometheus.yml");
    let url = sources.expect("datasources")["datasources"][0]["url"].clone();
    assert_eq!(url, "http://prometheus:9090");
    assert!(publishes(&service("prometheus"), "9090"));
    for folder in ["datasources", "dashboards"] {
        let inside = format!("/etc/grafana/provisioning/{folder}");
        assert!(here(&grafana, &inside).is_some(), "{inside} is not mounted");
    }
    let providers = yaml("dashboards/grafana/provisioning/dashboards/zmesh.yml");
    let path = providers.expect("providers")["providers"][0]["options"]["path"].clone();
    let path = path.as_str().expect("a path").to_string();
    for board in ["mesh", "node", "messages", "gossip"] {
        let inside = format!("{path}/{board}.json");
        assert!(here(&grafana, &inside).is_some(), "{inside} is not mounted");
    }
    let home = &grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"];
    let home = home.as_str().expect("a path");
    assert!(here(&grafana, home).is_some(), "{home} is not mounted");
}
