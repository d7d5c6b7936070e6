//! An event in the languages that are wished: each version becomes bytes once, for all streams.

use std::{collections::HashMap, time::Instant};

use domain::{content::Version, language::Wish, notification::Notification};
use ports::outbound::{Frame, Frames};

/// One event, as it is offered to live streams.
pub(super) struct Editions<'a> {
    notification: &'a Notification,
    frames: &'a dyn Frames,
    published: Instant,
    /// The versions that were asked for, by their position.
    encoded: Vec<Option<Frame>>,
    /// Which version is for whom.
    versions: HashMap<Wish, Version>,
}

impl<'a> Editions<'a> {
    /// Those of `notification`, which the bus took at `published`. Nothing is encoded before it is asked for.
    pub(super) fn new(notification: &'a Notification, frames: &'a dyn Frames, published: Instant) -> Self {
        Self { notification, frames, published, encoded: Vec::new(), versions: HashMap::new() }
    }

    /// What is to be written to a stream with this wish.
    pub(super) fn frame(&mut self, wish: &Wish) -> &Frame {
        let content = &self.notification.content;
        let version = if content.versions() == 1 {
            Version::FALLBACK
        } else {
            // Mostly known, so that no copy is made to look.
            self.versions.get(wish).copied().unwrap_or_else(|| {
                let version = content.lookup(wish.effective());
                self.versions.insert(wish.clone(), version);
                version
            })
        };
        if self.encoded.is_empty() {
            self.encoded = vec![None; content.versions()];
        }
        self.encoded[version.position()]
            .get_or_insert_with(|| self.frames.event(self.notification, version, Some(self.published)))
    }
}
