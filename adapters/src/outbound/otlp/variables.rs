//! The environment variables of OpenTelemetry.

use std::{collections::BTreeMap, ffi::OsString, ops::RangeInclusive};

use tracing::error;

/// Prefix of the names of OpenTelemetry's variables.
const PREFIX: &str = "OTEL_";

/// The variables of OpenTelemetry that are set. Unusable values are collected; none prevents the service from starting.
#[derive(Debug, Default)]
pub(super) struct Variables {
    values: BTreeMap<String, OsString>,
    unusable: Vec<UnusableSetting>,
}

/// A variable or setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnusableSetting {
    name: String,
    /// The value. None if the value may contain a secret.
    value: Option<String>,
    /// Why the value cannot be used.
    problem: String,
    /// The consequence for the export of traces.
    consequence: String,
}

impl UnusableSetting {
    /// Logs the setting as an error, because the platform's default log level shows only errors.
    pub(super) fn log(&self) {
        let Self { name, value, problem, consequence } = self;
        error!(name, value, problem, consequence, "unusable setting of traces");
    }
}

impl Variables {
    /// Returns the variables of this process.
    pub(super) fn of_process() -> Self {
        // All names of OpenTelemetry are UTF-8.
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect()
    }

    /// Returns whether a variable is set whose name starts with `prefix`.
    pub(super) fn any(&self, prefix: &str) -> bool {
        self.values.keys().any(|name| name.starts_with(prefix))
    }

    /// Returns the value of `name`. An empty value counts as unset (OpenTelemetry, "Environment Variable Specification").
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let value = self.values.get(name).filter(|value| !value.is_empty())?;
        if let Some(text) = value.to_str() {
            return Some(text.to_owned());
        }
        self.reject(name, None, "is not UTF-8", "it is ignored");
        None
    }

    /// Returns the first of `names` that is set, with its value.
    pub(super) fn first<'a>(&mut self, names: &[&'a str]) -> Option<(&'a str, String)> {
        names.iter().find_map(|name| Some((*name, self.text(name)?)))
    }

    /// Returns the number in `name`, or `default` if it is not set or not within `range`.
    pub(super) fn number(&mut self, name: &str, range: &RangeInclusive<u64>, default: u64) -> u64 {
        let Some(text) = self.text(name) else { return default };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let problem = format!("is not a number from {} to {}", range.start(), range.end());
                self.reject(name, Some(&text), problem, format!("{default} is used"));
                default
            }
        }
    }

    /// Returns whether `name` is `true`, in any case. Other values are false, and are rejected except for `false`.
    pub(super) fn is_true(&mut self, name: &str) -> bool {
        let Some(text) = self.text(name) else { return false };
        if !["true", "false"].iter().any(|known| text.eq_ignore_ascii_case(known)) {
            self.reject(name, Some(&text), "is neither true nor false", "false is used");
        }
        text.eq_ignore_ascii_case("true")
    }

    /// Records that `name` cannot be used, and what happens instead.
    pub(super) fn reject(
        &mut self,
        name: &str,
        value: Option<&str>,
        problem: impl Into<String>,
        consequence: impl Into<String>,
    ) {
        self.unusable.push(UnusableSetting {
            name: name.to_owned(),
            value: value.map(ToOwned::to_owned),
            problem: problem.into(),
            consequence: consequence.into(),
        });
    }

    /// Returns the settings that cannot be used.
    pub(super) fn into_unusable(self) -> Vec<UnusableSetting> {
        self.unusable
    }
}

impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        let values = variables.filter(|(name, _): &(String, OsString)| name.starts_with(PREFIX)).collect();
        Self { values, unusable: Vec::new() }
    }
}

#[cfg(test)]
impl Variables {
    /// Returns the rejected settings as text.
    pub(super) fn rejected(&self) -> Vec<String> {
        let line = |UnusableSetting { name, value, problem, consequence }: &UnusableSetting| {
            format!("{name}={} {problem}: {consequence}", value.as_deref().unwrap_or("***"))
        };
        self.unusable.iter().map(line).collect()
    }
}
