//! The event types that a stream asks for.

use std::fmt;

use crate::notification::EventType;

/// Maximum number of patterns of a filter.
const MAX_PATTERNS: usize = 64;
/// Maximum length of a filter, in bytes. It is kept for as long as its stream is open.
const MAX_BYTES: usize = 4096;

/// A list of event types, such as `share-*,item-renamed`. A pattern that ends with `*` matches every type that starts with the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeFilter(Box<[Pattern]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Type(Box<str>),
    Prefix(Box<str>),
}

impl TypeFilter {
    /// Parses patterns that are separated by commas.
    ///
    /// # Errors
    ///
    /// Returns an error if the text has more than 4,096 bytes or 64 patterns, or if a pattern is empty, has a `*` before its end, or a
    /// character that is not printable ASCII.
    pub fn parse(text: &str) -> Result<Self, InvalidTypeFilter> {
        if text.len() > MAX_BYTES {
            return Err(InvalidTypeFilter::TooLong);
        }
        let patterns = text.split(',').map(Pattern::parse);
        let patterns: Box<[_]> = patterns.take(MAX_PATTERNS + 1).collect::<Result<_, _>>()?;
        if patterns.len() > MAX_PATTERNS { Err(InvalidTypeFilter::TooMany) } else { Ok(Self(patterns)) }
    }

    /// Returns whether events of this type pass.
    #[must_use]
    pub fn matches(&self, event_type: &EventType) -> bool {
        self.0.iter().any(|pattern| match pattern {
            Pattern::Type(name) => **name == *event_type.as_str(),
            Pattern::Prefix(prefix) => event_type.as_str().starts_with(&**prefix),
        })
    }
}

impl fmt::Display for TypeFilter {
    /// Writes the text that [`TypeFilter::parse`] has parsed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            match pattern {
                Pattern::Type(name) => f.write_str(name)?,
                Pattern::Prefix(prefix) => write!(f, "{prefix}*")?,
            }
        }
        Ok(())
    }
}

impl Pattern {
    fn parse(pattern: &str) -> Result<Self, InvalidTypeFilter> {
        let (name, is_prefix) = match pattern.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (pattern, false),
        };
        match (name, is_prefix) {
            ("", false) => Err(InvalidTypeFilter::Empty),
            (name, _) if name.contains('*') => Err(InvalidTypeFilter::Wildcard),
            (name, _) if !name.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(InvalidTypeFilter::Character)
            }
            (name, true) => Ok(Self::Prefix(name.into())),
            (name, false) => Ok(Self::Type(name.into())),
        }
    }
}

/// The error for a text that is not a list of event types. The message is for a developer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTypeFilter {
    /// A pattern is empty.
    #[error("an event type is empty; use for example share-*,item-renamed")]
    Empty,
    /// A `*` is not the last character of its pattern.
    #[error("* is only allowed at the end of an event type; use for example share-*")]
    Wildcard,
    /// A pattern has a space or another character that is not printable ASCII.
    #[error(
        "an event type has a character that is not printable ASCII; use for example share-*,item-renamed"
    )]
    Character,
    /// There are more than 4,096 bytes.
    #[error(
        "the event types have more than 4096 bytes; use fewer, or share-* for all that start with share-"
    )]
    TooLong,
    /// There are more than 64 patterns.
    #[error("there are more than 64 event types; use fewer, or share-* for all that start with share-")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_types_and_prefixes() {
        let check = |filter: &str, expected: &[&str]| {
            let text = filter;
            let filter = TypeFilter::parse(text).expect("a filter");
            assert_eq!(filter.to_string(), text);
            let all = ["share-created", "share-removed", "item-renamed", "item-renamed-again", "share"];
            let matching =
                all.into_iter().filter(|name| filter.matches(&EventType::try_new(name).expect("a type")));
            assert_eq!(matching.collect::<Vec<_>>(), expected, "{filter:?}");
        };
        check("item-renamed", &["item-renamed"]);
        check("share-*,item-renamed", &["share-created", "share-removed", "item-renamed"]);
        check("*", &["share-created", "share-removed", "item-renamed", "item-renamed-again", "share"]);
        check("Item-Renamed", &[]);
    }

    #[test]
    fn invalid_filter_names_its_fault() {
        for (text, expected) in [
            ("", InvalidTypeFilter::Empty),
            ("a,,b", InvalidTypeFilter::Empty),
            ("a,", InvalidTypeFilter::Empty),
            ("*-created", InvalidTypeFilter::Wildcard),
            ("a**", InvalidTypeFilter::Wildcard),
            ("a, b", InvalidTypeFilter::Character),
            ("é", InvalidTypeFilter::Character),
            (&"a".repeat(4097), InvalidTypeFilter::TooLong),
            (&vec!["a"; 65].join(","), InvalidTypeFilter::TooMany),
        ] {
            assert_eq!(TypeFilter::parse(text), Err(expected), "{text}");
        }
        assert!(TypeFilter::parse(&vec!["a"; 64].join(",")).is_ok());
    }
}
