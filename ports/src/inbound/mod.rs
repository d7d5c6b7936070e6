//! What the application does for those who drive it.

mod choose_language;
mod readiness;
mod subscribe;

pub use choose_language::{ChooseLanguage, LanguageOf};
pub use readiness::{NotReady, Readiness};
pub use subscribe::{Refused, StreamRequest, Subscribe, Subscription};

#[cfg(feature = "mock")]
pub use {choose_language::MockChooseLanguage, readiness::MockReadiness, subscribe::MockSubscribe};
