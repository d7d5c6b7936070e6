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
                    Ok(denied) if is_about(&denied, &name) => return Denied(denied),
                    // Another's, or of some that were too many this may have been one: it is tried again.
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        }
    }
}

/// Whether a denial is about this stream or bucket, or about all.
fn is_about(denied: &str, name: &str) -> bool {
    denied.contains(name) || denied.contains(ACCOUNT)
}

/// Something that NATS does not permit.
#[derive(Debug, thiserror::Error)]
#[error("NATS does not permit {0}")]
pub(super) struct Denied(String);
