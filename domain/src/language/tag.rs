use std::{fmt, sync::Arc};

/// A language tag (RFC 5646) such as `de-CH-1996`: a language, and optionally a script, a region and more.
///
/// A tag is well-formed (RFC 5646, 2.2.9). Whether it is also valid, with registered and unique subtags, is not checked. Its case is
/// normalized as RFC 5646, 2.1.1 recommends, so spellings that differ in case are equal. Cloning is cheap: all clones share one allocation.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LanguageTag(Arc<str>);

impl LanguageTag {
    /// The maximum length of a tag, in bytes. RFC 5646, 4.4.1 requires at least 35.
    pub const MAX_BYTES: usize = 100;

    /// Creates a language tag from `text`.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not well-formed, or longer than [`LanguageTag::MAX_BYTES`].
    pub fn try_new(text: &str) -> Result<Self, InvalidLanguageTag> {
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidLanguageTag::TooLong { bytes: text.len() });
        }
        let tag = oxilangtag::LanguageTag::parse_and_normalize(text)
            .map_err(|error| InvalidLanguageTag::NotWellFormed { reason: error.to_string() })?;
        Ok(Self(tag.into_inner().into()))
    }

    /// Creates a language tag from `text`, which may have `_` in place of `-`, as in `pt_BR`. Infinite Scale and OpenCloud name their
    /// translations like POSIX locales.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not well-formed, or longer than [`LanguageTag::MAX_BYTES`].
    pub fn try_from_locale(text: &str) -> Result<Self, InvalidLanguageTag> {
        if text.contains('_') { Self::try_new(&text.replace('_', "-")) } else { Self::try_new(text) }
    }

    /// Returns the tag in normalized case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LanguageTag {
    /// English.
    fn default() -> Self {
        Self("en".into())
    }
}

impl fmt::Debug for LanguageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for LanguageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error for a text that is not a language tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLanguageTag {
    /// The text is not well-formed.
    #[error("not a language tag such as `en` or `de-AT` (RFC 5646): {reason}")]
    NotWellFormed {
        /// The reason.
        reason: String,
    },
    /// The text is longer than [`LanguageTag::MAX_BYTES`].
    #[error("a language tag has {bytes} bytes, more than {max}", max = LanguageTag::MAX_BYTES)]
    TooLong {
        /// The length of the text, in bytes.
        bytes: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(text: &str) -> Option<String> {
        LanguageTag::try_new(text).ok().map(|tag| tag.to_string())
    }

    #[test]
    fn examples_of_rfc_5646_are_tags() {
        // RFC 5646, appendix A, and 2.2.8.
        for tag in [
            "de",
            "fr",
            "ja",
            "i-enochian",
            "zh-Hant",
            "zh-Hans",
            "sr-Cyrl",
            "sr-Latn",
            "zh-cmn-Hans-CN",
            "cmn-Hans-CN",
            "zh-yue-HK",
            "yue-HK",
            "zh-Hans-CN",
            "sr-Latn-RS",
            "sl-rozaj",
            "sl-rozaj-biske",
            "sl-nedis",
            "de-CH-1901",
            "sl-IT-nedis",
            "hy-Latn-IT-arevela",
            "de-DE",
            "en-US",
            "es-419",
            "de-CH-x-phonebk",
            "az-Arab-x-AZE-derbend",
            "x-whatever",
            "qaa-Qaaa-QM-x-southern",
            "de-Qaaa",
            "sr-Latn-QM",
            "sr-Qaaa-RS",
            "en-US-u-islamcal",
            "zh-CN-a-myext-x-private",
            "en-a-myext-b-another",
            "i-klingon",
            "en-GB-oed",
            "sgn-BE-FR",
        ] {
            assert!(LanguageTag::try_new(tag).is_ok(), "{tag}");
        }
    }

    #[test]
    fn malformed_text_is_rejected() {
        // From RFC 5646, appendix A. Its `ar-a-aaa-b-bbb-a-ccc` is well-formed, though not valid.
        for text in [
            "",
            "-",
            "de-",
            "-de",
            "de--CH",
            "a-DE",
            "de-419-DE",
            "de_CH",
            "de CH",
            "*",
            "de-*",
            "toolonglanguage",
            "1a",
            "dé",
            "de\r\nx: y",
            "x-",
            "de-x",
        ] {
            assert_eq!(normalized(text), None, "{text:?}");
        }
        assert_eq!(normalized(&format!("x{}", "-abcdefgh".repeat(11))).map(|tag| tag.len()), Some(100));
        assert_eq!(
            LanguageTag::try_new(&format!("x{}", "-abcdefgh".repeat(12))),
            Err(InvalidLanguageTag::TooLong { bytes: 109 })
        );
    }

    #[test]
    fn locale_with_underscores_is_a_tag() {
        let check = |text: &str, expected: Option<&str>| {
            let tag = LanguageTag::try_from_locale(text).ok();
            assert_eq!(tag.as_ref().map(LanguageTag::as_str), expected, "{text:?}");
        };
        check("de", Some("de"));
        check("pt-BR", Some("pt-BR"));
        check("pt_BR", Some("pt-BR"));
        check("zh_hant_tw", Some("zh-Hant-TW"));
        check("zh_Hant-TW", Some("zh-Hant-TW"));
        for text in ["", "_", "de_", "_DE", "de__DE", "de_DE.UTF-8", "de_DE@euro"] {
            check(text, None);
        }
    }

    #[test]
    fn case_is_normalized() {
        // RFC 5646, 2.1.1.
        assert_eq!(normalized("MN-cYRL-mn").as_deref(), Some("mn-Cyrl-MN"));
        assert_eq!(LanguageTag::try_new("de-ch-1996"), LanguageTag::try_new("DE-CH-1996"));
        assert_eq!(format!("{:?}", LanguageTag::try_new("DE-CH-1996")), r#"Ok("de-CH-1996")"#);
    }
}
