//! The ports that the application offers to its callers.

mod choose_language;
mod inspect;
mod readiness;
mod subscribe;

pub use choose_language::{ChooseLanguage, UserLanguage};
pub use inspect::{Inspect, OpenStream, RecentEvent};
pub use readiness::{NotReady, Readiness};
pub use subscribe::{EventStream, StreamRequest, Subscribe, SubscribeError, Subscription, Taken};

#[cfg(feature = "mock")]
pub use {
    choose_language::MockChooseLanguage,
    inspect::MockInspect,
    readiness::MockReadiness,
    subscribe::{MockEventStream, MockSubscribe},
};
