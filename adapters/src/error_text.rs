//! Errors as text.

use std::error::Error;

/// Returns the message of `error` with those of its causes.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_causes(cause)),
        None => error.to_string(),
    }
}
