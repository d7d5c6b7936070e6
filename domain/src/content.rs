//! What a client reads of an event, in one language or in several.

use crate::language::{LanguagePriorityList, LanguageTag};

/// A text, and perhaps the same in further languages. Mostly it is JSON, but nobody here looks inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    fallback: String,
    /// That of the fallback, when it is known.
    language: Option<LanguageTag>,
    translations: Vec<Translation>,
}

/// A text in a certain language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The language.
    pub language: LanguageTag,
    /// The text.
    pub text: String,
}

/// One of the versions of a [`Content`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(usize);

impl Version {
    /// What is read by who wishes none of the languages there are.
    pub const FALLBACK: Self = Self(0);

    /// Its place among the versions of its content, from 0.
    #[must_use]
    pub fn position(self) -> usize {
        self.0
    }
}

impl Content {
    /// A text, in `language` if that is known, and its `translations`. Without one the fallback is the translation in `language`,
    /// else the first there is, else an empty text.
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

    /// How many versions there are; one at least.
    #[must_use]
    pub fn versions(&self) -> usize {
        1 + self.translations.len()
    }

    /// The version to be read by somebody with these wishes (RFC 4647, 3.4).
    #[must_use]
    pub fn lookup(&self, wishes: &LanguagePriorityList) -> Version {
        if self.translations.is_empty() {
            return Version::FALLBACK;
        }
        let translated = self.translations.iter().map(|translation| &translation.language);
        match &self.language {
            None => wishes.lookup(translated).map_or(Version::FALLBACK, |position| Version(position + 1)),
            Some(language) => {
                wishes.lookup([language].into_iter().chain(translated)).map_or(Version::FALLBACK, Version)
            }
        }
    }

    /// The text of a version of this content.
    #[must_use]
    pub fn text(&self, Version(position): Version) -> &str {
        let translation = position.checked_sub(1).and_then(|position| self.translations.get(position));
        translation.map_or(&self.fallback, |translation| &translation.text)
    }

    /// How long all versions are together, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.fallback.len()
            + self.translations.iter().map(|translation| translation.text.len()).sum::<usize>()
    }
}

impl From<String> for Content {
    /// A text that is the same for everybody.
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
    fn everybody_reads_the_version_that_is_wished_or_the_fallback() {
        let check = |fallback: Option<&str>,
                     language: Option<&str>,
                     others: &[&str],
                     wishes: &str,
                     expected: &str| {
            let content = Content::new(fallback.map(Into::into), language.map(tag), translations(others));
            let wished = LanguagePriorityList::from_accept_language(wishes).expect("wishes");
            let version = content.lookup(&wished);
            assert!(version.position() < content.versions());
            assert_eq!(content.text(version), expected, "{wishes} among {content:?}");
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
    fn each_version_has_a_place_and_counts_for_its_bytes() {
        let content = Content::new(Some("English".into()), Some(tag("en")), translations(&["de", "fr"]));
        let place = |text: &str| content.lookup(&LanguagePriorityList::of(&tag(text))).position();
        assert_eq!(["en", "de", "fr", "it"].map(place), [0, 1, 2, 0]);
        assert_eq!((content.versions(), content.bytes()), (3, "Englishdefr".len()));
    }

    #[test]
    fn text_alone_is_the_same_for_everybody() {
        for content in [Content::from("text"), Content::from("text".to_owned())] {
            assert_eq!(content, Content::new(Some("text".into()), None, Vec::new()));
        }
    }
}
