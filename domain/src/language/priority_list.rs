use super::LanguageTag;

/// What somebody parsed to read, the most preferred first (RFC 4647, 2.3), and what on no account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LanguagePriorityList {
    /// Basic language ranges (RFC 4647, 2.1), without `*`: in a lookup it says nothing (RFC 4647, 3.4).
    preferred: Box<[Box<str>]>,
    refused: Box<[Box<str>]>,
}

/// Of a header, so much is looked at.
const MAX_BYTES: usize = 1024;
/// So many ranges are taken from it.
const MAX_RANGES: usize = 32;

impl LanguagePriorityList {
    /// The wish for one language.
    #[must_use]
    pub fn of(language: &LanguageTag) -> Self {
        Self { preferred: [language.as_str().into()].into(), refused: Box::default() }
    }

    /// Reads the field `Accept-Language` (RFC 9110, 12.5.4). An entry that cannot be read is passed over, and of a field of
    /// absurd length the end. None when it names nothing that is preferred.
    #[must_use]
    pub fn from_accept_language(field: &str) -> Option<Self> {
        let (mut preferred, mut refused) = (Vec::new(), Vec::new());
        for (range, weight) in beginning(field).split(',').filter_map(entry).take(MAX_RANGES) {
            match weight {
                0 => refused.push(range.into()),
                weight => preferred.push((weight, range)),
            }
        }
        // Of the same weight, what comes first is preferred more: the sort keeps it so.
        preferred.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        let preferred: Box<[Box<str>]> = preferred.into_iter().map(|(_, range)| range.into()).collect();
        (!preferred.is_empty()).then(|| Self { preferred, refused: refused.into() })
    }

    /// Which of `offered` is to be read, by its position (RFC 4647, 3.4): the first range for which there is one, each made
    /// shorter until there is. None when there is none for any.
    #[must_use]
    pub fn lookup<'a, I>(&self, offered: I) -> Option<usize>
    where
        I: IntoIterator<Item = &'a LanguageTag>,
        I::IntoIter: Clone,
    {
        let offered = offered.into_iter();
        self.preferred.iter().flat_map(|range| shortened(range)).find_map(|range| {
            let position = offered.clone().position(|tag| tag.as_str().eq_ignore_ascii_case(range))?;
            (!self.refuses(range)).then_some(position)
        })
    }

    /// The language that is preferred most.
    #[must_use]
    pub fn first(&self) -> Option<LanguageTag> {
        self.preferred.iter().find_map(|range| LanguageTag::try_new(range).ok())
    }

    /// Of the ranges that `tag` is within, the most specific one counts.
    fn refuses(&self, tag: &str) -> bool {
        let most_specific = |ranges: &[Box<str>]| {
            ranges.iter().filter(|range| is_within(tag, range)).map(|range| range.len()).max()
        };
        // An option that is none is the least.
        !self.refused.is_empty() && most_specific(&self.refused) > most_specific(&self.preferred)
    }
}

/// The field up to the last entry that is not cut.
fn beginning(field: &str) -> &str {
    if field.len() <= MAX_BYTES {
        return field;
    }
    let beginning = &field[..field.floor_char_boundary(MAX_BYTES + 1)];
    beginning.rfind(',').map_or("", |end| &beginning[..end])
}

/// One entry of the list: its range, and its weight in thousandths. None when it says nothing, or cannot be read.
fn entry(entry: &str) -> Option<(&str, u16)> {
    let (range, parameter) = match entry.split_once(';') {
        Some((range, parameter)) => (range, Some(parameter)),
        None => (entry, None),
    };
    let weight = match parameter.map(without_space) {
        None => 1000,
        Some(parameter) => {
            let (name, value) = parameter.split_once('=')?;
            thousandths(value).filter(|_| name.eq_ignore_ascii_case("q"))?
        }
    };
    Some(without_space(range)).filter(|range| is_range(range)).map(|range| (range, weight))
}

/// Without optional white space around it (RFC 9110, 5.6.3).
fn without_space(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// A basic language range (RFC 4647, 2.1) other than `*`.
fn is_range(text: &str) -> bool {
    let mut subtags = text.split('-');
    let in_length = |subtag: &str| (1..=8).contains(&subtag.len());
    subtags.next().is_some_and(|first| in_length(first) && first.bytes().all(|c| c.is_ascii_alphabetic()))
        && subtags.all(|subtag| in_length(subtag) && subtag.bytes().all(|c| c.is_ascii_alphanumeric()))
}

/// A weight (RFC 9110, 12.4.2): from 0 to 1, with three digits after the point at most.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_weight =
        matches!(whole, "0" | "1") && fraction.len() <= 3 && fraction.bytes().all(|c| c.is_ascii_digit());
    let thousandths = format!("{whole}{fraction:0<3}").parse().ok().filter(|_| is_weight)?;
    (thousandths <= 1000).then_some(thousandths)
}

/// Whether `range` is `tag`, or the beginning of it (RFC 4647, 3.3.1).
fn is_within(tag: &str, range: &str) -> bool {
    tag.get(..range.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(range))
        && matches!(tag.as_bytes().get(range.len()), None | Some(b'-'))
}

/// The range, and what is left of it when subtags are taken away from its end, one after the other; one of a single character
/// goes with what it introduces (RFC 4647, 3.4).
fn shortened(range: &str) -> impl Iterator<Item = &str> {
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
