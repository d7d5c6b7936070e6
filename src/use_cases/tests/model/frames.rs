//! Frames that a browser of the model can parse.

use domain::{content::TranslationIndex, gap::Gap};

use super::*;

/// Frames that name their kind.
pub(super) struct LabelledFrames;

impl Frames for LabelledFrames {
    fn event(&self, notification: &Notification, translation: TranslationIndex) -> Frame {
        format!("event {} {}", notification.id, notification.content.text(translation)).into()
    }

    fn opening(&self, _: Option<Duration>, position: Option<EventId>) -> Option<Frame> {
        position.map(|position| self.position(position))
    }

    fn position(&self, position: EventId) -> Frame {
        format!("position {position}").into()
    }

    fn gap(&self, gap: &Gap, position: EventId) -> Frame {
        format!("gap {position} {:?} after {:?}", gap.reason, gap.last_event_id).into()
    }

    fn language(&self, language: &LanguageTag) -> Frame {
        format!("language {language}").into()
    }

    fn keepalive(&self) -> Frame {
        Frame::from_static(b"keepalive")
    }

    fn closing(&self, reason: EndReason, _: Option<Duration>) -> Frame {
        format!("closing {reason:?}").into()
    }
}

/// A parsed frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// An event, with its language if it has translations.
    Event(EventId, Option<LanguageTag>),
    Position(EventId),
    /// A gap: events up to this one are missing.
    Gap(EventId),
    Comment,
    Closing(String),
}

impl Written {
    /// Parses a frame of [`LabelledFrames`].
    pub(super) fn read(text: &str) -> Self {
        let words: Vec<_> = text.split(' ').collect();
        let id = || words[1].parse().expect("an id");
        match words[0] {
            "event" => Self::Event(id(), words.get(2).and_then(|text| LanguageTag::try_new(text).ok())),
            "position" => Self::Position(id()),
            "gap" => Self::Gap(id()),
            "closing" => Self::Closing(words[1].to_owned()),
            _ => Self::Comment,
        }
    }

    /// Returns the id of the frame, which becomes the last event id.
    pub(super) fn id(&self) -> Option<EventId> {
        match self {
            Self::Event(id, _) | Self::Position(id) | Self::Gap(id) => Some(*id),
            Self::Comment | Self::Closing(_) => None,
        }
    }
}
