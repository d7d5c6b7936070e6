//! What NATS denies.

use async_nats::{Error, ServerError};
use tokio::sync::{broadcast, watch};

/// Denials that are kept for a task that has not received them yet.
const CAPACITY: usize = 64;
/// The beginning of a denial; the denied operation and its subject follow.
const VIOLATION: &str = "Permissions Violation for ";
/// A request that is about no stream.
const ACCOUNT: &str = "\"$JS.API.INFO\"";
/// What the denial of a subject for answers begins with. A subject of its own, for one connection or one request, follows.
const ANSWERS: &str = "Subscription to \"_INBOX.";
/// What NATS says when a connection has as many subscriptions as it may have; each is for answers.
const TOO_MANY_SUBSCRIPTIONS: &str = "maximum subscriptions exceeded";

/// The denials of a connection. NATS does not answer a request that it denies: it sends an error on the connection instead.
#[derive(Clone)]
pub(super) struct Denials {
    all: broadcast::Sender<String>,
    /// Which denial concerns the answers to all requests, if one does. The client subscribes to them once for each connection, whichever
    /// task is the first to ask for something; all of them have to know.
    answers: watch::Sender<Option<Denied>>,
}

impl Default for Denials {
    fn default() -> Self {
        Self { all: broadcast::Sender::new(CAPACITY), answers: watch::Sender::new(None) }
    }
}

impl Denials {
    /// Records an error of NATS, if it is a denial.
    pub(super) fn note(&self, error: &ServerError) {
        let ServerError::Other(text) = error else { return };
        if text == TOO_MANY_SUBSCRIPTIONS {
            self.answers.send_replace(Some(Denied("more subscriptions (max_subscriptions)".into())));
        } else if let Some(denied) = text.strip_prefix(VIOLATION) {
            if denied.starts_with(ANSWERS) {
                self.answers.send_replace(Some(Denied(format!("{ANSWERS}>\""))));
            }
            // It fails when no task waits for a denial.
            self.all.send(denied.to_owned()).ok();
        }
    }

    /// A new connection was made, in which the client subscribes to its answers anew.
    pub(super) fn connected(&self) {
        self.answers.send_replace(None);
    }

    /// Returns the denial of the answers to all requests, if there is one.
    pub(super) fn answers(&self) -> Option<Denied> {
        self.answers.borrow().clone()
    }

    /// Waits until the answers to all requests are denied.
    pub(super) fn answers_denied(&self) -> impl Future<Output = Denied> + use<> {
        let mut answers = self.answers.subscribe();
        async move {
            let denied = answers.wait_for(Option::is_some).await.ok().and_then(|denied| denied.clone());
            match denied {
                Some(denied) => denied,
                None => std::future::pending().await,
            }
        }
    }

    /// Waits until the answers to all requests are not known to be denied.
    pub(super) async fn answers_permitted(&self) {
        self.answers.subscribe().wait_for(Option::is_none).await.ok();
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

    /// Waits for a denial about the stream or bucket `name` that comes after the call, or about the answers to all requests.
    pub(super) fn denied(&self, name: &str) -> impl Future<Output = Denied> + use<> {
        let (mut denials, name) = (self.all.subscribe(), name.to_owned());
        let answers = self.answers_denied();
        let about_name = async move {
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
        };
        async move {
            tokio::select! {
                denied = about_name => denied,
                denied = answers => denied,
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
#[derive(Clone, Debug, thiserror::Error)]
#[error("NATS does not permit {0}")]
pub(super) struct Denied(String);

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

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

    #[tokio::test]
    async fn denied_answers_are_known_to_all_until_the_next_connection() {
        let denials = Denials::default();
        let before = denials.denied("main-queue");
        let inbox = "Permissions Violation for Subscription to \"_INBOX.5AbCd.*\"";
        denials.note(&ServerError::Other(inbox.into()));
        let named = "NATS does not permit Subscription to \"_INBOX.>\"";
        assert_eq!(before.await.to_string(), named);
        assert_eq!(denials.denied("sse-resume").await.to_string(), named);
        denials.connected();
        assert!(denials.answers().is_none());
        assert!(denials.denied("sse-resume").now_or_never().is_none());
        denials.note(&ServerError::Other("maximum subscriptions exceeded".into()));
        let named = "NATS does not permit more subscriptions (max_subscriptions)";
        assert_eq!(denials.denied("sse-resume").await.to_string(), named);
    }
}
