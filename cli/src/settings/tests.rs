//! Which source wins, what is refused, and how it is said.

use std::io::Write;
use std::time::Duration;

use super::*;

fn load(
    file: &str,
    variables: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<Settings> {
    let mut on_disk = tempfile::Builder::new().suffix(".toml").tempfile()?;
    on_disk.write_all(file.as_bytes())?;
    Settings::load(&Sources {
        flags: flags
            .iter()
            .map(|(name, value)| (*name, Given::Text((*value).into())))
            .collect(),
        file: Some(on_disk.path().to_path_buf()),
        variables: variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
    })
}

fn complaint(file: &str, variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> String {
    let error = load(file, variables, flags).expect_err("must be refused");
    let text = format!("{error:#}");
    text.split_once(".toml:")
        .map_or(text.clone(), |(_, rest)| rest.to_string())
}

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let file = "cluster = \"of-file\"\nzone = \"of-file\"\nname = \"of-file\"\n";
    let variables = [("ZMESH_ZONE", "of-variable"), ("ZMESH_NAME", "of-variable")];
    let settings = load(file, &variables, &[("name", "of-flag")]).expect("all valid");
    assert_eq!(settings.node.name, "of-flag");
    assert_eq!(settings.node.zone, "of-variable");
    assert_eq!(settings.node.cluster, "of-file");
    assert_eq!(settings.node.port, 5555);
}

#[test]
fn every_setting_can_be_given_by_file_variable_and_flag() {
    for setting in &SETTINGS {
        let value = match setting.name {
            "bind" => "::1",
            "seed" => "10.0.0.1:5556",
            "advertise" => "node1.example",
            "handshake-timeout" | "drain-timeout" => "7s",
            "queue" => "STOCK.=drop-oldest:2MiB,FX=block",
            "queue-policy" => "block",
            "log" => "debug",
            "log-format" => "json",
            name if name.ends_with("port") => "7000",
            "max-message" | "connection-budget" | "node-budget" | "queue-size" => "2MiB",
            "name" | "cluster" | "zone" => "other",
            _ => "9",
        };
        let budget = [("ZMESH_CONNECTION_BUDGET", "64KiB")];
        let expected = if setting.name == "node-budget" {
            &budget[..]
        } else {
            &[]
        };
        let by_flag = load("name = \"n\"", expected, &[(setting.name, value)]);
        let by_flag = by_flag.unwrap_or_else(|error| panic!("{}: {error:#}", setting.name));
        let mut variables = expected.to_vec();
        let variable = setting.variable();
        variables.push((variable.as_str(), value));
        let by_variable = load("name = \"n\"", &variables, &[]).expect("the flag was valid");
        let other_name = if setting.name == "name" {
            ""
        } else {
            "name = \"n\"\n"
        };
        let file = format!("{other_name}{} = \"{value}\"", setting.name);
        let by_file = load(&file, expected, &[]).expect("the flag was valid");
        assert_eq!(by_flag, by_variable, "{}", setting.name);
        assert_eq!(by_flag, by_file, "{}", setting.name);
        assert_ne!(
            by_flag,
            load("name = \"n\"", expected, &[]).expect("defaults")
        );
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_name() {
    assert_eq!(
        complaint("name = \"a\"\n\nconection_budget = \"1MiB\"\n", &[], &[]),
        "3: unknown key `conection_budget`; the nearest that exists is `connection-budget`"
    );
}

#[test]
fn a_wrong_value_of_the_file_is_refused_with_its_line_and_what_is_allowed() {
    for (file, expected) in [
        (
            "weight = 99",
            "1: weight = 99: must be a whole number from 1 to 16",
        ),
        (
            "\nport = \"http\"",
            "2: port = http: must be a whole number from 0 to 65535",
        ),
        (
            "port = 1.5",
            "1: port = a number with a fraction: must be a whole number from 0 to 65535",
        ),
        (
            "name = 7",
            "1: name = 7: must be text of 1 to 64 bytes without spaces",
        ),
        (
            "handshake-timeout = 5",
            "1: handshake-timeout = 5: must be a duration with its unit, such as \"5s\"",
        ),
        (
            "queue-size = 1",
            "1: queue-size = 1: must be a size from 64KiB to 64GiB",
        ),
        (
            "queue-policy = \"drop\"",
            "1: queue-policy = drop: must be one of drop-newest, drop-oldest, disconnect, block",
        ),
    ] {
        assert_eq!(complaint(file, &[], &[]), expected);
    }
}

#[test]
fn a_file_that_is_no_toml_is_refused_with_its_line() {
    assert!(complaint("name = \"a\"\nport =\n", &[], &[]).starts_with("2: "));
    assert!(complaint("port = 1\nport = 2\n", &[], &[]).starts_with("2: "));
    assert!(complaint("[node]\nport = 1\n", &[], &[]).starts_with("1: unknown key `node`"));
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest_name() {
    assert_eq!(
        complaint("", &[("ZMESH_CLUSTR", "a")], &[]),
        "unknown variable ZMESH_CLUSTR; the nearest that exists is ZMESH_CLUSTER"
    );
    let settings = load(
        "",
        &[("ZMESH_NODE", "h:1"), ("PATH", "x"), ("ZMESH_PORT", "")],
        &[],
    );
    assert_eq!(settings.expect("all known or empty").node.port, 5555);
}

#[test]
fn a_wrong_variable_or_flag_is_named_in_the_complaint() {
    assert_eq!(
        complaint("", &[("ZMESH_WEIGHT", "0")], &[]),
        "ZMESH_WEIGHT=0: must be a whole number from 1 to 16"
    );
    assert_eq!(
        complaint("", &[], &[("max-frames", "many")]),
        "--max-frames many: must be a whole number from 1 to 1000000"
    );
}

#[test]
fn a_variable_that_kubernetes_set_is_explained() {
    let said = complaint("", &[("ZMESH_PORT", "tcp://10.0.0.1:5555")], &[]);
    assert!(said.contains("enableServiceLinks"), "{said}");
    let said = complaint("", &[("ZMESH_SERVICE_HOST", "10.0.0.1")], &[]);
    assert!(said.contains("enableServiceLinks"), "{said}");
}

#[test]
fn the_printed_settings_read_back_the_same() {
    let file = "name = \"a\\\"b\"\nseed = [\"h:1\", \"[::1]:2\"]\nlink-port = 9000\n\
                queue-policy = \"block\"\nmax-message = 1234567\nhandshake-timeout = \"1500ms\"\n\
                queue = [\"a,\\\"=b=drop-oldest:1MiB\", \"FX=disconnect\"]";
    let settings = load(file, &[], &[]).expect("all valid");
    let again = load(&settings.to_toml(), &[], &[]).expect("what is printed is valid");
    assert_eq!(settings, again);
    assert!(settings.to_toml().contains("# gossip-port ="));
    // It is a file to start from, also for tables.
    let table = "[[queue]]\nprefix = \"A\"\npolicy = \"block\"\n";
    let printed = load("", &[], &[]).expect("the defaults").to_toml() + table;
    let more = load(&printed, &[], &[]).expect("what is printed, and a table");
    assert_eq!(more.node.queue_rules.len(), 1);
    let twice = complaint(&format!("port = 1\nport = 2\n{table}"), &[], &[]);
    assert!(
        twice.starts_with("2: duplicate key: it is set further up"),
        "{twice}"
    );
}

#[test]
fn rules_for_queues_are_tables_of_the_file_and_short_text_elsewhere() {
    let file = "port = 7000\n\n[[queue]]\nprefix = \"STOCK.\"\npolicy = \"drop-oldest\"\n\
                size = \"1MiB\"\n\n[[queue]]\npolicy = \"block\"\nprefix = \"ORDER\"\n";
    let of_file = load(file, &[], &[]).expect("all valid").node;
    let text = "STOCK.=drop-oldest:1MiB, ORDER=block";
    let of_variable = load("", &[("ZMESH_QUEUE", text)], &[]).expect("all valid");
    assert_eq!(of_file.port, 7000);
    assert_eq!(of_file.queue_rules, of_variable.node.queue_rules);
    let [stock, order] = &of_file.queue_rules[..] else {
        panic!("two rules: {:?}", of_file.queue_rules)
    };
    assert_eq!((&*stock.prefix, stock.bytes), ("STOCK.", Some(1 << 20)));
    assert_eq!((&*order.prefix, order.bytes), ("ORDER", None));
    // A flag replaces the rules of the file, as any other flag does.
    let of_flag = load(file, &[], &[("queue", "A=b=disconnect")]).expect("valid");
    assert_eq!(of_flag.node.queue_rules.len(), 1);
    assert_eq!(of_flag.node.queue_rules[0].prefix, "A=b");
}

#[test]
fn a_wrong_rule_for_queues_is_refused_with_its_line_and_what_is_allowed() {
    let policies = "must be one of drop-newest, drop-oldest, disconnect, block";
    for (table, expected) in [
        ("prefix = \"A\"", "3: [[queue]] needs a policy".to_string()),
        ("policy = \"block\"", "3: [[queue]] needs a prefix".into()),
        (
            "prefix = \"A\"\npolicy = \"drop\"",
            format!("5: policy = drop: {policies}"),
        ),
        (
            "prefix = \"A\"\npolicy = \"block\"\nsize = 5",
            "6: size = 5: must be a size from 64KiB to 64GiB".into(),
        ),
        (
            "prefx = \"A\"\npolicy = \"block\"",
            "4: unknown key `prefx` of [[queue]]; it has prefix, policy, size".into(),
        ),
        (
            "prefix = \"$zmesh.ready\"\npolicy = \"block\"",
            "4: prefix = $zmesh.ready: topics that begin with $ are the mesh's own".into(),
        ),
        (
            "prefix = 7\npolicy = \"block\"",
            "4: prefix = 7: must be text".into(),
        ),
    ] {
        let file = format!("port = 7000\n\n[[queue]]\n{table}\n");
        assert_eq!(complaint(&file, &[], &[]), expected);
    }
    let twice = "[[queue]]\nprefix = \"A\"\npolicy = \"block\"\n";
    assert_eq!(
        complaint(&twice.repeat(2), &[], &[]),
        "4: there are two rules for A: keep one"
    );
    for (text, expected) in [
        (
            "STOCK.",
            "must be PREFIX=POLICY[:SIZE], such as STOCK.=drop-oldest:1MiB".to_string(),
        ),
        ("A=drop", format!("the policy of A {policies}")),
        (
            "A=block:1",
            "the size of A must be a size from 64KiB to 64GiB".into(),
        ),
        (
            "=block",
            "an empty prefix is every topic: set queue-policy and queue-size".into(),
        ),
        (
            "A=block,A=disconnect",
            "there are two rules for A: keep one".into(),
        ),
    ] {
        let said = complaint("", &[("ZMESH_QUEUE", text)], &[]);
        assert_eq!(said, format!("ZMESH_QUEUE={text}: {expected}"));
    }
    assert!(complaint("[[port]]\nprefix = \"A\"\n", &[], &[]).starts_with("1: port = "));
}

#[test]
fn an_address_that_nobody_can_connect_to_is_not_advertised() {
    assert!(complaint("advertise = \"0.0.0.0\"", &[], &[]).contains("name the host"));
    assert!(complaint("advertise = \"[::]\"", &[], &[]).contains("name the host"));
    load("bind = \"0.0.0.0\"", &[], &[]).expect("listens everywhere");
}

#[test]
fn the_three_ports_must_exist_and_differ() {
    assert!(complaint("port = 65534", &[], &[]).contains("--link-port"));
    load("port = 65534\nlink-port = 7000", &[], &[]).expect("its own link port");
    assert_eq!(
        complaint("port = 7000\nlink-port = 7001", &[], &[]),
        "gossip-port and link-port are both 7001: give each its own"
    );
    load("port = 0", &[], &[]).expect("free ports");
}

#[test]
fn a_connection_cannot_have_a_larger_budget_than_the_node() {
    let said = complaint("connection-budget = \"1GiB\"", &[], &[]);
    assert_eq!(
        said,
        "connection-budget (1GiB) must not be larger than node-budget (256MiB)"
    );
}

#[test]
fn without_a_name_the_host_name_is_taken() {
    let settings = load("", &[], &[]).expect("this machine has a name");
    assert!(!settings.node.name.is_empty());
    let mut file = tempfile::NamedTempFile::new().expect("temporary file");
    file.write_all(b"web-7\n").expect("written");
    assert_eq!(host_name(file.path()).expect("a valid name"), "web-7");
}

#[test]
fn rules_for_services_are_tables_of_the_file_and_short_text_elsewhere() {
    let file = "[[service]]\nname = \"prices\"\ndeadline = \"2s\"\nidempotent = true\n\n\
                [[service]]\nname = \"orders\"\nin-flight = 7\nbreaker = 0\n";
    let of_file = load(file, &[], &[]).expect("all valid").node;
    let text = "prices:deadline=2s:idempotent=yes, orders:in-flight=7:breaker=0";
    let of_variable = load("", &[("ZMESH_SERVICE", text)], &[]).expect("all valid");
    assert_eq!(of_file.service_rules, of_variable.node.service_rules);
    let [prices, orders] = &of_file.service_rules[..] else {
        panic!("two rules: {:?}", of_file.service_rules)
    };
    assert_eq!(prices.deadline, Duration::from_secs(2));
    assert_eq!((prices.idempotent, orders.idempotent), (true, false));
    assert_eq!((orders.in_flight, orders.breaker), (7, 0));
    let printed = of_variable.to_toml();
    assert_eq!(
        load(&printed, &[], &[]).expect("what is printed is valid"),
        of_variable
    );
}

#[test]
fn a_wrong_rule_for_services_is_refused_with_its_line_and_what_is_allowed() {
    for (table, expected) in [
        ("deadline = \"2s\"", "1: [[service]] needs a name"),
        (
            "name = \"A\"\ndeadline = \"2h\"",
            "3: deadline = 2h: must be a duration from 10ms to 1h",
        ),
        (
            "name = \"A\"\ndeadline = \"1ms\"",
            "3: deadline = 1ms: must be a duration from 10ms to 1h",
        ),
        (
            "name = \"A\"\nidempotent = 1",
            "3: idempotent = 1: must be yes or no",
        ),
        (
            "name = \"A\"\nin-flight = 0",
            "3: in-flight = 0: must be a whole number from 1 to 1000000",
        ),
        (
            "name = \"$zmesh\"",
            "2: name = $zmesh: names that begin with $ are the mesh's own",
        ),
        (
            "nme = \"A\"",
            "2: unknown key `nme` of [[service]]; it has name, deadline, in-flight, idempotent, \
             breaker, rep-port",
        ),
    ] {
        assert_eq!(
            complaint(&format!("[[service]]\n{table}\n"), &[], &[]),
            expected
        );
    }
    for (text, expected) in [
        (
            "A:deadline",
            "must be NAME:KEY=VALUE, such as prices:deadline=2s:idempotent=yes",
        ),
        (
            "A:deadline=2",
            "deadline of A must be a duration with its unit, such as 250ms, 5s or 2m",
        ),
        (
            "A:x=2",
            "x of A is no key of a service; it has deadline, in-flight, idempotent, breaker, \
             rep-port",
        ),
        ("A,A", "there are two rules for A: keep one"),
    ] {
        let said = complaint("", &[("ZMESH_SERVICE", text)], &[]);
        assert_eq!(said, format!("ZMESH_SERVICE={text}: {expected}"));
    }
}
