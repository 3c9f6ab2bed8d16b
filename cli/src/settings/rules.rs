//! Rules for the queues of some topics: `PREFIX=POLICY[:SIZE]` as a flag, between commas in the
//! variable, tables `[[queue]]` in the file.

use std::ops::RangeInclusive;

use toml::de::DeTable;
use zmesh_node::config::{MAX_RULES, QueuePolicy, QueueRule};

use super::given::{Given, Refusal};
use super::tables::{Misplaced, Table, refuse_twice};
use super::units;

/// The setting.
pub(super) const NAME: &str = "queue";

/// The size of a queue, also without a rule.
pub(super) const SIZES: RangeInclusive<u64> = 64 << 10..=64 << 30;

const FORM: &str = "must be PREFIX=POLICY[:SIZE], such as STOCK.=drop-oldest:1MiB";

/// Keys of a table in the file.
const KEYS: [&str; 3] = ["prefix", "policy", "size"];

/// The rules that a flag, a variable or a list of strings in the file gives.
pub(super) fn read(given: &Given) -> Result<Vec<QueueRule>, Refusal> {
    let rules: Result<Vec<QueueRule>, Refusal> = match given {
        Given::Text(text) => text.split(',').map(|text| read_one(text.trim())).collect(),
        Given::List(all) => all.iter().map(|text| read_one(text)).collect(),
        Given::Rules(rules) => Ok(rules.clone()),
        _ => Err(format!(
            "{FORM}, or a table [[queue]] with prefix and policy"
        )),
    };
    let rules = rules?;
    if rules.len() > MAX_RULES {
        return Err(format!("must be at most {MAX_RULES} rules"));
    }
    refuse_twice(&rules, |rule| &rule.prefix)?;
    Ok(rules)
}

/// Rules as tables.
pub(super) fn show(rules: &[QueueRule]) -> Vec<Vec<(&'static str, String)>> {
    let table = |rule: &QueueRule| {
        let size = rule.bytes.map(|bytes| units::show_size(bytes as u64));
        let policy = rule.policy.name().to_string();
        let values = [Some(rule.prefix.clone()), Some(policy), size];
        let keys = KEYS.into_iter().zip(values);
        keys.filter_map(|(key, value)| Some((key, value?)))
            .collect()
    };
    rules.iter().map(table).collect()
}

/// The rules in tables of the file.
pub(super) fn of_tables(tables: &[(usize, &DeTable<'_>)]) -> Result<Vec<QueueRule>, Misplaced> {
    let mut rules = Vec::new();
    for (at, table) in tables {
        let table = Table::of(NAME, *at, table, &KEYS)?;
        rules.push(QueueRule {
            prefix: table.need("prefix", |it| read_prefix(&it.text()?))?,
            policy: table.need("policy", |it| it.choice(&QueuePolicy::ALL))?,
            bytes: table.read("size", |it| it.size(SIZES))?,
        });
        refuse_twice(&rules, |rule| &rule.prefix).map_err(|refusal| (*at, refusal))?;
    }
    Ok(rules)
}

fn read_one(text: &str) -> Result<QueueRule, Refusal> {
    // A prefix may have any sign in it; what follows it has none of these.
    let (prefix, rest) = text.rsplit_once('=').ok_or(FORM)?;
    let (policy, size) = match rest.split_once(':') {
        Some((policy, size)) => (policy, Some(size)),
        None => (rest, None),
    };
    let given = |text: &str| Given::Text(text.into());
    let named = |refusal| format!("the policy of {prefix} {refusal}");
    let policy = given(policy).choice(&QueuePolicy::ALL).map_err(named)?;
    let bytes = size.map(|size| given(size).size(SIZES)).transpose();
    Ok(QueueRule {
        prefix: read_prefix(prefix)?,
        policy,
        bytes: bytes.map_err(|refusal| format!("the size of {prefix} {refusal}"))?,
    })
}

fn read_prefix(text: &str) -> Result<String, Refusal> {
    const LONGEST: usize = 4096;
    if text.is_empty() {
        return Err("an empty prefix is every topic: set queue-policy and queue-size".into());
    }
    if text.len() > LONGEST {
        return Err(format!("a prefix has at most {LONGEST} bytes"));
    }
    if text.starts_with('$') {
        return Err("topics that begin with $ are the mesh's own".into());
    }
    Ok(text.into())
}
