//! A value as a flag, a variable or the file gave it, and how each kind of setting reads it.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use zmesh_node::config::{QueueRule, ServiceRule};

use super::units;

/// A value before its setting has read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// From a flag, a variable, or a string of the file.
    Text(String),
    /// A whole number of the file.
    Integer(i64),
    /// A flag that was repeated, or a list of strings in the file.
    List(Vec<String>),
    /// `true` or `false` of the file.
    Truth(bool),
    /// Rules for queues, from tables of the file.
    Rules(Vec<QueueRule>),
    /// Rules for services, from tables of the file.
    Services(Vec<ServiceRule>),
    /// A value of the file of a type that no setting takes, such as `a table`.
    Other(&'static str),
}

/// Why a value is refused: what is allowed, as the end of a sentence.
pub(crate) type Refusal = String;

impl Given {
    /// Text of so many bytes, without white space, so that it can stand in a line of `key=value`.
    pub(crate) fn word(&self, length: RangeInclusive<usize>) -> Result<String, Refusal> {
        let allowed = || {
            let (min, max) = (length.start(), length.end());
            format!("must be text of {min} to {max} bytes without spaces")
        };
        match self {
            Self::Text(text)
                if length.contains(&text.len())
                    && !text.contains(|c: char| c.is_whitespace() || c.is_control()) =>
            {
                Ok(text.clone())
            }
            _ => Err(allowed()),
        }
    }

    /// Any text.
    pub(crate) fn text(&self) -> Result<String, Refusal> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            _ => Err("must be text".into()),
        }
    }

    /// Yes or no.
    pub(crate) fn truth(&self) -> Result<bool, Refusal> {
        match self {
            Self::Truth(truth) => Ok(*truth),
            Self::Text(text) if text == "yes" || text == "true" => Ok(true),
            Self::Text(text) if text == "no" || text == "false" => Ok(false),
            _ => Err("must be yes or no".into()),
        }
    }

    /// A whole number of the range.
    pub(crate) fn number(&self, range: RangeInclusive<u64>) -> Result<u64, Refusal> {
        let number = match self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                format!(
                    "must be a whole number from {} to {}",
                    range.start(),
                    range.end()
                )
            })
    }

    /// A port number.
    pub(crate) fn port(&self) -> Result<u16, Refusal> {
        let number = self.number(0..=u64::from(u16::MAX))?;
        u16::try_from(number).map_err(|error| error.to_string())
    }

    /// A size of the range, in bytes.
    pub(crate) fn size(&self, range: RangeInclusive<u64>) -> Result<usize, Refusal> {
        let bytes = match self {
            Self::Text(text) => units::parse_size(text)?,
            Self::Integer(number) => u64::try_from(*number).unwrap_or(0),
            _ => return Err("must be a size such as 4MiB".into()),
        };
        let (min, max) = (
            units::show_size(*range.start()),
            units::show_size(*range.end()),
        );
        usize::try_from(bytes)
            .ok()
            .filter(|_| range.contains(&bytes))
            .ok_or_else(|| format!("must be a size from {min} to {max}"))
    }

    /// A duration of the range.
    pub(crate) fn duration(&self, range: RangeInclusive<Duration>) -> Result<Duration, Refusal> {
        let Self::Text(text) = self else {
            return Err("must be a duration with its unit, such as \"5s\"".into());
        };
        let (min, max) = (
            units::show_duration(*range.start()),
            units::show_duration(*range.end()),
        );
        Some(units::parse_duration(text)?)
            .filter(|duration| range.contains(duration))
            .ok_or_else(|| format!("must be a duration from {min} to {max}"))
    }

    /// An IP address without a port.
    pub(crate) fn ip(&self) -> Result<IpAddr, Refusal> {
        let address = match self {
            Self::Text(text) => text.trim_matches(['[', ']']).parse().ok(),
            _ => None,
        };
        address.ok_or_else(|| "must be an IP address such as 127.0.0.1, 0.0.0.0 or ::1".into())
    }

    /// A host name or an IP address, without a port.
    pub(crate) fn host(&self) -> Result<String, Refusal> {
        const ALLOWED: &str = "must be a host name or an IP address, without a port";
        let host = self.word(1..=255).map_err(|_| ALLOWED.to_string())?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_address = bare.parse::<IpAddr>().is_ok();
        if is_address || !host.contains([':', '/', '[', ']']) {
            Ok(bare.to_string())
        } else {
            Err(ALLOWED.into())
        }
    }

    /// Addresses `host:port`: repeated, in a list, or separated by commas.
    pub(crate) fn addresses(&self) -> Result<Vec<String>, Refusal> {
        const MOST: usize = 256;
        let all: Vec<String> = match self {
            Self::Text(text) => vec![text.clone()],
            Self::List(all) => all.clone(),
            _ => return Err("must be a list of addresses such as [\"10.0.0.1:5556\"]".into()),
        };
        let each: Vec<String> = all
            .iter()
            .flat_map(|text| text.split(','))
            .map(|text| text.trim().to_string())
            .filter(|text| !text.is_empty())
            .collect();
        if each.len() > MOST {
            return Err(format!("must be at most {MOST} addresses"));
        }
        match each.iter().find(|text| split_address(text).is_none()) {
            None => Ok(each),
            Some(_) => Err("must be HOST:PORT, such as 10.0.0.1:5556 or [::1]:5556".into()),
        }
    }

    /// A log filter: a level, or levels by module.
    pub(crate) fn log_filter(&self) -> Result<String, Refusal> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        let is_part = |part: &str| {
            let (module, level) = part.split_once('=').unwrap_or(("*", part));
            !module.is_empty() && LEVELS.contains(&level)
        };
        match self {
            Self::Text(text) if text.len() <= 1024 && text.split(',').all(is_part) => {
                Ok(text.clone())
            }
            _ => Err(format!(
                "must be one of {}, or MODULE=LEVEL,…",
                LEVELS.join(", ")
            )),
        }
    }

    /// One of a fixed set of names.
    pub(crate) fn choice<T: Copy>(&self, all: &[(&str, T)]) -> Result<T, Refusal> {
        let found = match self {
            Self::Text(text) => all.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)),
            _ => None,
        };
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
            format!("must be one of {}", names.join(", "))
        })
    }

    /// The value as it can stand in a message, cut to a line.
    pub(crate) fn shown(&self) -> String {
        let whole = match self {
            Self::Text(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::List(all) => all.join(","),
            Self::Truth(truth) => truth.to_string(),
            Self::Rules(rules) => format!("{} rules", rules.len()),
            Self::Services(rules) => format!("{} rules", rules.len()),
            Self::Other(kind) => (*kind).to_string(),
        };
        let mut short: String = whole
            .chars()
            .take(80)
            .flat_map(char::escape_debug)
            .collect();
        if whole.chars().count() > 80 {
            short.push('…');
        }
        short
    }
}

/// Host (without brackets) and port of `host:port` or `[v6]:port`.
pub(crate) fn split_address(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|inner| inner.contains(':'))?,
        None if host.contains(':') => return None,
        None => host,
    };
    let clean = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/');
    clean.then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Given {
        Given::Text(text.into())
    }

    #[test]
    fn a_number_out_of_range_is_told_the_range() {
        assert_eq!(text("16").number(1..=16), Ok(16));
        assert_eq!(Given::Integer(3).number(1..=16), Ok(3));
        let refusal = text("17").number(1..=16).expect_err("out of range");
        assert_eq!(refusal, "must be a whole number from 1 to 16");
        assert!(Given::Integer(-1).number(0..=16).is_err());
        assert!(Given::List(vec!["3".into()]).number(1..=16).is_err());
    }

    #[test]
    fn a_size_is_a_number_of_bytes_or_text_with_a_unit() {
        assert_eq!(Given::Integer(4096).size(1024..=8192), Ok(4096));
        assert_eq!(text("4KiB").size(1024..=8192), Ok(4096));
        let refusal = text("1").size(1024..=8192).expect_err("out of range");
        assert_eq!(refusal, "must be a size from 1KiB to 8KiB");
    }

    #[test]
    fn addresses_come_repeated_in_a_list_or_between_commas() {
        let both = vec!["a:1".to_string(), "[::1]:2".to_string()];
        assert_eq!(text("a:1, [::1]:2").addresses(), Ok(both.clone()));
        assert_eq!(Given::List(both.clone()).addresses(), Ok(both));
        for wrong in [
            "a",
            "a:0",
            "a:99999",
            "::1:5556",
            ":5556",
            "tcp://a:5556",
            "a b:1",
        ] {
            assert!(text(wrong).addresses().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_has_no_port() {
        assert_eq!(text("node1.example").host(), Ok("node1.example".into()));
        assert_eq!(text("[::1]").host(), Ok("::1".into()));
        assert!(text("node1:5555").host().is_err());
    }
}
