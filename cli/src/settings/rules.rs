//! Rules for the queues of some topics: `PREFIX=POLICY[:SIZE]` as a flag, between commas in the
//! variable, tables `[[queue]]` in the file.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};
use zmesh_node::config::{MAX_RULES, QueuePolicy, QueueRule};

use super::file::given;
use super::given::{Given, Refusal};
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
    match first_twice(&rules) {
        None => Ok(rules),
        Some(rule) => Err(twice(&rule.prefix)),
    }
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

/// The rules in tables of the file. A refusal comes with the place in the file that it is about.
pub(super) fn of_tables(
    tables: &[(usize, &DeTable<'_>)],
) -> Result<Vec<QueueRule>, (usize, Refusal)> {
    let mut rules: Vec<QueueRule> = Vec::new();
    for (at, table) in tables {
        let rule = of_table(*at, table)?;
        if rules.iter().any(|before| before.prefix == rule.prefix) {
            return Err((*at, twice(&rule.prefix)));
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn of_table(at: usize, table: &DeTable<'_>) -> Result<QueueRule, (usize, Refusal)> {
    let named = |key: &'static str| {
        let found =
            |(name, _): &(&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| name.get_ref() == key;
        let found = table.iter().find(found);
        found.map(|(name, value)| (name.span().start, key, given(value.get_ref())))
    };
    let is_unknown = |name: &&Spanned<DeString<'_>>| !KEYS.iter().any(|key| name.get_ref() == key);
    if let Some(name) = table.keys().find(is_unknown) {
        let shown: String = name.get_ref().escape_debug().take(80).collect();
        let refusal = format!(
            "unknown key `{shown}` of [[queue]]; it has {}",
            KEYS.join(", ")
        );
        return Err((name.span().start, refusal));
    }
    let needed = |key| named(key).ok_or_else(|| (at, format!("[[queue]] needs a {key}")));
    let placed = |(at, key, given): &(usize, &str, Given), refusal: Refusal| {
        (*at, format!("{key} = {}: {refusal}", given.shown()))
    };
    let prefix = needed("prefix")?;
    let text = match &prefix.2 {
        Given::Text(text) => read_prefix(text),
        _ => Err("must be text".into()),
    };
    let text = text.map_err(|refusal| placed(&prefix, refusal))?;
    let policy = needed("policy")?;
    let choice = policy.2.choice(&QueuePolicy::ALL);
    let choice = choice.map_err(|refusal| placed(&policy, refusal))?;
    let size = named("size");
    let bytes = size.as_ref().map(|size| {
        let bytes = size.2.size(SIZES);
        bytes.map_err(|refusal| placed(size, refusal))
    });
    Ok(QueueRule {
        prefix: text,
        policy: choice,
        bytes: bytes.transpose()?,
    })
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

fn first_twice(rules: &[QueueRule]) -> Option<&QueueRule> {
    let mut all = rules.iter().enumerate();
    let twice = all.find(|(at, rule)| rules[..*at].iter().any(|it| it.prefix == rule.prefix));
    twice.map(|(_, rule)| rule)
}

fn twice(prefix: &str) -> Refusal {
    let shown: String = prefix.escape_debug().take(80).collect();
    format!("there are two rules for {shown}: keep one")
}
