//! The obligations of ports, as tests that every implementation passes, fakes included.
//!
//! A test may wait forever if an obligation is not met. The caller sets a time limit.

mod bookmark_exchange;
mod clock;
pub mod event_source;
mod language_preferences;
mod measurements;
mod service_registry;
mod tickets;
mod token_verifier;

use std::{
    pin::Pin,
    task::{Context, Waker},
};

use domain::identity::UserId;

pub use self::{
    bookmark_exchange::{bookmark_exchange, bookmark_exchange_that_is_lost},
    clock::clock,
    language_preferences::{language_preferences, language_preferences_that_are_lost},
    measurements::measurements,
    service_registry::{service_registry, service_registry_out_of_reach},
    tickets::tickets,
    token_verifier::{Fault, Token, token_verifier},
};

fn is_pending<F: Future>(future: Pin<&mut F>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

fn user() -> UserId {
    UserId::try_new("a").expect("a user id")
}
