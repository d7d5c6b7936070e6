//! A record of the events of a stream, and checks of its completeness.

/// The entries of a stream and of the streams that continue it, in order of arrival.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// An event with this number.
    Event(u32),
    /// A gap that the service reported, with its reason.
    Gap(String),
    /// An unexpected event or response.
    Unexpected(String),
}

impl Ledger {
    /// Checks that each of `numbers` arrived once and in order. Additional gaps are allowed.
    pub(crate) fn holds_each_once(&self, numbers: &[u32]) -> Result<(), String> {
        let mut missing = numbers;
        for number in self.events()? {
            missing = take_next(missing, number)?;
        }
        is_complete(missing)
    }

    /// Checks that each of `numbers` arrived once and in order, or that a gap was reported in its place. The last
    /// number must arrive.
    pub(crate) fn holds_each_or_a_gap(&self, numbers: &[u32]) -> Result<(), String> {
        let mut missing = numbers;
        let mut in_gap = false;
        for entry in &self.entries {
            match entry {
                Entry::Event(number) => {
                    if in_gap {
                        let lost = missing.iter().position(|missing| missing == number).unwrap_or(0);
                        missing = &missing[lost..];
                    }
                    missing = take_next(missing, *number)?;
                    in_gap = false;
                }
                Entry::Gap(_) => in_gap = true,
                Entry::Unexpected(what) => return Err(what.clone()),
            }
        }
        is_complete(missing)
    }

    /// Checks that each of `numbers` arrived at least once, the first times in order.
    pub(crate) fn holds_each(&self, numbers: &[u32]) -> Result<(), String> {
        let mut missing = numbers;
        for number in self.events()? {
            let again = missing.first().is_none_or(|next| number < *next) && numbers.contains(&number);
            if !again {
                missing = take_next(missing, number)?;
            }
        }
        is_complete(missing)
    }

    pub(crate) fn gaps(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry, Entry::Gap(_))).count()
    }

    /// Returns the numbers that arrived, or the unexpected entry.
    fn events(&self) -> Result<Vec<u32>, String> {
        let events = self.entries.iter().filter_map(|entry| match entry {
            Entry::Event(number) => Some(Ok(*number)),
            Entry::Gap(_) => None,
            Entry::Unexpected(what) => Some(Err(what.clone())),
        });
        events.collect()
    }
}

fn take_next(missing: &[u32], number: u32) -> Result<&[u32], String> {
    match missing.split_first() {
        Some((next, rest)) if *next == number => Ok(rest),
        Some((next, _)) => Err(format!("{number} came instead of {next}")),
        None => Err(format!("{number} came after the last")),
    }
}

fn is_complete(missing: &[u32]) -> Result<(), String> {
    missing.first().map_or(Ok(()), |next| Err(format!("{next} and what follows did not come")))
}

#[test]
fn ledger_reports_missing_events() {
    use Entry::{Event, Gap, Unexpected};
    let gap = || Gap("expired".into());
    let check = |entries: &[Entry], once: bool, or_a_gap: bool, at_least: bool| {
        let ledger = Ledger { entries: entries.to_vec() };
        let numbers = [1, 2, 5];
        assert_eq!(ledger.holds_each_once(&numbers).is_ok(), once, "{entries:?}");
        assert_eq!(ledger.holds_each_or_a_gap(&numbers).is_ok(), or_a_gap, "{entries:?}");
        assert_eq!(ledger.holds_each(&numbers).is_ok(), at_least, "{entries:?}");
    };
    check(&[Event(1), Event(2), Event(5)], true, true, true);
    check(&[Event(1), gap(), Event(2), Event(5)], true, true, true);
    check(&[], false, false, false);
    check(&[Event(1), Event(2)], false, false, false);
    check(&[Event(1), Event(5)], false, false, false);
    check(&[Event(1), gap(), Event(5)], false, true, false);
    check(&[gap(), Event(5)], false, true, false);
    // A gap excuses only the events at its place.
    check(&[gap(), Event(1), Event(5)], false, false, false);
    check(&[Event(1), Event(5), gap()], false, false, false);
    check(&[Event(1), Event(2), gap()], false, false, false);
    check(&[Event(1), Event(2), Event(1), Event(2), Event(5)], false, false, true);
    check(&[Event(1), Event(2), Event(5), Event(5)], false, false, true);
    check(&[Event(1), Event(5), Event(2), Event(5)], false, false, false);
    check(&[Event(1), gap(), Event(1), Event(2), Event(5)], false, false, true);
    check(&[Event(1), Event(2), Event(4), Event(5)], false, false, false);
    check(&[Event(1), Event(2), Event(5), Event(6)], false, false, false);
    check(&[Event(1), Unexpected("401".into()), Event(2), Event(5)], false, false, false);
}
