//! Detects that the source reads more slowly than others publish.

use ports::outbound::SourceEvent;

/// Number of waiting messages above which the source is lagging. It is larger than a burst.
const LAG_THRESHOLD: u64 = 10_000;

/// Reports when the source begins to lag, and when it has caught up.
#[derive(Default)]
pub(super) struct LagMonitor {
    is_lagging: bool,
}

impl LagMonitor {
    /// Updates the number of messages that wait to be read. Returns the event to report, if the state has changed.
    ///
    /// The source has caught up when at most half of [`LAG_THRESHOLD`] messages wait. With a single threshold, the state could alternate.
    pub(super) fn update(&mut self, pending: u64) -> Option<SourceEvent> {
        if !self.is_lagging && pending > LAG_THRESHOLD {
            self.is_lagging = true;
            Some(SourceEvent::Lagging { messages: pending })
        } else if self.is_lagging && pending <= LAG_THRESHOLD / 2 {
            self.is_lagging = false;
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
    fn lag_and_its_end_are_reported_once() {
        let mut lag = LagMonitor::default();
        let reported: Vec<_> =
            [0, 9_000, 10_001, 20_000, 6_000, 5_000, 9_000].map(|pending| lag.update(pending)).into();
        let lagging = Some(SourceEvent::Lagging { messages: 10_001 });
        assert_eq!(reported, [None, None, lagging, None, None, Some(SourceEvent::Subscribed), None]);
    }
}
