//! Rules for services: `NAME:KEY=VALUE…` as a flag, between commas in the variable, tables
//! `[[service]]` in the file.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeTable;
use zmesh_node::config::{MAX_DEADLINE, MAX_RULES, ServiceRule};

use super::given::{Given, Refusal};
use super::tables::{Misplaced, Table, refuse_twice};
use super::units;

/// The setting.
pub(super) const NAME: &str = "service";

const DEADLINES: RangeInclusive<Duration> = Duration::from_millis(10)..=MAX_DEADLINE;
const IN_FLIGHT: RangeInclusive<u64> = 1..=1_000_000;
const FAILURES: RangeInclusive<u64> = 0..=1_000_000;

const FORM: &str = "must be NAME:KEY=VALUE, such as prices:deadline=2s:idempotent=yes";

/// Keys of a table in the file.
const KEYS: [&str; 6] = [
    "name",
    "deadline",
    "in-flight",
    "idempotent",
    "breaker",
    "rep-port",
];

/// The rules that a flag, a variable or a list of strings in the file gives.
pub(super) fn read(given: &Given) -> Result<Vec<ServiceRule>, Refusal> {
    let rules: Result<Vec<ServiceRule>, Refusal> = match given {
        Given::Text(text) => text.split(',').map(|text| read_one(text.trim())).collect(),
        Given::List(all) => all.iter().map(|text| read_one(text)).collect(),
        Given::Services(rules) => Ok(rules.clone()),
        _ => Err(format!("{FORM}, or a table [[service]] with a name")),
    };
    let rules = rules?;
    if rules.len() > MAX_RULES {
        return Err(format!("must be at most {MAX_RULES} rules"));
    }
    refuse_twice(&rules, |rule| &rule.name)?;
    Ok(rules)
}

/// Rules as tables.
pub(super) fn show(rules: &[ServiceRule]) -> Vec<Vec<(&'static str, String)>> {
    let table = |rule: &ServiceRule| {
        let values = [
            Some(rule.name.clone()),
            Some(units::show_duration(rule.deadline)),
            Some(rule.in_flight.to_string()),
            Some(if rule.idempotent { "yes" } else { "no" }.into()),
            Some(rule.breaker.to_string()),
            rule.rep_port.map(|port| port.to_string()),
        ];
        let keys = KEYS.into_iter().zip(values);
        keys.filter_map(|(key, value)| Some((key, value?)))
            .collect()
    };
    rules.iter().map(table).collect()
}

/// The rules in tables of the file.
pub(super) fn of_tables(tables: &[(usize, &DeTable<'_>)]) -> Result<Vec<ServiceRule>, Misplaced> {
    let mut rules = Vec::new();
    for (at, table) in tables {
        let table = Table::of(NAME, *at, table, &KEYS)?;
        let name = table.need("name", |it| read_name(&it.text()?))?;
        let mut rule = ServiceRule::named(name);
        for key in &KEYS[1..] {
            table.read(key, |given| set(&mut rule, key, given))?;
        }
        rules.push(rule);
        refuse_twice(&rules, |rule| &rule.name).map_err(|refusal| (*at, refusal))?;
    }
    Ok(rules)
}

fn read_one(text: &str) -> Result<ServiceRule, Refusal> {
    let mut parts = text.split(':');
    let name = read_name(parts.next().unwrap_or_default())?;
    let mut rule = ServiceRule::named(name);
    for part in parts {
        let (key, value) = part.split_once('=').ok_or(FORM)?;
        let set = set(&mut rule, key, &Given::Text(value.into()));
        set.map_err(|refusal| format!("{key} of {} {refusal}", rule.name))?;
    }
    Ok(rule)
}

fn set(rule: &mut ServiceRule, key: &str, given: &Given) -> Result<(), Refusal> {
    match key {
        "deadline" => rule.deadline = given.duration(DEADLINES)?,
        "in-flight" => rule.in_flight = given.number(IN_FLIGHT)? as u32,
        "idempotent" => rule.idempotent = given.truth()?,
        "breaker" => rule.breaker = given.number(FAILURES)? as u32,
        "rep-port" => rule.rep_port = Some(given.port()?),
        _ => {
            return Err(format!(
                "is no key of a service; it has {}",
                KEYS[1..].join(", ")
            ));
        }
    }
    Ok(())
}

fn read_name(text: &str) -> Result<String, Refusal> {
    const LONGEST: usize = 255;
    if text.is_empty() || text.len() > LONGEST {
        return Err(format!("a service has a name of 1 to {LONGEST} bytes"));
    }
    if text.starts_with('$') {
        return Err("names that begin with $ are the mesh's own".into());
    }
    Ok(text.into())
}
