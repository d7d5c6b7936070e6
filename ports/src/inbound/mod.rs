//! What the application does for those who drive it.

mod readiness;
mod subscribe;

pub use readiness::{NotReady, Readiness};
pub use subscribe::{Refused, StreamRequest, Subscribe, Subscription};

#[cfg(feature = "mock")]
pub use {readiness::MockReadiness, subscribe::MockSubscribe};
