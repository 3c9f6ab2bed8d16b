//! Settings that are read again while the node runs: at a SIGHUP.

use std::sync::Mutex;

use zmesh_node::{Reload, ReloadHandle};

use crate::logging::Filter;
use crate::settings::catalogue::SETTINGS;
use crate::settings::{Settings, Sources, print};

/// Settings that a running node takes over. Every other one needs a start.
pub(crate) const RELOADED: [&str; 6] = [
    "queue-size",
    "queue-policy",
    "queue",
    "service",
    "drain-timeout",
    "log",
];

/// Of a longer value this much is told.
const SHOWN_CHARS: usize = 1000;

/// Reads the settings of a running node again.
pub(crate) struct Reloader {
    sources: Sources,
    filter: Filter,
    node: ReloadHandle,
    /// Those in force.
    settings: Mutex<Settings>,
}

impl Reloader {
    /// For a node that was started with these settings, from these sources.
    pub(crate) fn new(
        sources: Sources,
        settings: Settings,
        filter: Filter,
        node: ReloadHandle,
    ) -> Self {
        Self {
            sources,
            filter,
            node,
            settings: Mutex::new(settings),
        }
    }

    /// Reads every source again, and tells the node what came of it.
    pub(crate) fn reload(&self) {
        let mut settings = match self.settings.lock() {
            Ok(settings) => settings,
            Err(poisoned) => poisoned.into_inner(),
        };
        let reload = match Settings::load(&self.sources) {
            Err(error) => Reload::Refused(format!("{error:#}")),
            Ok(new) => self.take_over(&mut settings, new),
        };
        self.node.reload(reload);
    }

    /// All or nothing.
    fn take_over(&self, settings: &mut Settings, new: Settings) -> Reload {
        let changes = match compare(settings, &new) {
            Ok(changes) if changes.is_empty() => return Reload::Unchanged,
            Ok(changes) => changes,
            Err(why) => return Reload::Refused(why),
        };
        if let Err(error) = new.node.check() {
            return Reload::Refused(error.to_string());
        }
        if let Err(error) = self.filter.set(&new.log) {
            return Reload::Refused(format!("{error:#}"));
        }
        *settings = new;
        Reload::Changed {
            config: Box::new(settings.node.clone()),
            changes,
        }
    }
}

/// What has changed, for people; or what must not.
fn compare(old: &Settings, new: &Settings) -> Result<String, String> {
    let changed = SETTINGS.iter().filter_map(|setting| {
        let [before, now] = [old, new].map(|settings| print::value(setting, settings));
        let change = || format!("{} {} -> {}", setting.name, cut(&before), cut(&now));
        (before != now).then(|| (setting.name, change()))
    });
    let (free, fixed): (Vec<_>, Vec<_>) = changed.partition(|(name, _)| RELOADED.contains(name));
    let list = |changes: Vec<(&str, String)>| {
        let changes: Vec<String> = changes.into_iter().map(|(_, change)| change).collect();
        changes.join(", ")
    };
    if rep_ports(old) != rep_ports(new) {
        return Err("service: a rep-port needs a start: restart the node for that".into());
    }
    if fixed.is_empty() {
        return Ok(list(free));
    }
    Err(format!(
        "{}: restart the node for that, or put it back as it was",
        list(fixed)
    ))
}

/// Services with ports of their own.
fn rep_ports(settings: &Settings) -> Vec<(&str, u16)> {
    let rules = settings.node.service_rules.iter();
    let with_port = rules.filter_map(|rule| Some((rule.name.as_str(), rule.rep_port?)));
    with_port.collect()
}

/// The beginning of a value: a line of the log and an event are no place for thousands of rules.
fn cut(value: &str) -> String {
    match value.char_indices().nth(SHOWN_CHARS) {
        None => value.into(),
        Some((end, _)) => format!("{}…", &value[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::of_file(text, "host").expect("good settings")
    }

    #[test]
    fn what_is_taken_over_is_there() {
        for name in RELOADED {
            assert!(SETTINGS.iter().any(|it| it.name == name), "{name}");
        }
    }

    #[test]
    fn of_a_long_value_the_beginning_is_told() {
        let rule = |index| format!("[[queue]]\nprefix = \"Ä{index}\"\npolicy = \"block\"\n");
        let rules: String = (0..250).map(rule).collect();
        let changes = compare(&settings(""), &settings(&rules)).expect("allowed");
        assert_eq!(
            changes.chars().count(),
            "queue [] -> …".chars().count() + 1000
        );
        assert!(
            changes.starts_with("queue [] -> [ { prefix = \"Ä0\""),
            "{changes}"
        );
    }

    #[test]
    fn a_change_names_the_setting_with_both_values() {
        let old = settings("queue-size = \"1MiB\"\nport = 7000");
        let new = "queue-size = \"2MiB\"\nlog = \"debug\"\n";
        let rule = "[[queue]]\nprefix = \"A\"\npolicy = \"block\"\n";
        assert_eq!(compare(&old, &old), Ok(String::new()));
        assert_eq!(
            compare(&old, &settings(&format!("{new}port = 7000\n{rule}"))),
            Ok("queue-size \"1MiB\" -> \"2MiB\", \
                queue [] -> [ { prefix = \"A\", policy = \"block\" }, ], \
                log \"info\" -> \"debug\""
                .into()),
        );
        let refused = compare(&old, &settings(&format!("{new}zone = \"z\"")));
        assert_eq!(
            refused,
            Err(
                "zone \"\" -> \"z\", port 7000 -> 5555: restart the node for that, or put it back \
                 as it was"
                    .into()
            ),
        );
    }
}
