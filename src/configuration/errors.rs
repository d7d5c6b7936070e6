//! The errors of a configuration.

use std::fmt;

/// An error of the configuration. `Display` writes its location, the value, the problem and a suggestion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file and key, or the variable.
    pub location: String,
    /// The value. None for a secret or if no value is set.
    pub value: Option<String>,
    /// The problem, as the rest of a sentence that starts with the location or the value.
    pub problem: String,
    /// The correction, if one is known.
    pub suggestion: Option<Suggestion>,
}

/// A correction of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Suggestion {
    /// One of several valid values.
    Example(String),
    /// The name that was probably meant, or a description of the only valid value.
    Exact(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.location)?;
        if let Some(value) = &self.value {
            write!(f, "{value:?} ")?;
        }
        f.write_str(&self.problem)?;
        match &self.suggestion {
            Some(Suggestion::Example(value)) => write!(f, "; use for example {value}"),
            Some(Suggestion::Exact(value)) => write!(f, "; use {value}"),
            None => Ok(()),
        }
    }
}

/// All errors of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl ConfigErrors {
    /// Returns `value` if there are no errors.
    ///
    /// # Errors
    ///
    /// Returns the errors if there are any.
    pub(super) fn none_or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for ConfigErrors {}
