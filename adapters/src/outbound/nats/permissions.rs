//! What NATS does not permit.

use async_nats::{Error, ServerError};
use tokio::sync::broadcast;

/// So many denials are kept for a task that is late to hear of them.
const CAPACITY: usize = 64;
/// How NATS begins to say so; what is denied follows.
const VIOLATION: &str = "Permissions Violation for ";

/// A request that is about no stream.
const ACCOUNT: &str = "\"$JS.API.INFO\"";

/// What NATS denies. It says so on the connection: whoever made the request waits for an answer that never comes.
#[derive(Clone)]
pub(super) struct Denials(broadcast::Sender<String>);

impl Default for Denials {
    fn default() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }
}

impl Denials {
    /// NATS has said that something is wrong, which may be a denial.
    pub(super) fn note(&self, error: &ServerError) {
        if let ServerError::Other(text) = error
            && let Some(denied) = text.strip_prefix(VIOLATION)
        {
            // Perhaps nobody waits for anything.
            self.0.send(denied.to_owned()).ok();
        }
    }

    /// The answer to a request about the stream or bucket `name`.
    ///
    /// # Errors
    ///
    /// That of the request, or what NATS denies meanwhile of what is asked about `name`.
    pub(super) async fn permitted<T, E: Into<Error>>(
        &self,
        name: &str,
        request: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Error> {
        tokio::select! {
            // It may have failed because of the denial, which says more.
            biased;
            denied = self.denied(name) => Err(denied.into()),
            answer = request => answer.map_err(Into::into),
        }
    }

    /// Waits until NATS denies something about the stream or bucket `name`, from the call on.
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
                    // One of those that were too many may have been it: it is tried again.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        }
    }
}

/// What is denied, if it is about this stream or bucket. Behind its name may stand a user's.
fn about(denied: &str, name: &str) -> Option<String> {
    // The registry's bucket is made with it, on a connection of its own.
    if denied.contains(ACCOUNT) {
        return Some(denied.to_owned());
    }
    let (before, behind) = denied.split_once(name)?;
    let rest = if behind.starts_with('.') { ".>\"" } else { "\"" };
    Some(format!("{before}{name}{rest}"))
}

/// Something that NATS does not permit.
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
