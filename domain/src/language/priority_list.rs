use std::fmt;

use super::LanguageTag;

/// A language priority list (RFC 4647, 2.3): language ranges, the most preferred first, and excluded ranges.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LanguagePriorityList {
    /// Basic language ranges (RFC 4647, 2.1). `*` is left out, because a lookup ignores it (RFC 4647, 3.4).
    preferred: Box<[Box<str>]>,
    /// Basic language ranges with weight 0.
    excluded: Box<[Box<str>]>,
}

/// The part of a header field that is parsed, in bytes.
const MAX_BYTES: usize = 1024;
/// The maximum number of ranges in a list.
const MAX_RANGES: usize = 32;

impl LanguagePriorityList {
    /// Creates the list of one language.
    #[must_use]
    pub fn from_tag(language: &LanguageTag) -> Self {
        Self { preferred: [language.as_str().into()].into(), excluded: Box::default() }
    }

    /// Parses the field `Accept-Language` (RFC 9110, 12.5.4).
    ///
    /// Invalid entries are ignored, and so are entries beyond 1 KiB or the 32nd range. Returns none if there is no preferred range.
    #[must_use]
    pub fn from_accept_language(field: &str) -> Option<Self> {
        let (mut preferred, mut excluded) = (Vec::new(), Vec::new());
        for (range, weight) in truncate(field).split(',').filter_map(parse_entry).take(MAX_RANGES) {
            match weight {
                0 => excluded.push(range.into()),
                weight => preferred.push((weight, range)),
            }
        }
        // The sort is stable: of two ranges with the same weight, the first one is preferred.
        preferred.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        let preferred: Box<[Box<str>]> = preferred.into_iter().map(|(_, range)| range.into()).collect();
        (!preferred.is_empty()).then(|| Self { preferred, excluded: excluded.into() })
    }

    /// Looks up the best match (RFC 4647, 3.4). Returns its position in `available`, or none if no range matches.
    ///
    /// The ranges are tried in the order of preference. Each is shortened until it matches.
    #[must_use]
    pub fn lookup<'a, I>(&self, available: I) -> Option<usize>
    where
        I: IntoIterator<Item = &'a LanguageTag>,
        I::IntoIter: Clone,
    {
        let available = available.into_iter();
        self.preferred.iter().flat_map(|range| lookup_sequence(range)).find_map(|range| {
            let position = available.clone().position(|tag| tag.as_str().eq_ignore_ascii_case(range))?;
            (!self.excludes(range)).then_some(position)
        })
    }

    /// Returns the most preferred language.
    #[must_use]
    pub fn first(&self) -> Option<LanguageTag> {
        self.preferred.iter().find_map(|range| LanguageTag::try_new(range).ok())
    }

    /// Returns whether `tag` is excluded. The most specific range that matches the tag decides.
    fn excludes(&self, tag: &str) -> bool {
        let most_specific = |ranges: &[Box<str>]| {
            ranges.iter().filter(|range| matches(tag, range)).map(|range| range.len()).max()
        };
        // None is less than any length.
        !self.excluded.is_empty() && most_specific(&self.excluded) > most_specific(&self.preferred)
    }
}

impl fmt::Display for LanguagePriorityList {
    /// Writes a field from which [`LanguagePriorityList::from_accept_language`] parses an equal list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Ranges of the same weight keep their order.
        f.write_str(&self.preferred.join(","))?;
        self.excluded.iter().try_for_each(|range| write!(f, ",{range};q=0"))
    }
}

/// Truncates the field after its last complete entry.
fn truncate(field: &str) -> &str {
    if field.len() <= MAX_BYTES {
        return field;
    }
    let start = &field[..field.floor_char_boundary(MAX_BYTES + 1)];
    start.rfind(',').map_or("", |end| &start[..end])
}

/// Parses an entry into its range and its weight in thousandths. Returns none if it is invalid or `*`.
fn parse_entry(entry: &str) -> Option<(&str, u16)> {
    let (range, parameter) = match entry.split_once(';') {
        Some((range, parameter)) => (range, Some(parameter)),
        None => (entry, None),
    };
    let weight = match parameter.map(trim_whitespace) {
        None => 1000,
        Some(parameter) => {
            let (name, value) = parameter.split_once('=')?;
            parse_weight(value).filter(|_| name.eq_ignore_ascii_case("q"))?
        }
    };
    Some(trim_whitespace(range)).filter(|range| is_range(range)).map(|range| (range, weight))
}

/// Removes optional whitespace at both ends (RFC 9110, 5.6.3).
fn trim_whitespace(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Returns whether `text` is a basic language range (RFC 4647, 2.1) other than `*`.
fn is_range(text: &str) -> bool {
    let mut subtags = text.split('-');
    let has_valid_length = |subtag: &str| (1..=8).contains(&subtag.len());
    subtags
        .next()
        .is_some_and(|first| has_valid_length(first) && first.bytes().all(|c| c.is_ascii_alphabetic()))
        && subtags.all(|subtag| has_valid_length(subtag) && subtag.bytes().all(|c| c.is_ascii_alphanumeric()))
}

/// Parses a weight (RFC 9110, 12.4.2), from 0 to 1 with up to three decimals, into thousandths.
fn parse_weight(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_weight =
        matches!(whole, "0" | "1") && fraction.len() <= 3 && fraction.bytes().all(|c| c.is_ascii_digit());
    let thousandths = format!("{whole}{fraction:0<3}").parse().ok().filter(|_| is_weight)?;
    (thousandths <= 1000).then_some(thousandths)
}

/// Returns whether `range` matches `tag` by basic filtering (RFC 4647, 3.3.1): it is equal to the tag or to its first subtags.
fn matches(tag: &str, range: &str) -> bool {
    tag.get(..range.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(range))
        && matches!(tag.as_bytes().get(range.len()), None | Some(b'-'))
}

/// Returns the range, and then the range without its last subtags, one after the other. A single-character subtag is removed together with
/// the subtag that it introduces (RFC 4647, 3.4).
fn lookup_sequence(range: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(range), |range| {
        let (mut rest, _) = range.rsplit_once('-')?;
        while let Some((before, _)) = rest.rsplit_once('-').filter(|(_, last)| last.len() == 1) {
            rest = before;
        }
        (rest.len() > 1).then_some(rest)
    })
}

#[cfg(test)]
mod tests;
