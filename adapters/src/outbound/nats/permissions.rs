//! Permissions that NATS denies.

use async_nats::{Error, ServerError};
use tokio::sync::broadcast;

/// Denials that are kept for a task that has not received them yet.
const CAPACITY: usize = 64;
/// The beginning of a denial; the denied operation and its subject follow.
const VIOLATION: &str = "Permissions Violation for ";
/// A request that is about no stream.
const ACCOUNT: &str = "\"$JS.API.INFO\"";

/// The denials of a connection. NATS does not answer a request that it denies: it sends an error on the connection instead.
#[derive(Clone)]
pub(super) struct Denials(broadcast::Sender<String>);

impl Default for Denials {
    fn default() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }
}

impl Denials {
    /// Records an error of NATS, if it is a denial.
    pub(super) fn note(&self, error: &ServerError) {
        if let ServerError::Other(text) = error
            && let Some(denied) = text.strip_prefix(VIOLATION)
        {
            // It fails when no task waits for a denial.
            self.0.send(denied.to_owned()).ok();
        }
    }

    /// Returns the answer to a request about the stream or bucket `name`.
    ///
    /// # Errors
    ///
    /// The request failed, or NATS denied a request about `name` meanwhile.
    pub(super) async fn permitted<T, E: Into<Error>>(
        &self,
        name: &str,
        request: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Error> {
        tokio::select! {
            // The denial says more than the failure that it causes.
            biased;
            denied = self.denied(name) => Err(denied.into()),
            answer = request => answer.map_err(Into::into),
        }
    }

    /// Waits for a denial about the stream or bucket `name` that comes after the call.
    pub(super) fn denied(&self, name: &str) -> impl Future<Output = Denied> + use<> {
        let (mut denials, name) = (self.0.subscribe(), name.to_owned());
        async move {
            loop {
                match denials.recv().await {
                    Ok(denied) => {
                        if let Some(denied) = about(&denied, &name) {
                            return Denied(denied);
                        }
                    }
                    // A missed denial comes again with the next attempt.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        }
    }
}

/// Returns the denial if it is about this stream or bucket, without the rest of the subject, which may name a user.
fn about(denied: &str, name: &str) -> Option<String> {
    // Only the registry asks for it, on a connection of its own.
    if denied.contains(ACCOUNT) {
        return Some(denied.to_owned());
    }
    let (before, behind) = denied.split_once(name)?;
    let rest = if behind.starts_with('.') { ".>\"" } else { "\"" };
    Some(format!("{before}{name}{rest}"))
}

/// A permission that NATS denies.
#[derive(Debug, thiserror::Error)]
#[error("NATS does not permit {0}")]
pub(super) struct Denied(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denial_names_the_permission_and_no_user() {
        let check = |denied: &str, name: &str, expected: Option<&str>| {
            assert_eq!(about(denied, name).as_deref(), expected, "{denied}");
        };
        let named = r#"Publish to "$KV.sse-resume.ME.ORQWE""#;
        check(named, "sse-resume", Some(r#"Publish to "$KV.sse-resume.>""#));
        check(named, "sse-languages", None);
        let info = r#"Publish to "$JS.API.STREAM.INFO.main-queue""#;
        check(info, "main-queue", Some(info));
        let next = r#"Publish to "$JS.API.CONSUMER.MSG.NEXT.main-queue.ocis-sse-5a""#;
        check(next, "main-queue", Some(r#"Publish to "$JS.API.CONSUMER.MSG.NEXT.main-queue.>""#));
        check(r#"Publish to "$JS.API.INFO""#, "service-registry", Some(r#"Publish to "$JS.API.INFO""#));
    }
}
