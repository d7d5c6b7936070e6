//! Language priority lists, checked against the examples of the RFCs and against a naive implementation.

use proptest::prelude::*;

use super::*;

fn tags(tags: &[&str]) -> Vec<LanguageTag> {
    tags.iter().map(|tag| LanguageTag::try_new(tag).expect("a language tag")).collect()
}

/// Returns the preferred and the excluded ranges of a field.
fn parsed(field: &str) -> Option<(Vec<String>, Vec<String>)> {
    let texts = |ranges: &[Box<str>]| ranges.iter().map(ToString::to_string).collect();
    let list = LanguagePriorityList::from_accept_language(field)?;
    assert_eq!(LanguagePriorityList::from_accept_language(&list.to_string()).as_ref(), Some(&list));
    Some((texts(&list.preferred), texts(&list.excluded)))
}

/// Returns the tag that is found for a field.
fn found(field: &str, available: &[&str]) -> Option<String> {
    let available = tags(available);
    let position = LanguagePriorityList::from_accept_language(field)?.lookup(&available)?;
    Some(available[position].to_string())
}

#[test]
fn lookup_passes_the_examples_of_the_rfcs() {
    let check = |field: &str, available: &[&str], expected: Option<&str>| {
        assert_eq!(found(field, available).as_deref(), expected, "{field} among {available:?}");
    };
    // RFC 4647, 3.4: the sequence of a range.
    let tried = ["zh-Hant-CN-x-private1-private2", "zh-Hant-CN-x-private1", "zh-Hant-CN", "zh-Hant", "zh"];
    for first in 0..tried.len() {
        let rest: Vec<_> = tried[first..].iter().rev().copied().collect();
        check(tried[0], &rest, Some(tried[first]));
    }
    check(tried[0], &["de"], None);
    assert_eq!(lookup_sequence(tried[0]).collect::<Vec<_>>(), tried);
    assert_eq!(lookup_sequence("i-klingon").collect::<Vec<_>>(), ["i-klingon"]);
    // RFC 4647, 3.4: "fr-FR, zh-Hant" tries fr-FR, fr, zh-Hant, zh.
    check("fr-FR, zh-Hant", &["zh", "zh-Hant", "fr", "fr-FR"], Some("fr-FR"));
    check("fr-FR, zh-Hant", &["zh", "zh-Hant", "fr"], Some("fr"));
    check("fr-FR, zh-Hant", &["zh", "zh-Hant"], Some("zh-Hant"));
    check("fr-FR, zh-Hant", &["zh"], Some("zh"));
    check("fr-FR, zh-Hant", &["en"], None);
    // RFC 4647, 3.4: a lookup ignores `*`.
    check("*, fr", &["en", "fr"], Some("fr"));
    check("fr, *", &["en"], None);
    // RFC 9110, 12.5.4: Danish, else British English, else other English.
    let danish = "da, en-gb;q=0.8, en;q=0.7";
    check(danish, &["en", "en-GB", "da"], Some("da"));
    check(danish, &["en-US", "en", "en-GB"], Some("en-GB"));
    check(danish, &["en-US", "en"], Some("en"));
    check(danish, &["en-US"], None);
    // RFC 9110, 12.4.2: 0 means that it is not acceptable.
    check("de-CH-1996, de;q=0, fr;q=0.1", &["de", "fr"], Some("fr"));
    check("de;q=0, de-CH", &["de", "de-CH"], Some("de-CH"));
    check("de-CH-1996, de-CH;q=0", &["de", "de-CH"], Some("de"));
    check("en;q=0, en-GB-x-a-b", &["en-GB", "en"], None);
}

#[test]
fn invalid_entries_are_ignored() {
    let check = |field: &str, expected: Option<(&[&str], &[&str])>| {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            parsed(field),
            expected.map(|(preferred, excluded)| (owned(preferred), owned(excluded))),
            "{field:?}"
        );
    };
    check("de-CH,de;q=0.9,en;q=0.8,*;q=0.5", Some((&["de-CH", "de", "en"], &[])));
    check("en;q=0.2, de, fr;q=1.000, it;q=0.201", Some((&["de", "fr", "it", "en"], &[])));
    check(" \tde ;\tQ=0.5 ,, ,fr", Some((&["fr", "de"], &[])));
    check("de;q=0, fr;q=0.000, it;q=0.001, en;q=0.", Some((&["it"], &["de", "fr", "en"])));
    // An invalid entry does not affect the others.
    for bad in [
        "",
        "1",
        "d e",
        "dé",
        "de_CH",
        "de-*",
        "*-CH",
        "toolonglanguage",
        "de-",
        "-de",
        "de;q=2",
        "de;q=1.001",
        "de;q=0.1234",
        "de;q=-1",
        "de;q",
        "de;q=",
        "de;q=.5",
        "de;q = 0.5",
        "de;level=1",
        "de;q=0.5;q=0.5",
        "de;q=0.5x",
        "*;q=0",
    ] {
        check(bad, None);
        check(&format!("{bad}, fr"), Some((&["fr"], &[])));
        check(&format!("fr, {bad}"), Some((&["fr"], &[])));
    }
}

#[test]
fn oversized_field_is_truncated_between_entries() {
    let many = "de;q=0.5,".repeat(1_000) + "fr";
    let (preferred, _) = parsed(&many).expect("preferred ranges");
    assert_eq!(preferred, vec!["de"; MAX_RANGES]);
    // A truncated entry would be a different range.
    let cut = format!("fr,{}en-GB", ",".repeat(MAX_BYTES - 5));
    assert_eq!(parsed(&cut), Some((vec!["fr".into()], vec![])));
    let whole = format!("fr,{}de,en", ",".repeat(MAX_BYTES - 5));
    assert_eq!(parsed(&whole), Some((vec!["fr".into(), "de".into()], vec![])));
    assert_eq!(parsed(&"a".repeat(100_000)), None);
    assert_eq!(parsed(&"é".repeat(100_000)), None);
}

/// A naive implementation of RFC 4647, 3.4, and of the exclusions of RFC 9110, 12.4.2.
fn naive_lookup(entries: &[(String, u16)], available: &[LanguageTag]) -> Option<LanguageTag> {
    let mut preferred: Vec<_> =
        entries.iter().filter(|(range, weight)| *weight > 0 && range != "*").collect();
    preferred.sort_by(|(_, one), (_, other)| other.cmp(one));
    let quality = |tag: &str| {
        let prefix = |range: &str| {
            let (range, tag) = (range.to_lowercase(), tag.to_lowercase());
            range == tag || tag.starts_with(&format!("{range}-"))
        };
        let matching = entries.iter().filter(|(range, _)| prefix(range));
        // The longest range decides, and of equal ones the one with the greater weight.
        matching.max_by_key(|(range, weight)| (range.len(), *weight)).map_or(1, |(_, weight)| *weight)
    };
    for (range, _) in preferred {
        let mut subtags: Vec<&str> = range.split('-').collect();
        while !subtags.is_empty() {
            let candidate = subtags.join("-");
            let same = available.iter().find(|tag| tag.as_str().to_lowercase() == candidate.to_lowercase());
            if let Some(tag) = same.filter(|_| quality(&candidate) > 0) {
                return Some(tag.clone());
            }
            subtags.pop();
            while subtags.last().is_some_and(|last| last.len() == 1) {
                subtags.pop();
            }
        }
    }
    None
}

fn range() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "(de|DE|fr|zh)(-(CH|ch|Hant|x|a|1996|x-b))?(-(AT|CN|1|1901))?",
        1 => Just("*".to_owned()),
    ]
}

fn weight() -> impl Strategy<Value = u16> {
    prop_oneof![2 => Just(1000_u16), 1 => Just(0_u16), 3 => 0_u16..=1000]
}

proptest! {
    #[test]
    fn lookup_agrees_with_a_naive_implementation(
        entries in prop::collection::vec((range(), weight()), 0..6),
        available in prop::collection::vec("(de|fr|zh)(-(CH|Hant))?(-(x-b|AT|CN|1901|1996))?", 0..5),
    ) {
        let available: Vec<_> = available.iter().filter_map(|tag| LanguageTag::try_new(tag).ok()).collect();
        let field: Vec<_> = entries
            .iter()
            .map(|(range, weight)| format!("{range};q={}.{:03}", weight / 1000, weight % 1000))
            .collect();
        let list = LanguagePriorityList::from_accept_language(&field.join(", "));
        let found = list.and_then(|list| list.lookup(&available)).map(|position| available[position].clone());
        prop_assert_eq!(found, naive_lookup(&entries, &available));
    }

    #[test]
    fn valid_entries_are_read_among_invalid_ones(
        entries in prop::collection::vec(("[a-z]{2,3}(-[A-Z]{2})?", 1_u16..=1000, "[ \t]{0,2}", "[^,]{0,9}"), 0..8),
    ) {
        let (mut field, mut expected) = (Vec::new(), Vec::new());
        for (range, weight, space, between) in &entries {
            field.push(format!("{space}{range}{space};{space}q={}.{:03}", weight / 1000, weight % 1000));
            expected.push((range.clone(), *weight));
            field.push(between.clone());
            // The random text between two entries may be a valid entry as well.
            expected.extend(parse_entry(between).map(|(range, weight)| (range.to_owned(), weight)));
        }
        expected.retain(|(_, weight)| *weight > 0);
        expected.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
        let expected: Vec<_> = expected.into_iter().map(|(range, _)| range).collect();
        let read = parsed(&field.join(",")).map(|(preferred, _)| preferred).unwrap_or_default();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn arbitrary_field_never_panics(field in ".{0,2000}", available in "[a-z]{2}") {
        if let Some(list) = LanguagePriorityList::from_accept_language(&field) {
            let _ = list.lookup(&tags(&[&available]));
            let _ = list.first();
        }
    }
}
