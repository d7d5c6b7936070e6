//! The permissions that NATS denies to the service.

use async_nats::{Error, ServerError};
use tokio::sync::{broadcast, watch};

/// Maximum number of denials that a task has not received yet.
const CAPACITY: usize = 64;
/// Prefix of a denial. The denied operation and its subject follow.
const VIOLATION: &str = "Permissions Violation for ";
/// The subject of a request that concerns no particular stream.
const ACCOUNT: &str = "\"$JS.API.INFO\"";
/// Prefix of the denial of a subscription to replies. A part that is unique to a connection or a request follows.
const REPLIES: &str = "Subscription to \"_INBOX.";
/// The error of a connection that has reached its limit of subscriptions. All subscriptions of the service are for replies.
const TOO_MANY_SUBSCRIPTIONS: &str = "maximum subscriptions exceeded";

/// The denials of a connection. NATS does not reply to a request that it denies. It sends an error on the connection instead.
#[derive(Clone)]
pub(super) struct Denials {
    all: broadcast::Sender<String>,
    /// The denial of the replies to all requests, if they are denied. The client subscribes to replies once for each connection, with the
    /// first request of any task, so the denial concerns every task.
    replies: watch::Sender<Option<Denied>>,
}

impl Default for Denials {
    fn default() -> Self {
        Self { all: broadcast::Sender::new(CAPACITY), replies: watch::Sender::new(None) }
    }
}

impl Denials {
    /// Records an error of NATS, if it is a denial.
    pub(super) fn record(&self, error: &ServerError) {
        let ServerError::Other(text) = error else { return };
        if text == TOO_MANY_SUBSCRIPTIONS {
            self.replies.send_replace(Some(Denied("more subscriptions (max_subscriptions)".into())));
        } else if let Some(denied) = text.strip_prefix(VIOLATION) {
            if denied.starts_with(REPLIES) {
                self.replies.send_replace(Some(Denied(format!("{REPLIES}>\""))));
            }
            // Fails if no task waits for a denial.
            self.all.send(denied.to_owned()).ok();
        }
    }

    /// Records that the client has reconnected. It will subscribe to replies again.
    pub(super) fn connected(&self) {
        self.replies.send_replace(None);
    }

    /// Returns the denial of the replies to all requests, if they are denied.
    pub(super) fn replies(&self) -> Option<Denied> {
        self.replies.borrow().clone()
    }

    /// Waits until the replies to all requests are denied.
    pub(super) fn replies_denied(&self) -> impl Future<Output = Denied> + use<> {
        let mut replies = self.replies.subscribe();
        async move {
            let denied = replies.wait_for(Option::is_some).await.ok().and_then(|denied| denied.clone());
            match denied {
                Some(denied) => denied,
                None => std::future::pending().await,
            }
        }
    }

    /// Returns the reply to a request about the stream or bucket `name`.
    ///
    /// # Errors
    ///
    /// Returns the error of the request, or the denial if NATS denies a request about `name` meanwhile.
    pub(super) async fn unless_denied<T, E: Into<Error>>(
        &self,
        name: &str,
        request: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Error> {
        tokio::select! {
            // The denial is more specific than the timeout that it causes.
            biased;
            denied = self.denied(name) => Err(denied.into()),
            reply = request => reply.map_err(Into::into),
        }
    }

    /// Waits for a denial about the stream or bucket `name` that arrives after the call, or for a denial of the replies to all requests.
    pub(super) fn denied(&self, name: &str) -> impl Future<Output = Denied> + use<> {
        let (mut denials, name) = (self.all.subscribe(), name.to_owned());
        let replies = self.replies_denied();
        let about_name = async move {
            loop {
                match denials.recv().await {
                    Ok(denied) => {
                        if let Some(denied) = about(&denied, &name) {
                            return Denied(denied);
                        }
                    }
                    // The next attempt causes a missed denial again.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        async move {
            tokio::select! {
                denied = about_name => denied,
                denied = replies => denied,
            }
        }
    }
}

/// Returns the denial if it concerns this stream or bucket. The rest of the subject is left out, because it may name a user.
fn about(denied: &str, name: &str) -> Option<String> {
    // Only the registry sends this request, on a connection of its own.
    if denied.contains(ACCOUNT) {
        return Some(denied.to_owned());
    }
    let (before, after) = denied.split_once(name)?;
    let rest = if after.starts_with('.') { ".>\"" } else { "\"" };
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
    fn denial_names_the_permission_but_no_user() {
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
    async fn denied_replies_concern_all_until_reconnect() {
        let denials = Denials::default();
        let before = denials.denied("main-queue");
        let inbox = "Permissions Violation for Subscription to \"_INBOX.5AbCd.*\"";
        denials.record(&ServerError::Other(inbox.into()));
        let named = "NATS does not permit Subscription to \"_INBOX.>\"";
        assert_eq!(before.await.to_string(), named);
        assert_eq!(denials.denied("sse-resume").await.to_string(), named);
        denials.connected();
        assert!(denials.replies().is_none());
        assert!(denials.denied("sse-resume").now_or_never().is_none());
        denials.record(&ServerError::Other("maximum subscriptions exceeded".into()));
        let named = "NATS does not permit more subscriptions (max_subscriptions)";
        assert_eq!(denials.denied("sse-resume").await.to_string(), named);
    }
}
