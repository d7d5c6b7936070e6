//! Takes the values out of the layers, and notes what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};

use figment::{Figment, Source, value::Value};
use validator::{ValidationErrors, ValidationErrorsKind};

use super::{
    SETTINGS,
    environment::Environment,
    mistakes::{Mistake, Mistakes},
    settings::Setting,
    values::{FromTexts, RegistryKind},
};

pub(super) struct Reader<'a> {
    /// The defaults and the file.
    written: Figment,
    /// The environment upon them.
    all: Figment,
    /// What cannot be read of the environment, by the settings' keys.
    unreadable: BTreeMap<&'static str, Mistake>,
    /// The keys of the settings whose variable is there but does not count.
    without_variable: BTreeSet<&'static str>,
    mistakes: &'a mut Mistakes,
}

impl<'a> Reader<'a> {
    pub(super) fn new(written: Figment, environment: &Environment, mistakes: &'a mut Mistakes) -> Self {
        let (all, unreadable) = environment.add_to(written.clone());
        Self { written, all, unreadable, without_variable: BTreeSet::new(), mistakes }
    }

    /// The value of the setting `key`; `None` when it is missing or wrong, which is noted. When the feature that one of `switches` turns on
    /// is off, what is set is not looked at, and the default is the value.
    pub(super) fn read<T: FromTexts>(&mut self, key: &str, switches: &[&str]) -> Option<T> {
        let setting = SETTINGS.iter().find(|setting| setting.key == key)?;
        if switches.iter().any(|switch| self.is_off(switch)) {
            return T::from_texts(&[setting.default?.to_owned()]).ok();
        }
        if let Some(mistake) = self.unreadable.remove(key) {
            self.mistakes.0.push(mistake);
            return None;
        }
        if !T::IS_TEXT && self.is_empty_variable(setting) {
            self.without_variable.insert(setting.key);
        }
        let Ok(value) = self.layers(setting).find_value(key) else {
            self.note(setting, format!("is not set, and has to be ({})", setting.meaning));
            return None;
        };
        match texts(&value)
            .ok_or_else(|| "is a group, but a value is wanted".into())
            .and_then(|texts| T::from_texts(&texts))
        {
            // It would come out in another form than it was written in: 1e5 as 100000.
            Ok(_) if T::IS_TEXT && !is_text(&value) => {
                self.note(setting, "has to stand in quotes".into());
                None
            }
            Ok(value) => Some(value),
            Err(wrong) => {
                self.note(setting, wrong);
                None
            }
        }
    }

    /// Whether what the setting `key` turns on is off.
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

    /// Where the value of `setting` is from.
    fn layers(&self, setting: &Setting) -> &Figment {
        if self.without_variable.contains(setting.key) { &self.written } else { &self.all }
    }

    /// Notes what is wrong with values that are right by themselves.
    pub(super) fn add_validation_errors(&mut self, errors: &ValidationErrors) {
        self.add_errors_of_group(errors, "");
    }

    fn add_errors_of_group(&mut self, errors: &ValidationErrors, group: &str) {
        for (field, kind) in errors.errors() {
            match kind {
                ValidationErrorsKind::Struct(errors) => {
                    self.add_errors_of_group(errors, &format!("{group}{field}."));
                }
                ValidationErrorsKind::Field(errors) => {
                    for error in errors {
                        // An error of a group as a whole has the setting's key for its code.
                        let key = if field == "__all__" {
                            error.code.to_string()
                        } else {
                            format!("{group}{field}")
                        };
                        let wrong = error.message.as_deref().unwrap_or("is not allowed").to_owned();
                        if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
                            self.note(setting, wrong);
                        }
                    }
                }
                ValidationErrorsKind::List(_) => {}
            }
        }
    }

    fn note(&mut self, setting: &Setting, wrong: String) {
        let place = match self.origin(setting) {
            Some(Source::Custom(variable)) => variable.clone(),
            Some(Source::File(path)) => format!("{}, {}", path.display(), setting.key),
            _ => {
                let variables: Vec<_> = setting.all_variables().collect();
                format!("{} or {}", variables.join(", "), setting.key)
            }
        };
        let value = self.written(setting).filter(|_| !setting.secret);
        let has_credentials = value.as_ref().is_some_and(|value| value.contains('@'));
        let wrong = if has_credentials { without_quotations(&wrong).to_owned() } else { wrong };
        let value = value.map(|value| without_credentials(&value));
        self.mistakes.0.push(Mistake { place, value, wrong, example: Some(setting.example.into()) });
    }

    /// What was written for a setting, as one text that may be shown; none where nothing was.
    pub(super) fn shown(&self, setting: &Setting) -> Option<String> {
        let value = self.written(setting)?;
        Some(match value.as_str() {
            "" => value,
            _ if setting.secret => "***".into(),
            _ if setting.may_have_credentials() => without_any_credentials(&value),
            _ => value,
        })
    }

    fn written(&self, setting: &Setting) -> Option<String> {
        let value = self.layers(setting).find_value(setting.key).ok()?;
        Some(texts(&value)?.join(","))
    }

    /// The variable or the file that a setting's value is from.
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

/// An address may have a user and a password in front.
fn without_credentials(value: &str) -> String {
    match value.rsplit_once('@') {
        Some((before, rest)) => {
            let scheme = ["nats://", "tls://"].into_iter().find(|scheme| before.starts_with(scheme));
            format!("{}***@{rest}", scheme.unwrap_or_default())
        }
        None => value.to_owned(),
    }
}

/// Addresses, each without a user and a password. What stands before one that has them may be a part of its password.
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

/// What is wrong may quote a part of the value, and that part may be a password.
fn without_quotations(wrong: &str) -> &str {
    wrong.split_once('"').map_or(wrong, |(before, _)| before.trim_end_matches([':', ' ']))
}

/// Whether a value is a text, or a list of texts.
fn is_text(value: &Value) -> bool {
    match value {
        Value::Array(_, values) => values.iter().all(is_text),
        value => matches!(value, Value::String(..) | Value::Char(..)),
    }
}

/// A value as the texts that were written; `None` for a group.
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
