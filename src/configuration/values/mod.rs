//! What a setting's text can mean. Each type parses once and says what it expects.

mod address;
mod quantity;

use std::{fmt, path::PathBuf, str::FromStr};

use domain::{language::LanguageTag, origin::AllowedOrigin};

use self::quantity::Count;
pub use self::{
    address::{Address, GrpcEndpoint, HttpCollector, HttpRoot, Server},
    quantity::{Bytes, GoDuration, Timeout},
};

/// A value that is read from what somebody wrote: one text, or several.
pub(super) trait FromTexts: Sized {
    /// The value.
    ///
    /// # Errors
    ///
    /// What is wrong, as the rest of a sentence that begins with the value.
    fn from_texts(texts: &[String]) -> Result<Self, String>;
}

/// A value that is written as one text.
macro_rules! from_one_text {
    ($($type:ty),*) => {$(
        impl FromTexts for $type {
            fn from_texts(texts: &[String]) -> Result<Self, String> {
                match texts {
                    [text] => text.trim().parse().map_err(|error| format!("{error}")),
                    _ => Err("is a list, but one value is wanted".into()),
                }
            }
        }
    )*};
}
from_one_text!(
    Address,
    Bytes,
    CollectorKind,
    CookieName,
    Count,
    GoDuration,
    GrpcEndpoint,
    HttpCollector,
    HttpRoot,
    Language,
    LogLevel,
    RegistryKind,
    Timeout,
    Truth
);

/// Lists may be written as one text with commas.
fn items(texts: &[String]) -> impl Iterator<Item = &str> {
    texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

impl FromTexts for Vec<String> {
    fn from_texts(texts: &[String]) -> Result<Self, String> {
        Ok(items(texts).map(Into::into).collect())
    }
}

impl FromTexts for Vec<AllowedOrigin> {
    fn from_texts(texts: &[String]) -> Result<Self, String> {
        let origins = items(texts).map(AllowedOrigin::try_new).collect::<Result<_, _>>();
        origins.map_err(|error| format!("cannot be used: {error}"))
    }
}

/// What need not be there: an empty text is nothing.
impl<T: FromTexts> FromTexts for Option<T> {
    fn from_texts(texts: &[String]) -> Result<Self, String> {
        match texts {
            [text] if text.is_empty() => Ok(None),
            texts => T::from_texts(texts).map(Some),
        }
    }
}

impl FromTexts for String {
    fn from_texts(texts: &[String]) -> Result<Self, String> {
        match texts {
            [text] => Ok(text.trim().to_owned()),
            _ => Err("is a list, but one value is wanted".into()),
        }
    }
}

/// A file that can be read.
impl FromTexts for PathBuf {
    fn from_texts(texts: &[String]) -> Result<Self, String> {
        let path = Self::from(String::from_texts(texts)?);
        match std::fs::File::open(&path) {
            Ok(_) => Ok(path),
            Err(error) => Err(format!("cannot be read: {error}")),
        }
    }
}

impl FromTexts for bool {
    fn from_texts(texts: &[String]) -> Result<Self, String> {
        Truth::from_texts(texts).map(|truth| truth.0)
    }
}

impl FromTexts for usize {
    fn from_texts(texts: &[String]) -> Result<Self, String> {
        Count::from_texts(texts).map(|count| count.0)
    }
}

/// What Go's `strconv.ParseBool` takes.
struct Truth(bool);

impl FromStr for Truth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Self(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Self(false)),
            _ => Err("is neither true nor false".into()),
        }
    }
}

/// Where the gateway finds services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryKind {
    /// In a key-value bucket of NATS JetStream.
    Nats,
    /// Nowhere: it is told the address in another way.
    None,
}

impl FromStr for RegistryKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "nats-js-kv" => Ok(Self::Nats),
            "memory" => Ok(Self::None),
            _ => Err("is no registry that we know (nats-js-kv, memory)".into()),
        }
    }
}

/// What takes traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectorKind {
    /// Jaeger, which speaks OTLP.
    Jaeger,
    /// Any other that does.
    Otlp,
}

impl FromStr for CollectorKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "jaeger" => Ok(Self::Jaeger),
            "otlp" => Ok(Self::Otlp),
            _ => Err("is no collector that we know (jaeger, otlp)".into()),
        }
    }
}

/// The name of a cookie (RFC 6265, 4.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieName(String);

impl CookieName {
    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CookieName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || !text.bytes().all(may_stand) {
            return Err("is no name of a cookie: letters, digits and !#$%&'*+-.^_`|~ may stand in it".into());
        }
        Ok(Self(text.to_owned()))
    }
}

/// How grave something has to be to be logged: zerolog's names, as on the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLevel(pub tracing::Level);

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use tracing::Level;

        match text.to_ascii_lowercase().as_str() {
            // Nothing of ours is graver than an error.
            "panic" | "fatal" | "error" => Ok(Self(Level::ERROR)),
            "warn" => Ok(Self(Level::WARN)),
            "info" => Ok(Self(Level::INFO)),
            "debug" => Ok(Self(Level::DEBUG)),
            "trace" => Ok(Self(Level::TRACE)),
            _ => Err("is no level (panic, fatal, error, warn, info, debug, trace)".into()),
        }
    }
}

/// A language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Language(pub LanguageTag);

impl FromStr for Language {
    type Err = String;

    /// The platform's other services take nothing for English, and have `_` in the names of their translations.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(LanguageTag::default()));
        }
        let tag = LanguageTag::try_from_locale(text);
        tag.map(Self).map_err(|_| "is no language tag, such as en or de-AT (RFC 5646)".into())
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one who needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl FromTexts for Secret {
    /// Every character counts, white space too: the other services take it as it is.
    fn from_texts(texts: &[String]) -> Result<Self, String> {
        match texts {
            [text] if text.is_empty() => Err("is empty".into()),
            [text] => Ok(Self(text.clone())),
            _ => Err("is a list, but one value is wanted".into()),
        }
    }
}

/// One text means what is expected, or is wrong for that reason.
#[cfg(test)]
#[track_caller]
pub(super) fn check<T: FromTexts + PartialEq + fmt::Debug>(text: &str, expected: Result<T, &str>) {
    let value = T::from_texts(&[text.to_owned()]);
    assert_eq!(value, expected.map_err(Into::into), "{text:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::from_texts(&[" hidden".into()]).expect("a secret");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(secret.reveal(), " hidden");
    }

    #[test]
    fn a_cookie_has_a_name_of_a_token() {
        let wrong = Err("is no name of a cookie: letters, digits and !#$%&'*+-.^_`|~ may stand in it");
        check("__Host-token.1", Ok(CookieName("__Host-token.1".into())));
        for text in ["a b", "a=b", "a;b", "\u{e9}", ","] {
            check::<CookieName>(text, wrong.clone());
        }
    }

    #[test]
    fn a_language_is_a_tag() {
        let tag = |text| Ok(Language(LanguageTag::try_new(text).expect("a tag")));
        check("de-at", tag("de-AT"));
        check("pt_BR", tag("pt-BR"));
        check("", tag("en"));
        for text in ["de_", "*", "deutsch, bitte"] {
            check::<Language>(text, Err("is no language tag, such as en or de-AT (RFC 5646)"));
        }
    }

    #[test]
    fn one_value_is_no_list() {
        let texts = ["1".to_owned(), "2".to_owned()];
        assert_eq!(usize::from_texts(&texts), Err("is a list, but one value is wanted".into()));
        assert_eq!(Vec::<String>::from_texts(&texts), Ok(texts.to_vec()));
    }
}
