//! Which language somebody reads: tags (RFC 5646), wishes (RFC 9110, 12.5.4), and which of them counts.

mod choice;
mod priority_list;
mod tag;

pub use self::{
    choice::{LanguageChoice, LanguagePreference, Languages},
    priority_list::LanguagePriorityList,
    tag::{InvalidLanguageTag, LanguageTag},
};
