//! The use cases of the service, over the ports:
//!
//! - [`Subscriptions`] opens, maintains and ends streams;
//! - [`Relay`] appends the events from NATS to the log that the streams read;
//! - [`LanguageChoices`] stores and applies the language that each user has chosen;
//! - [`AccountCheck`] rejects tokens of accounts that were disabled or deleted;
//! - [`Announcement`] keeps the entry in the service registry by which the platform's proxy finds this instance;
//! - [`Status`] reports whether the instance is ready;
//! - [`Inspection`] shows an administrator events and streams.
//!
//! **Invariant:** no adapter is named here.

mod announce;
mod check_account;
mod choose_language;
mod diagnose;
mod encoded;
mod inspect;
mod pace;
mod relay_events;
mod report_readiness;
mod subscriptions;
#[cfg(test)]
mod tests;

pub use announce::Announcement;
pub use check_account::AccountCheck;
pub use choose_language::LanguageChoices;
pub use diagnose::{Diagnosis, Finding, Instance, PublicName, Report, Verdict};
pub use inspect::Inspection;
pub use relay_events::Relay;
pub use report_readiness::Status;
pub use subscriptions::{StreamPolicy, Subscriptions};
