//! The ports that the application offers to its callers.

mod adopt;
mod choose_language;
mod connection;
mod inspect;
mod readiness;
mod subscribe;

pub use adopt::{Adopt, ContinuedStream};
pub use choose_language::{ChoiceNotStored, ChooseLanguage, UserLanguage};
pub use connection::{Connection, OnSuspended, SuspendedConnection};
pub use inspect::{Inspect, OpenStream, RecentEvent};
pub use readiness::{NotReady, Readiness};
pub use subscribe::{EventStream, StreamRequest, Subscribe, SubscribeError, Subscription, Taken};

#[cfg(feature = "mock")]
pub use {
    adopt::MockAdopt,
    choose_language::MockChooseLanguage,
    connection::MockConnection,
    subscribe::{MockEventStream, MockSubscribe},
};
