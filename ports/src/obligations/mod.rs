//! What implementations of a port are obliged to, as tests that run against each of them, the fakes included.
//!
//! A test that waits for ever has failed: whoever runs it sets a limit.

mod bookmark_exchange;
pub mod event_source;
mod language_preferences;

use std::{
    pin::Pin,
    task::{Context, Waker},
};

use domain::identity::UserId;

pub use self::{bookmark_exchange::bookmark_exchange, language_preferences::language_preferences};

fn is_pending<F: Future>(future: Pin<&mut F>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

fn user() -> UserId {
    UserId::try_new("a").expect("a user id")
}
