//! Takes the values out of the layers, and notes what is wrong with them.

use figment::{Figment, Source, value::Value};
use validator::{ValidationErrors, ValidationErrorsKind};

use super::{
    SETTINGS,
    mistakes::{Mistake, Mistakes},
    settings::Setting,
    values::FromTexts,
};

pub(super) struct Reader<'a> {
    layers: &'a Figment,
    mistakes: &'a mut Mistakes,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layers: &'a Figment, mistakes: &'a mut Mistakes) -> Self {
        Self { layers, mistakes }
    }

    /// The value of the setting `key`; `None` when it is missing or wrong, which is noted.
    pub(super) fn read<T: FromTexts>(&mut self, key: &str) -> Option<T> {
        let setting = SETTINGS.iter().find(|setting| setting.key == key)?;
        let Ok(value) = self.layers.find_value(key) else {
            self.note(setting, format!("is not set, and has to be ({})", setting.meaning));
            return None;
        };
        if setting.secret && !matches!(value, Value::String(..)) {
            // A number would come out in another form than it was written in.
            self.note(setting, "has to stand in quotes".into());
            return None;
        }
        match texts(&value)
            .ok_or_else(|| "is a group, but a value is wanted".into())
            .and_then(|texts| T::from_texts(&texts))
        {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.note(setting, wrong);
                None
            }
        }
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
        let value = self.shown(setting).filter(|_| !setting.secret);
        let has_credentials = value.as_ref().is_some_and(|value| value.contains('@'));
        let wrong = if has_credentials { without_quotations(&wrong).to_owned() } else { wrong };
        let value = value.map(|value| without_credentials(&value));
        self.mistakes.0.push(Mistake { place, value, wrong, example: Some(setting.example.into()) });
    }

    /// What was written for a setting, as one text; none where nothing was.
    pub(super) fn shown(&self, setting: &Setting) -> Option<String> {
        let value = self.layers.find_value(setting.key).ok()?;
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
        self.layers.find_metadata(setting.key)?.source.as_ref()
    }
}

/// An address may have a user and a password in front, although it must not.
fn without_credentials(value: &str) -> String {
    match value.rsplit_once('@') {
        Some((_, rest)) => format!("***@{rest}"),
        None => value.to_owned(),
    }
}

/// What is wrong may quote a part of the value, and that part may be a password.
fn without_quotations(wrong: &str) -> &str {
    wrong.split_once('"').map_or(wrong, |(before, _)| before.trim_end_matches([':', ' ']))
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
