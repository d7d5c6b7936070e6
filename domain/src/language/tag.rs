use std::{fmt, sync::Arc};

/// Names a language, and perhaps a script, a region or more: `de-CH-1996`. It is well-formed (RFC 5646, 2.2.9); whether it is
/// valid, its subtags registered and none of them twice, is not asked.
///
/// Two spellings that differ in case are one tag: it is kept in the case that RFC 5646, 2.1.1 recommends. A copy is cheap:
/// all of them share one allocation.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LanguageTag(Arc<str>);

impl LanguageTag {
    /// The longest tag that is taken, in bytes. RFC 5646, 4.4.1 asks for 35 at least.
    pub const MAX_BYTES: usize = 100;

    /// Checks that `text` is a language tag.
    ///
    /// # Errors
    ///
    /// It is not well-formed, or longer than [`LanguageTag::MAX_BYTES`].
    pub fn try_new(text: &str) -> Result<Self, InvalidLanguageTag> {
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidLanguageTag::TooLong { bytes: text.len() });
        }
        let tag = oxilangtag::LanguageTag::parse_and_normalize(text)
            .map_err(|error| InvalidLanguageTag::NotWellFormed { reason: error.to_string() })?;
        Ok(Self(tag.into_inner().into()))
    }

    /// Checks that `text` is a language tag, or one with `_` in place of `-`: `pt_BR`. So the translations of Infinite Scale and
    /// OpenCloud are named, as locales of POSIX are.
    ///
    /// # Errors
    ///
    /// It is neither, or longer than [`LanguageTag::MAX_BYTES`].
    pub fn try_from_locale(text: &str) -> Result<Self, InvalidLanguageTag> {
        if text.contains('_') { Self::try_new(&text.replace('_', "-")) } else { Self::try_new(text) }
    }

    /// The tag, in the recommended case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LanguageTag {
    /// English, in which computers speak to those who have not said what they read.
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

/// Why a text is no language tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLanguageTag {
    /// It is not built as a tag is.
    #[error("this is no language tag such as `en` or `de-AT` (RFC 5646): {reason}")]
    NotWellFormed {
        /// What is wrong with it.
        reason: String,
    },
    /// It is longer than [`LanguageTag::MAX_BYTES`].
    #[error("a language tag has {bytes} bytes, more than {max}", max = LanguageTag::MAX_BYTES)]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(text: &str) -> Option<String> {
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
        // Of its appendix A; `ar-a-aaa-b-bbb-a-ccc` there is well-formed, but not valid.
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
            assert_eq!(spelled(text), None, "{text:?}");
        }
        assert_eq!(spelled(&format!("x{}", "-abcdefgh".repeat(11))).map(|tag| tag.len()), Some(100));
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
        assert_eq!(spelled("MN-cYRL-mn").as_deref(), Some("mn-Cyrl-MN"));
        assert_eq!(LanguageTag::try_new("de-ch-1996"), LanguageTag::try_new("DE-CH-1996"));
        assert_eq!(format!("{:?}", LanguageTag::try_new("DE-CH-1996")), r#"Ok("de-CH-1996")"#);
    }
}
