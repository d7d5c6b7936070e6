//! An event's encoded frames, which all streams share.

use std::{collections::HashMap, sync::OnceLock};

use domain::{
    content::{Content, Version},
    language::Wish,
    notification::Notification,
};
use parking_lot::Mutex;
use ports::outbound::{Frame, Frames};

/// Different language preferences for which it is remembered which translation they get. A client may send any others.
const MAX_LOOKUPS: usize = 32;

/// The frames of one event. Each translation is encoded once, when the first stream takes it.
pub(super) struct Encoded {
    frames: Box<[OnceLock<Frame>]>,
    /// Which translation is for which languages; none when there is but one.
    lookups: Option<Box<Mutex<HashMap<Wish, Version>>>>,
}

impl Encoded {
    /// None is encoded yet of an event with this content.
    pub(super) fn new(content: &Content) -> Self {
        let frames = (0..content.versions()).map(|_| OnceLock::new()).collect();
        Self { frames, lookups: (content.versions() > 1).then(Box::default) }
    }

    /// What is to be written to a stream with these preferred languages.
    pub(super) fn frame(&self, notification: &Notification, wish: &Wish, frames: &dyn Frames) -> Frame {
        let version = self.lookups.as_ref().map_or(Version::FALLBACK, |lookups| {
            let mut lookups = lookups.lock();
            // Mostly known, so that no copy is made to look.
            lookups.get(wish).copied().unwrap_or_else(|| {
                let version = notification.content.lookup(wish.effective());
                if lookups.len() < MAX_LOOKUPS {
                    lookups.insert(wish.clone(), version);
                }
                version
            })
        });
        self.frames[version.position()].get_or_init(|| frames.event(notification, version)).clone()
    }
}
