//! What the service does, over the ports: it opens streams, looks after them and ends them ([`Subscriptions`]), brings
//! events from the bus to them ([`Relay`]), each in the language that its user reads ([`LanguageChoices`]), refuses tokens of
//! accounts that were disabled or deleted ([`AccountCheck`]), lets the gateway find it ([`Announcement`]), says whether it can do all
//! this ([`Status`]) and lets an administrator look inside ([`Inspection`]).
//!
//! **Invariant:** no adapter is named here.

mod accounts;
mod announcement;
mod encoded;
mod inspection;
mod languages;
mod pace;
mod relay;
mod status;
mod subscriptions;
#[cfg(test)]
mod tests;

pub use accounts::AccountCheck;
pub use announcement::Announcement;
pub use inspection::Inspection;
pub use languages::LanguageChoices;
pub use relay::Relay;
pub use status::Status;
pub use subscriptions::{StreamPolicy, Subscriptions};
