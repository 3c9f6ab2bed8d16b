//! Tables of the file, such as `[[queue]]`, and their keys.

use toml::de::DeTable;

use super::file::given;
use super::given::{Given, Refusal};

/// Why something in a file is refused, with the place that it is about.
pub(super) type Misplaced = (usize, Refusal);

/// One table.
pub(super) struct Table {
    /// Such as `queue`.
    name: &'static str,
    /// Where it begins.
    pub(super) at: usize,
    keys: Vec<(usize, String, Given)>,
}

impl Table {
    /// Takes a table that has none but these keys.
    pub(super) fn of(
        name: &'static str,
        at: usize,
        table: &DeTable<'_>,
        known: &[&str],
    ) -> Result<Self, Misplaced> {
        let mut keys = Vec::new();
        for (key, value) in table {
            let (place, key) = (key.span().start, key.get_ref().to_string());
            if !known.contains(&key.as_str()) {
                let shown: String = key.escape_debug().take(80).collect();
                let known = known.join(", ");
                let refusal = format!("unknown key `{shown}` of [[{name}]]; it has {known}");
                return Err((place, refusal));
            }
            keys.push((place, key, given(value.get_ref())));
        }
        Ok(Self { name, at, keys })
    }

    /// Reads a key, if it is there.
    pub(super) fn read<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Given) -> Result<T, Refusal>,
    ) -> Result<Option<T>, Misplaced> {
        let Some((at, _, given)) = self.keys.iter().find(|(_, name, _)| name == key) else {
            return Ok(None);
        };
        let value = read(given);
        let placed = |refusal| (*at, format!("{key} = {}: {refusal}", given.shown()));
        value.map(Some).map_err(placed)
    }

    /// Reads a key that must be there.
    pub(super) fn need<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Given) -> Result<T, Refusal>,
    ) -> Result<T, Misplaced> {
        let missing = || (self.at, format!("[[{}]] needs a {key}", self.name));
        self.read(key, read)?.ok_or_else(missing)
    }
}

/// Refuses the second of two rules for the same thing.
pub(super) fn refuse_twice<T>(rules: &[T], key: impl Fn(&T) -> &str) -> Result<(), Refusal> {
    let mut all = rules.iter().enumerate();
    let again = all.find(|(at, rule)| rules[..*at].iter().any(|it| key(it) == key(rule)));
    match again {
        None => Ok(()),
        Some((_, rule)) => {
            let shown: String = key(rule).escape_debug().take(80).collect();
            Err(format!("there are two rules for {shown}: keep one"))
        }
    }
}
