//! What a setting's text can mean. Each type parses once and says what it expects.

mod address;
mod name;
mod pem;
mod quantity;
mod server;

use std::{fmt, str::FromStr};

use domain::{language::LanguageTag, origin::AllowedOrigin};

use self::quantity::Count;
pub use self::{
    address::{Address, GrpcEndpoint, HttpCollector, HttpRoot},
    name::{CookieName, HeaderName, Method},
    pem::{CertificateFile, PrivateKeyFile},
    quantity::{AgeInNats, Bytes, GoDuration, ReconnectionTime, SendBuffer, Timeout, UserTimeout},
    server::{Credentials, Server},
};

/// A value that is read from what somebody wrote: one text, or several.
pub(super) trait FromTexts: Sized {
    /// Whether it is a text to the platform too. Then an empty variable is an empty text, and a number in a file has to stand in quotes, for
    /// its form counts. Of anything else an empty variable says nothing, as on the platform.
    const IS_TEXT: bool;

    /// The value.
    ///
    /// # Errors
    ///
    /// What is wrong, as the rest of a sentence that begins with the value.
    fn from_texts(texts: &[String]) -> Result<Self, String>;
}

/// A value that is written as one text.
macro_rules! from_one_text {
    ($is_text:literal: $($type:ty),*) => {$(
        impl FromTexts for $type {
            const IS_TEXT: bool = $is_text;

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
    true: Address,
    CollectorKind,
    CookieName,
    GrpcEndpoint,
    HttpCollector,
    HttpRoot,
    Language
);
from_one_text!(
    false: AgeInNats,
    Bytes,
    Count,
    GoDuration,
    LogLevel,
    ReconnectionTime,
    RegistryKind,
    SendBuffer,
    Timeout,
    Truth,
    UserTimeout
);

/// Lists may be written as one text with commas.
fn items(texts: &[String]) -> impl Iterator<Item = &str> {
    texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

/// A list whose items are parsed one by one.
macro_rules! from_items {
    ($($type:ty),*) => {$(
        impl FromTexts for Vec<$type> {
            const IS_TEXT: bool = false;

            fn from_texts(texts: &[String]) -> Result<Self, String> {
                items(texts).map(str::parse).collect()
            }
        }
    )*};
}
from_items!(HeaderName, Method);

impl FromTexts for Vec<AllowedOrigin> {
    const IS_TEXT: bool = false;

    fn from_texts(texts: &[String]) -> Result<Self, String> {
        let origins = items(texts).map(AllowedOrigin::try_new).collect::<Result<_, _>>();
        origins.map_err(|error| format!("cannot be used: {error}"))
    }
}

/// What need not be there: an empty text is nothing.
impl<T: FromTexts> FromTexts for Option<T> {
    const IS_TEXT: bool = T::IS_TEXT;

    fn from_texts(texts: &[String]) -> Result<Self, String> {
        match texts {
            [text] if text.is_empty() => Ok(None),
            texts => T::from_texts(texts).map(Some),
        }
    }
}

impl FromTexts for String {
    const IS_TEXT: bool = true;

    fn from_texts(texts: &[String]) -> Result<Self, String> {
        match texts {
            [text] if text.trim().is_empty() => Err("is empty".into()),
            [text] => Ok(text.trim().to_owned()),
            _ => Err("is a list, but one value is wanted".into()),
        }
    }
}

impl FromTexts for bool {
    const IS_TEXT: bool = false;

    fn from_texts(texts: &[String]) -> Result<Self, String> {
        Truth::from_texts(texts).map(|truth| truth.0)
    }
}

impl FromTexts for usize {
    const IS_TEXT: bool = false;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryKind {
    /// In a key-value bucket of NATS JetStream.
    Nats,
    /// In another registry. There is none any more: the platform takes every other name for the bucket.
    Other(String),
    /// Nowhere: it is told the address in another way.
    None,
}

impl FromStr for RegistryKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "nats-js-kv" | "natsjs" | "nats-js" => Self::Nats,
            "memory" => Self::None,
            _ => Self::Other(text.into()),
        })
    }
}

/// What takes traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectorKind {
    /// Any that speaks OTLP, as Jaeger does: by gRPC if there is an endpoint, else by HTTP.
    Otlp,
    /// OTLP by gRPC.
    OtlpGrpc,
    /// OTLP by HTTP.
    OtlpHttp,
}

impl FromStr for CollectorKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "jaeger" | "otlp" => Ok(Self::Otlp),
            "otlp_grpc" => Ok(Self::OtlpGrpc),
            "otlp_http" => Ok(Self::OtlpHttp),
            _ => Err("is no collector that we know (jaeger, otlp, otlp_grpc, otlp_http)".into()),
        }
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
    /// Every character counts, white space too.
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

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
    const IS_TEXT: bool = true;

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
        let methods = Vec::<Method>::from_texts(&texts).expect("a list");
        assert!(methods.iter().map(Method::as_str).eq(&texts));
    }
}
