//! Reads typed values from the layers and collects the errors.

use std::collections::{BTreeMap, BTreeSet};

use figment::{Figment, Source, value::Value};
use validator::Validate;

use super::{
    SETTINGS,
    environment::Environment,
    errors::{ConfigError, ConfigErrors, Suggestion},
    settings::Setting,
    values::{FromTexts, RegistryKind},
};

/// Reads the values of the settings and collects their errors.
pub(super) struct Reader<'a> {
    /// The defaults and the file.
    without_environment: Figment,
    /// The defaults, the file and the environment.
    all: Figment,
    /// The errors of the variables that cannot be read, by the keys of their settings.
    unreadable: BTreeMap<&'static str, ConfigError>,
    /// The keys of the settings whose variable is empty and therefore ignored.
    ignored_variables: BTreeSet<&'static str>,
    errors: &'a mut ConfigErrors,
}

impl<'a> Reader<'a> {
    /// Creates a reader of the layers `without_environment` and of `environment`.
    pub(super) fn new(
        without_environment: Figment,
        environment: &Environment,
        errors: &'a mut ConfigErrors,
    ) -> Self {
        let (all, unreadable) = environment.add_to(without_environment.clone());
        Self { without_environment, all, unreadable, ignored_variables: BTreeSet::new(), errors }
    }

    /// Returns the value of the setting `key`. If it is missing or invalid, adds an error and returns `None`. If one of `switches` is off, the
    /// setting has no effect: its default is returned, and its value is not checked.
    pub(super) fn read<T: FromTexts>(&mut self, key: &str, switches: &[&str]) -> Option<T> {
        let setting = SETTINGS.iter().find(|setting| setting.key == key)?;
        if switches.iter().any(|switch| self.is_off(switch)) {
            return T::from_texts(&[setting.default?.to_owned()]).ok();
        }
        if let Some(error) = self.unreadable.remove(key) {
            self.errors.0.push(error);
            return None;
        }
        if !T::IS_TEXT && self.is_empty_variable(setting) {
            self.ignored_variables.insert(setting.key);
        }
        let Ok(value) = self.layers(setting).find_value(key) else {
            self.note(setting, format!("is required but not set ({})", setting.meaning));
            return None;
        };
        match texts(&value)
            .ok_or_else(|| "must be a value, not a group".into())
            .and_then(|texts| T::from_texts(&texts))
        {
            // The text would differ from what was written: 1e5 would become 100000.
            Ok(_) if T::IS_TEXT && !is_text(&value) => {
                self.note(setting, "must be in quotes".into());
                None
            }
            Ok(value) => Some(value),
            Err(problem) => {
                self.note(setting, problem);
                None
            }
        }
    }

    /// Returns whether the feature that the setting `key` turns on is off.
    fn is_off(&self, key: &str) -> bool {
        let setting = SETTINGS.iter().find(|setting| setting.key == key);
        let value = setting.and_then(|setting| self.layers(setting).find_value(key).ok());
        value.and_then(|value| texts(&value)).is_some_and(|texts| {
            bool::from_texts(&texts) == Ok(false)
                || RegistryKind::from_texts(&texts) == Ok(RegistryKind::None)
        })
    }

    fn is_empty_variable(&self, setting: &Setting) -> bool {
        matches!(self.origin(setting), Some(Source::Custom(_)))
            && self.all.find_value(setting.key).is_ok_and(|value| value.as_str() == Some(""))
    }

    /// Returns the layers in which the value of `setting` is looked up.
    fn layers(&self, setting: &Setting) -> &Figment {
        if self.ignored_variables.contains(setting.key) { &self.without_environment } else { &self.all }
    }

    /// Returns `group` if its values fit together. Otherwise adds an error for each setting that has to change.
    pub(super) fn check<T: Validate>(&mut self, group: T) -> Option<T> {
        let Err(errors) = group.validate() else { return Some(group) };
        for error in errors.field_errors().into_values().flatten() {
            if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == error.code) {
                self.note(setting, error.to_string());
            }
        }
        None
    }

    fn note(&mut self, setting: &Setting, problem: String) {
        let location = match self.origin(setting) {
            Some(Source::Custom(variable)) => variable.clone(),
            Some(Source::File(path)) => format!("{}, {}", path.display(), setting.key),
            _ => {
                let variables: Vec<_> = setting.all_variables().collect();
                format!("{} or {}", variables.join(", "), setting.key)
            }
        };
        let value = self.text(setting).filter(|value| {
            let is_unset = value.is_empty() && self.origin(setting).is_none();
            !setting.secret && !is_unset
        });
        let has_credentials = value
            .as_ref()
            .is_some_and(|value| value.contains('@') || setting.is_url() && value.contains('?'));
        let problem = if has_credentials { without_quotation(&problem).to_owned() } else { problem };
        let value = value.map(|value| if setting.is_url() { without_query(&value) } else { value });
        let value = value.map(|value| without_credentials(&value));
        // The example of a secret describes it.
        let suggest = if setting.secret { Suggestion::Exact } else { Suggestion::Example };
        let suggestion = Some(suggest(setting.example.into()));
        self.errors.0.push(ConfigError { location, value, problem, suggestion });
    }

    /// Returns the value of a setting as text, with secrets masked. None if it is not set.
    pub(super) fn shown(&self, setting: &Setting) -> Option<String> {
        let value = self.text(setting)?;
        Some(match value.as_str() {
            "" => value,
            _ if setting.secret => "***".into(),
            _ if setting.is_url() => without_credentials(&without_query(&value)),
            _ if setting.may_have_credentials() => without_any_credentials(&value),
            _ => value,
        })
    }

    /// Returns the value of a setting as text, unmasked. None if it is not set.
    fn text(&self, setting: &Setting) -> Option<String> {
        let value = self.layers(setting).find_value(setting.key).ok()?;
        Some(texts(&value)?.join(","))
    }

    /// Returns the variable or the file that the value of a setting comes from.
    pub(super) fn source(&self, setting: &Setting) -> String {
        match self.origin(setting) {
            Some(Source::Custom(variable)) => variable.clone(),
            Some(Source::File(path)) => path.display().to_string(),
            _ => "default".into(),
        }
    }

    fn origin(&self, setting: &Setting) -> Option<&Source> {
        self.layers(setting).find_metadata(setting.key)?.source.as_ref()
    }
}

/// Masks the user and the password in an address.
fn without_credentials(value: &str) -> String {
    match value.rsplit_once('@') {
        Some((before, rest)) => {
            let scheme = ["nats://", "tls://"].into_iter().find(|scheme| before.starts_with(scheme));
            format!("{}***@{rest}", scheme.unwrap_or_default())
        }
        None => value.to_owned(),
    }
}

/// Masks the users and passwords in a list of addresses. An item before an address with a user is masked as a whole, because it may be part
/// of a password that contains a comma.
fn without_any_credentials(addresses: &str) -> String {
    let addresses: Vec<_> = addresses.split(',').collect();
    let last = addresses.iter().rposition(|address| address.contains('@'));
    let shown = addresses.iter().enumerate().map(|(position, address)| {
        if !address.contains('@') && Some(position) < last {
            "***".to_owned()
        } else {
            without_credentials(address.trim())
        }
    });
    shown.collect::<Vec<_>>().join(",")
}

/// Masks the query of a URL, which may contain a key.
fn without_query(url: &str) -> String {
    match url.split_once('?') {
        // The question mark may be a part of a password.
        Some((_, query)) if query.contains('@') => "***".to_owned(),
        Some((before, _)) => format!("{before}?***"),
        None => url.to_owned(),
    }
}

/// Removes the clause with a quotation from a problem. It may quote a part of the value, which may be a password.
fn without_quotation(problem: &str) -> &str {
    problem
        .split_once('"')
        .map_or(problem, |(before, _)| before.rsplit_once(':').map_or(before, |(rest, _)| rest))
}

/// Returns whether a value is a string or a list of strings.
fn is_text(value: &Value) -> bool {
    match value {
        Value::Array(_, values) => values.iter().all(is_text),
        value => matches!(value, Value::String(..) | Value::Char(..)),
    }
}

/// Returns a value as a list of texts. `None` for a group.
fn texts(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Char(_, c) => Some(c.to_string()),
        Value::Bool(_, truth) => Some(truth.to_string()),
        Value::Num(_, number) => number
            .to_u128()
            .map(|number| number.to_string())
            .or_else(|| number.to_i128().map(|number| number.to_string()))
            .or_else(|| number.to_f64().map(|number| number.to_string())),
        Value::Empty(..) => Some(String::new()),
        Value::Dict(..) | Value::Array(..) => None,
    };
    match value {
        Value::Array(_, values) => values.iter().map(text).collect(),
        value => text(value).map(|text| vec![text]),
    }
}
