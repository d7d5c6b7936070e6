//! The use case "announce": the platform's proxy finds this instance in the service registry while it serves.

use std::{sync::Arc, time::Duration};

use ports::outbound::ServiceRegistry;
use tracing::{info, warn};

use super::Status;

/// The part of an entry's lifetime after which it is renewed at the latest: numerator and denominator.
const RENEWAL_SHARE: (u32, u32) = (5, 6);
/// Delay before the next attempt after a failed one.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// Timeout for removing the entry when the service stops.
const WITHDRAWAL_TIMEOUT: Duration = Duration::from_secs(2);

/// The entry of this instance in the service registry.
#[derive(Clone)]
pub struct Announcement {
    /// The registry.
    pub registry: Arc<dyn ServiceRegistry>,
    /// Time between two renewals of the entry. The entry is renewed more often if its lifetime is shorter.
    pub interval: Duration,
    /// Records whether the entry is in the registry.
    pub status: Arc<Status>,
}

impl Announcement {
    /// Writes the entry and renews it, until the future is dropped.
    pub async fn run(self) {
        let mut was_announced = None;
        self.status.not_announced("it is being announced".into());
        loop {
            let outcome = self.registry.announce().await;
            // Only a change is logged, not every renewal.
            let has_changed = was_announced.replace(outcome.is_ok()) != Some(outcome.is_ok());
            let pause = match outcome {
                Ok(lifetime) => {
                    if has_changed {
                        info!("announced to the service registry");
                    }
                    self.status.announced();
                    let (part, of) = RENEWAL_SHARE;
                    self.interval.min(lifetime / of * part)
                }
                Err(error) => {
                    if has_changed {
                        warn!(%error, "announcement to the service registry failed, retrying");
                    }
                    self.status.not_announced(error.reason);
                    RETRY_DELAY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // The entry may be gone. Until it is written again, the proxy does not find this instance.
                () = self.registry.changed() => self.status.not_announced("it is being announced again".into()),
            }
        }
    }

    /// Removes the entry. It is called after [`Announcement::run`] has ended, which would write the entry again.
    pub async fn withdraw(&self) {
        let reason = match tokio::time::timeout(WITHDRAWAL_TIMEOUT, self.registry.withdraw()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        warn!(reason, "entry in the service registry not removed, it will expire");
    }
}
