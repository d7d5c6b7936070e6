//! The languages in a request. The first line of the input is an `Accept-Language`; each further line is the tag of a
//! language in which an event is available.

#![no_main]

use domain::language::{LanguagePriorityList, LanguageTag};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (field, tags) = text.split_once('\n').unwrap_or((text, ""));
    let offered: Vec<_> = tags.lines().filter_map(checked_tag).collect();
    let list = LanguagePriorityList::from_accept_language(field);
    let plain = Plain::read(field);
    assert_eq!(list.is_some(), plain.is_some(), "{field:?}");
    let Some((list, plain)) = list.zip(plain) else { return };
    assert_eq!(list.first(), plain.preferred.iter().find_map(|range| LanguageTag::try_new(range).ok()));
    assert_eq!(list.lookup(&offered), plain.lookup(&offered), "{field:?} {offered:?}");
    // Case and white space around an entry do not matter.
    let same = field.to_ascii_uppercase().replace(',', " ,\t");
    if same.len() <= 1024 {
        let same = LanguagePriorityList::from_accept_language(&same).expect("the same list");
        assert_eq!(same.lookup(&offered), list.lookup(&offered), "{field:?} {offered:?}");
    }
});

/// Returns the tag if the text is valid; checks that it is short and normalized.
fn checked_tag(text: &str) -> Option<LanguageTag> {
    let tag = LanguageTag::try_new(text).ok()?;
    assert!(tag.as_str().len() <= 100 && tag.as_str().eq_ignore_ascii_case(text), "{text:?} is {tag}");
    for same in [tag.as_str(), &text.to_ascii_lowercase(), &text.to_ascii_uppercase()] {
        assert_eq!(LanguageTag::try_new(same).as_ref(), Ok(&tag), "{text:?}");
    }
    Some(tag)
}

/// A naive parser of the field by RFC 9110 (12.5.4) and RFC 4647 (3.4).
struct Plain {
    preferred: Vec<String>,
    excluded: Vec<String>,
}

impl Plain {
    fn read(field: &str) -> Option<Self> {
        let mut entries: Vec<_> = field.split(',').collect();
        // Of a field that is too long, only the entries within the limit count.
        while entries.join(",").len() > 1024 {
            entries.pop();
        }
        let entries = entries.into_iter().filter_map(Self::entry).take(32);
        let (mut preferred, excluded): (Vec<_>, Vec<_>) = entries.partition(|(_, weight)| *weight > 0.0);
        preferred.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let ranges = |entries: Vec<(String, f64)>| entries.into_iter().map(|(range, _)| range).collect();
        (!preferred.is_empty()).then(|| Self { preferred: ranges(preferred), excluded: ranges(excluded) })
    }

    fn entry(entry: &str) -> Option<(String, f64)> {
        let (range, parameter) = entry.split_once(';').unwrap_or((entry, "q=1"));
        let [range, parameter] =
            [range, parameter].map(|text| text.trim_matches([' ', '\t']).to_ascii_lowercase());
        let weight = parameter.strip_prefix("q=")?;
        let digits = weight.strip_prefix(['0', '1'])?;
        let digits = if digits.is_empty() { "" } else { digits.strip_prefix('.')? };
        let is_weight = digits.len() <= 3 && digits.chars().all(|digit| digit.is_ascii_digit());
        let weight: f64 = weight.parse().ok().filter(|weight| is_weight && *weight <= 1.0)?;
        let mut subtags = range.split('-');
        let in_length = |subtag: &str| !subtag.is_empty() && subtag.len() <= 8;
        let is_range = subtags
            .next()
            .is_some_and(|first| in_length(first) && first.chars().all(|c| c.is_ascii_alphabetic()))
            && subtags.all(|subtag| in_length(subtag) && subtag.chars().all(|c| c.is_ascii_alphanumeric()));
        is_range.then_some((range, weight))
    }

    fn lookup(&self, offered: &[LanguageTag]) -> Option<usize> {
        for range in &self.preferred {
            let mut subtags: Vec<_> = range.split('-').collect();
            while !subtags.is_empty() {
                let range = subtags.join("-");
                let found = offered.iter().position(|tag| tag.as_str().eq_ignore_ascii_case(&range));
                if found.is_some() && !self.excludes(&range) {
                    return found;
                }
                subtags.pop();
                while subtags.last().is_some_and(|last| last.len() == 1) {
                    subtags.pop();
                }
            }
        }
        None
    }

    fn excludes(&self, tag: &str) -> bool {
        let longest = |ranges: &[String]| {
            let within = ranges.iter().filter(|range| format!("{tag}-").starts_with(&format!("{range}-")));
            within.map(String::len).max()
        };
        longest(&self.excluded) > longest(&self.preferred)
    }
}
