//! The types of values. Each type parses a text once and reports what it expects.

mod address;
mod format;
mod name;
mod network;
mod pem;
mod quantity;
mod server;

use std::{fmt, str::FromStr};

use domain::{language::LanguageTag, origin::AllowedOrigin};

pub use self::{
    address::{Address, GrpcEndpoint, HttpCollector, HttpRoot},
    name::{CookieName, HeaderName, Method},
    network::Network,
    pem::{CertificateFile, PrivateKeyFile},
    quantity::{
        AgeInNats, Bytes, Count, GoDuration, Rate, ReconnectionTime, SendBuffer, Timeout, UserTimeout,
    },
    server::{Credentials, Server},
};

pub(super) use self::format::Format;

/// A value that is parsed from one text or a list of texts.
pub(super) trait FromTexts: Sized {
    /// Whether the platform takes the value for a string. If so, an empty variable is an empty string, and a number in a file must be in
    /// quotes, so that its notation is kept. Otherwise an empty variable is ignored.
    const IS_TEXT: bool;
    /// How the value is written in the file.
    const FORMAT: Format;

    /// Parses the value.
    ///
    /// # Errors
    ///
    /// Returns the problem, as the rest of a sentence that starts with the value.
    fn from_texts(texts: &[String]) -> Result<Self, String>;
}

/// Implements [`FromTexts`] for types that are parsed from a single text.
macro_rules! from_one_text {
    ($is_text:literal, $format:expr; $($type:ty),*) => {$(
        impl FromTexts for $type {
            const IS_TEXT: bool = $is_text;
            const FORMAT: Format = $format;

            fn from_texts(texts: &[String]) -> Result<Self, String> {
                match texts {
                    [text] => text.trim().parse().map_err(|error| format!("{error}")),
                    _ => Err("must be one value, not a list".into()),
                }
            }
        }
    )*};
}
from_one_text!(true, Format::Text; Address, CookieName, GrpcEndpoint, HttpCollector, HttpRoot, Language);
from_one_text!(true, Format::OneOf(CollectorKind::NAMES); CollectorKind);
from_one_text!(false, Format::OneOf(LogLevel::NAMES); LogLevel);
from_one_text!(false, Format::Word; RegistryKind);
from_one_text!(false, Format::Boolean; GoBool);
from_one_text!(false, Format::Count; Count, Rate);
from_one_text!(false, Format::Duration; AgeInNats, GoDuration, ReconnectionTime, Timeout, UserTimeout);
from_one_text!(false, Format::Size; Bytes, SendBuffer);

/// Returns the items of a list, which may be written as one text with commas.
fn items(texts: &[String]) -> impl Iterator<Item = &str> {
    texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

/// Implements [`FromTexts`] for lists whose items are parsed one by one.
macro_rules! from_items {
    ($($type:ty),*) => {$(
        impl FromTexts for Vec<$type> {
            const IS_TEXT: bool = false;
            const FORMAT: Format = Format::List;

            fn from_texts(texts: &[String]) -> Result<Self, String> {
                items(texts).map(str::parse).collect()
            }
        }
    )*};
}
from_items!(HeaderName, Method, Network);

impl FromTexts for Vec<AllowedOrigin> {
    const IS_TEXT: bool = false;
    const FORMAT: Format = Format::List;

    fn from_texts(texts: &[String]) -> Result<Self, String> {
        let origins = items(texts).map(AllowedOrigin::try_new).collect::<Result<_, _>>();
        origins.map_err(|error| format!("cannot be used: {error}"))
    }
}

/// An optional value. An empty text is `None`.
impl<T: FromTexts> FromTexts for Option<T> {
    const IS_TEXT: bool = T::IS_TEXT;
    const FORMAT: Format = T::FORMAT;

    fn from_texts(texts: &[String]) -> Result<Self, String> {
        match texts {
            [text] if text.is_empty() => Ok(None),
            texts => T::from_texts(texts).map(Some),
        }
    }
}

impl FromTexts for String {
    const IS_TEXT: bool = true;
    const FORMAT: Format = Format::Text;

    fn from_texts(texts: &[String]) -> Result<Self, String> {
        match texts {
            [text] if text.trim().is_empty() => Err("is empty".into()),
            [text] => Ok(text.trim().to_owned()),
            _ => Err("must be one value, not a list".into()),
        }
    }
}

impl FromTexts for bool {
    const IS_TEXT: bool = false;
    const FORMAT: Format = GoBool::FORMAT;

    fn from_texts(texts: &[String]) -> Result<Self, String> {
        GoBool::from_texts(texts).map(|truth| truth.0)
    }
}

/// A boolean in the notation of Go's `strconv.ParseBool`.
struct GoBool(bool);

impl FromStr for GoBool {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Self(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Self(false)),
            _ => Err("is neither true nor false".into()),
        }
    }
}

/// The kind of service registry, where the platform's proxy finds services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryKind {
    /// A key-value bucket of NATS JetStream.
    Nats,
    /// An unknown kind. The platform uses the bucket for every unknown kind.
    Other(String),
    /// No registry: the proxy gets the address in another way.
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

/// The protocol of the collector of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectorKind {
    /// OTLP, which Jaeger also accepts: over gRPC if `tracing.endpoint` is set, otherwise over HTTP.
    Otlp,
    /// OTLP over gRPC.
    OtlpGrpc,
    /// OTLP over HTTP.
    OtlpHttp,
}

impl CollectorKind {
    /// The names of the kinds.
    const NAMES: &[&str] = &["jaeger", "otlp", "otlp_grpc", "otlp_http"];
}

impl FromStr for CollectorKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "jaeger" | "otlp" => Ok(Self::Otlp),
            "otlp_grpc" => Ok(Self::OtlpGrpc),
            "otlp_http" => Ok(Self::OtlpHttp),
            _ => Err("is not a supported collector (jaeger, otlp, otlp_grpc, otlp_http)".into()),
        }
    }
}

/// The minimum severity of log messages, with zerolog's names, as on the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLevel(pub tracing::Level);

impl LogLevel {
    /// The names of the levels.
    const NAMES: &[&str] = &["panic", "fatal", "error", "warn", "info", "debug", "trace"];
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use tracing::Level;

        match text.to_ascii_lowercase().as_str() {
            // This service logs nothing above an error.
            "panic" | "fatal" | "error" => Ok(Self(Level::ERROR)),
            "warn" => Ok(Self(Level::WARN)),
            "info" => Ok(Self(Level::INFO)),
            "debug" => Ok(Self(Level::DEBUG)),
            "trace" => Ok(Self(Level::TRACE)),
            _ => Err("is not a log level (panic, fatal, error, warn, info, debug, trace)".into()),
        }
    }
}

/// A language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Language(pub LanguageTag);

impl FromStr for Language {
    type Err = String;

    /// Parses a language. As in the platform's other services, an empty text is English, and a tag may have `_` in place of `-`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(LanguageTag::default()));
        }
        let tag = LanguageTag::try_from_locale(text);
        tag.map(Self).map_err(|_| "is not a language tag such as en or de-AT (RFC 5646)".into())
    }
}

/// A secret. `Debug` masks it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Creates a secret. White space is significant.
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the text of the secret.
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
    const FORMAT: Format = Format::Text;

    /// Parses a secret. White space is significant, as in the platform's other services.
    fn from_texts(texts: &[String]) -> Result<Self, String> {
        match texts {
            [text] if text.is_empty() => Err("is empty".into()),
            [text] => Ok(Self(text.clone())),
            _ => Err("must be one value, not a list".into()),
        }
    }
}

/// Checks that `text` parses to the expected value or has the expected problem.
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
    fn secret_is_masked_in_debug() {
        let secret = Secret::from_texts(&[" hidden".into()]).expect("a secret");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(secret.reveal(), " hidden");
    }

    #[test]
    fn language_is_a_tag() {
        let tag = |text| Ok(Language(LanguageTag::try_new(text).expect("a tag")));
        check("de-at", tag("de-AT"));
        check("pt_BR", tag("pt-BR"));
        check("", tag("en"));
        for text in ["de_", "*", "deutsch, bitte"] {
            check::<Language>(text, Err("is not a language tag such as en or de-AT (RFC 5646)"));
        }
    }

    #[test]
    fn single_value_is_not_a_list() {
        let texts = ["1".to_owned(), "2".to_owned()];
        assert_eq!(Count::from_texts(&texts), Err("must be one value, not a list".into()));
        let methods = Vec::<Method>::from_texts(&texts).expect("a list");
        assert!(methods.iter().map(Method::as_str).eq(&texts));
    }
}
