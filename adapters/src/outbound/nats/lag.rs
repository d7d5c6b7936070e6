//! Whether we keep up with those who publish.

use ports::outbound::SourceEvent;

/// What was last said of it.
#[derive(Default)]
pub(super) struct Lag {
    behind: bool,
}

/// So many messages waiting are more than a burst.
const FAR_BEHIND: u64 = 10_000;

impl Lag {
    /// What to say when `pending` messages wait; nothing when that was said before.
    pub(super) fn judge(&mut self, pending: u64) -> Option<SourceEvent> {
        if !self.behind && pending > FAR_BEHIND {
            self.behind = true;
            Some(SourceEvent::Lagging { messages: pending })
        } else if self.behind && pending <= FAR_BEHIND / 2 {
            self.behind = false;
            Some(SourceEvent::Subscribed)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_falls_behind_says_so_once_and_again_when_it_has_caught_up() {
        let mut lag = Lag::default();
        let said: Vec<_> =
            [0, 9_000, 10_001, 20_000, 6_000, 5_000, 9_000].map(|pending| lag.judge(pending)).into();
        let behind = Some(SourceEvent::Lagging { messages: 10_001 });
        assert_eq!(said, [None, None, behind, None, None, Some(SourceEvent::Subscribed), None]);
    }
}
