//! The environment variables of OpenTelemetry, and what is wrong with them.

use std::{collections::BTreeMap, ffi::OsString, ops::RangeInclusive};

use tracing::error;

/// What the names of OpenTelemetry's variables begin with.
const PREFIX: &str = "OTEL_";

/// The variables of OpenTelemetry that are set. What cannot be used is collected, and never keeps anything from starting.
#[derive(Debug, Default)]
pub(super) struct Variables {
    values: BTreeMap<String, OsString>,
    unusable: Vec<Unusable>,
}

/// A variable or setting that cannot be used as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    name: String,
    /// None where the value is, or may contain, a secret.
    value: Option<String>,
    problem: String,
    consequence: String,
}

impl Unusable {
    /// Logs it as an error: the platform's default level shows nothing less.
    pub(super) fn log(&self) {
        let Self { name, value, problem, consequence } = self;
        error!(name, value, problem, consequence, "setting of traces cannot be used");
    }
}

impl Variables {
    /// Those of this process.
    pub(super) fn of_process() -> Self {
        // None of the names that count is anything but UTF-8.
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect()
    }

    /// Whether a variable is set whose name begins with `prefix`.
    pub(super) fn any(&self, prefix: &str) -> bool {
        self.values.keys().any(|name| name.starts_with(prefix))
    }

    /// The value of `name`. An empty one counts as none (OpenTelemetry, "Environment Variable Specification").
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let value = self.values.get(name).filter(|value| !value.is_empty())?;
        if let Some(text) = value.to_str() {
            return Some(text.to_owned());
        }
        self.reject(name, None, "is no UTF-8", "it counts as not set");
        None
    }

    /// The first of `names` that is set, with its value.
    pub(super) fn first<'a>(&mut self, names: &[&'a str]) -> Option<(&'a str, String)> {
        names.iter().find_map(|name| Some((*name, self.text(name)?)))
    }

    /// The number in `name`; `default` if it is not set or is not within `range`.
    pub(super) fn number(&mut self, name: &str, range: &RangeInclusive<u64>, default: u64) -> u64 {
        let Some(text) = self.text(name) else { return default };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let problem = format!("is no number from {} to {}", range.start(), range.end());
                self.reject(name, Some(&text), problem, format!("{default} is used"));
                default
            }
        }
    }

    /// Whether `name` is `true`, in whatever case. Anything else is false, and a mistake unless it is `false`.
    pub(super) fn is_true(&mut self, name: &str) -> bool {
        let Some(text) = self.text(name) else { return false };
        if !["true", "false"].iter().any(|known| text.eq_ignore_ascii_case(known)) {
            self.reject(name, Some(&text), "is neither true nor false", "it counts as false");
        }
        text.eq_ignore_ascii_case("true")
    }

    /// Notes that `name` cannot be used, and what happens instead.
    pub(super) fn reject(
        &mut self,
        name: &str,
        value: Option<&str>,
        problem: impl Into<String>,
        consequence: impl Into<String>,
    ) {
        self.unusable.push(Unusable {
            name: name.to_owned(),
            value: value.map(ToOwned::to_owned),
            problem: problem.into(),
            consequence: consequence.into(),
        });
    }

    /// All that cannot be used.
    pub(super) fn into_unusable(self) -> Vec<Unusable> {
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
    /// What was rejected, each in one line.
    pub(super) fn rejected(&self) -> Vec<String> {
        let line = |Unusable { name, value, problem, consequence }: &Unusable| {
            format!("{name}={} {problem}: {consequence}", value.as_deref().unwrap_or("***"))
        };
        self.unusable.iter().map(line).collect()
    }
}
