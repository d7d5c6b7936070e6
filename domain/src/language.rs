//! Languages: tags (RFC 5646), preferences (RFC 9110, 12.5.4), and which preference of a user takes effect.

mod choice;
mod priority_list;
mod tag;

pub use self::{
    choice::{LanguageChoice, LanguagePreference, Languages},
    priority_list::LanguagePriorityList,
    tag::{InvalidLanguageTag, LanguageTag},
};
