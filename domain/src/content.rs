//! The content of an event, in one language or several.

use crate::language::{LanguagePriorityList, LanguageTag};

/// The text of an event and its translations. A text is usually JSON, which the domain does not parse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    fallback: String,
    /// The language of the fallback. None if it is not known.
    language: Option<LanguageTag>,
    translations: Vec<Translation>,
}

/// A text in a language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The language of the text.
    pub language: LanguageTag,
    /// The text in that language.
    pub text: String,
}

/// The index of a text in a [`Content`]: the fallback or a translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TranslationIndex(usize);

impl TranslationIndex {
    /// The text for clients that prefer none of the languages.
    pub const FALLBACK: Self = Self(0);

    /// Returns the position among the texts of the content. The fallback has position 0.
    #[must_use]
    pub fn position(self) -> usize {
        self.0
    }
}

impl Content {
    /// Creates a content from a text in `language` and its `translations`.
    ///
    /// Without a text, the fallback is the translation in `language`, else the first translation, else an empty text.
    #[must_use]
    pub fn new(
        fallback: Option<String>,
        language: Option<LanguageTag>,
        mut translations: Vec<Translation>,
    ) -> Self {
        if let Some(fallback) = fallback {
            return Self { fallback, language, translations };
        }
        let position =
            translations.iter().position(|translation| Some(&translation.language) == language.as_ref());
        if translations.is_empty() {
            return Self::default();
        }
        let Translation { language, text } = translations.remove(position.unwrap_or(0));
        Self { fallback: text, language: Some(language), translations }
    }

    /// Returns the number of texts: the fallback and its translations.
    #[must_use]
    pub fn texts(&self) -> usize {
        1 + self.translations.len()
    }

    /// Looks up the text that matches the preferred languages best (RFC 4647, 3.4).
    #[must_use]
    pub fn lookup(&self, preferred: &LanguagePriorityList) -> TranslationIndex {
        if self.translations.is_empty() {
            return TranslationIndex::FALLBACK;
        }
        let translated = self.translations.iter().map(|translation| &translation.language);
        match &self.language {
            None => preferred
                .lookup(translated)
                .map_or(TranslationIndex::FALLBACK, |position| TranslationIndex(position + 1)),
            Some(language) => preferred
                .lookup([language].into_iter().chain(translated))
                .map_or(TranslationIndex::FALLBACK, TranslationIndex),
        }
    }

    /// Returns the text at an index.
    #[must_use]
    pub fn text(&self, TranslationIndex(position): TranslationIndex) -> &str {
        let translation = position.checked_sub(1).and_then(|position| self.translations.get(position));
        translation.map_or(&self.fallback, |translation| &translation.text)
    }

    /// Returns the length of all texts together, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.all_texts().map(str::len).sum()
    }

    /// Returns the number of line breaks in all texts together. CRLF counts as two.
    #[must_use]
    pub fn line_breaks(&self) -> usize {
        let is_line_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
        self.all_texts().map(|text| text.bytes().filter(is_line_break).count()).sum()
    }

    fn all_texts(&self) -> impl Iterator<Item = &str> {
        let translations = self.translations.iter().map(|translation| &*translation.text);
        [&*self.fallback].into_iter().chain(translations)
    }
}

impl From<String> for Content {
    /// Creates a content with one text for all clients.
    fn from(fallback: String) -> Self {
        Self { fallback, ..Self::default() }
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> LanguageTag {
        LanguageTag::try_new(text).expect("a language tag")
    }

    fn translations(languages: &[&str]) -> Vec<Translation> {
        languages.iter().map(|text| Translation { language: tag(text), text: (*text).to_owned() }).collect()
    }

    #[test]
    fn lookup_finds_preferred_translation_or_fallback() {
        let check = |fallback: Option<&str>,
                     language: Option<&str>,
                     others: &[&str],
                     preferred: &str,
                     expected: &str| {
            let content = Content::new(fallback.map(Into::into), language.map(tag), translations(others));
            let list = LanguagePriorityList::from_accept_language(preferred).expect("preferred");
            let translation = content.lookup(&list);
            assert!(translation.position() < content.texts());
            assert_eq!(content.text(translation), expected, "{preferred} among {content:?}");
        };
        check(Some("untagged"), None, &["de", "fr"], "de-CH-1996", "de");
        check(Some("untagged"), None, &["de", "fr"], "it, fr;q=0.1", "fr");
        check(Some("untagged"), None, &["de", "fr"], "it", "untagged");
        check(Some("untagged"), None, &[], "de", "untagged");
        check(Some("English"), Some("en"), &["de", "fr"], "en-GB, de;q=0.5", "English");
        check(Some("English"), Some("en"), &["de", "fr"], "it", "English");
        check(Some("English"), Some("en"), &[], "de", "English");
        check(Some("first"), Some("de"), &["de"], "de", "first");
        check(None, None, &["de", "fr"], "it", "de");
        check(None, None, &["de", "fr"], "fr", "fr");
        check(None, Some("fr"), &["de", "fr"], "it", "fr");
        check(None, Some("fr"), &["de", "fr"], "de", "de");
        check(None, Some("it"), &["de", "fr"], "it", "de");
        check(None, Some("it"), &[], "it", "");
    }

    #[test]
    fn texts_have_positions_and_sizes() {
        let content = Content::new(Some("English".into()), Some(tag("en")), translations(&["de", "fr"]));
        let position = |text: &str| content.lookup(&LanguagePriorityList::from_tag(&tag(text))).position();
        assert_eq!(["en", "de", "fr", "it"].map(position), [0, 1, 2, 0]);
        assert_eq!((content.texts(), content.bytes(), content.line_breaks()), (3, "Englishdefr".len(), 0));
        let translation = Translation { language: tag("de"), text: "\r\nc".into() };
        let content = Content::new(Some("a\nb".into()), None, vec![translation]);
        assert_eq!(content.line_breaks(), 3);
    }

    #[test]
    fn plain_text_has_no_translations() {
        for content in [Content::from("text"), Content::from("text".to_owned())] {
            assert_eq!(content, Content::new(Some("text".into()), None, Vec::new()));
        }
    }
}
