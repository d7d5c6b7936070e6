//! What the application does for those who drive it.

mod inspect;
mod readiness;
mod subscribe;

pub use inspect::{Inspect, OpenStream, RecentEvent};
pub use readiness::{NotReady, Readiness};
pub use subscribe::{Refused, StreamRequest, Subscribe, Subscription};

#[cfg(feature = "mock")]
pub use {inspect::MockInspect, readiness::MockReadiness, subscribe::MockSubscribe};
