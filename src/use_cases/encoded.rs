//! The encoded frames of an event, shared by all streams.

use std::{collections::HashMap, sync::OnceLock};

use domain::{
    content::{Content, TranslationIndex},
    language::LanguagePreference,
    notification::Notification,
};
use parking_lot::Mutex;
use ports::{Frame, outbound::Frames};

/// Maximum number of language preferences per event whose translation is cached. Clients may send any number of different ones.
const MAX_LOOKUPS: usize = 32;

/// The encoded frames of one event. Each translation is encoded once, when the first stream takes it.
pub(super) struct Encoded {
    frames: Box<[OnceLock<Frame>]>,
    /// The translation for each language preference seen. None for an event with a single text.
    lookups: Option<Box<Mutex<HashMap<LanguagePreference, TranslationIndex>>>>,
}

impl Encoded {
    /// Creates the frames of an event with this `content`, none of them encoded yet.
    pub(super) fn new(content: &Content) -> Self {
        let frames = (0..content.texts()).map(|_| OnceLock::new()).collect();
        Self { frames, lookups: (content.texts() > 1).then(Box::default) }
    }

    /// Returns the frame for a stream with this language `preference`.
    pub(super) fn frame(
        &self,
        notification: &Notification,
        preference: &LanguagePreference,
        frames: &dyn Frames,
    ) -> Frame {
        let translation = self.lookups.as_ref().map_or(TranslationIndex::FALLBACK, |lookups| {
            let mut lookups = lookups.lock();
            // `get` before `insert`: `entry` would clone the preference on every lookup.
            lookups.get(preference).copied().unwrap_or_else(|| {
                let translation = notification.content.lookup(preference.effective());
                if lookups.len() < MAX_LOOKUPS {
                    lookups.insert(preference.clone(), translation);
                }
                translation
            })
        });
        self.frames[translation.position()].get_or_init(|| frames.event(notification, translation)).clone()
    }
}

#[cfg(test)]
mod tests {
    use domain::{
        content::Translation,
        identity::UserId,
        language::{LanguagePriorityList, LanguageTag, Languages},
        notification::{EventId, EventType, Incarnation, Recipients},
    };
    use ports::outbound::MockFrames;

    use super::*;

    #[test]
    fn cached_lookups_are_limited() {
        let german = LanguageTag::try_new("de").expect("a language tag");
        let translation = Translation { language: german, text: "Hallo".into() };
        let notification = Notification {
            id: EventId { incarnation: Incarnation::of(1), sequence: 1 },
            recipients: Recipients::Everyone,
            event_type: EventType::try_new("t").expect("an event type"),
            content: Content::new(Some("Hello".into()), None, vec![translation]),
            session_id: None,
        };
        let mut frames = MockFrames::new();
        frames
            .expect_event()
            .once()
            .returning(|it, translation| it.content.text(translation).to_owned().into());
        let encoded = Encoded::new(&notification.content);
        let mut languages = Languages::new(LanguageTag::default());
        let user = UserId::try_new("a").expect("a user id");
        for number in 0..2 * MAX_LOOKUPS {
            let requested = LanguagePriorityList::from_accept_language(&format!("de-{number}"));
            let frame = encoded.frame(&notification, &languages.preference(&user, requested), &frames);
            assert_eq!(&frame[..], b"Hallo");
        }
        assert_eq!(encoded.lookups.map(|lookups| lookups.lock().len()), Some(MAX_LOOKUPS));
    }
}
