//! The gateway is told where this instance is, for as long as it serves.

use std::{sync::Arc, time::Duration};

use ports::outbound::ServiceRegistry;
use tracing::{info, warn};

use super::Status;

/// An entry is put again after this part of the time for which it holds, if not sooner.
const RENEWAL_SHARE: (u32, u32) = (5, 6);
/// How soon to try again when it could not be put.
const RETRY: Duration = Duration::from_secs(2);
/// Stopping does not wait longer than this for a registry that is away.
const WITHDRAWAL: Duration = Duration::from_secs(2);

/// Keeps this instance's entry in the registry.
#[derive(Clone)]
pub struct Announcement {
    /// Where the entry stands.
    pub registry: Arc<dyn ServiceRegistry>,
    /// How often the entry is put again. It is put more often where it would not hold for so long.
    pub interval: Duration,
    /// Where it is told whether the entry is there.
    pub status: Arc<Status>,
}

impl Announcement {
    /// Puts the entry and renews it, until it is dropped.
    pub async fn run(self) {
        let mut announced = None;
        self.status.not_announced("it is being announced".into());
        loop {
            let outcome = self.registry.announce().await;
            // Logged when it changes, not every time.
            let is_new = announced.replace(outcome.is_ok()) != Some(outcome.is_ok());
            let pause = match outcome {
                Ok(holds) => {
                    if is_new {
                        info!("announced to the service registry");
                    }
                    self.status.announced();
                    let (part, of) = RENEWAL_SHARE;
                    self.interval.min(holds / of * part)
                }
                Err(error) => {
                    if is_new {
                        warn!(%error, "the platform's proxy cannot find this instance, trying again");
                    }
                    self.status.not_announced(error.reason);
                    RETRY
                }
            };
            tokio::select! {
                // It is time again.
                () = tokio::time::sleep(pause) => {}
                // Nobody finds us until it was put again.
                () = self.registry.changed() => self.status.not_announced("it is being announced again".into()),
            }
        }
    }

    /// Takes the entry away. To be called after [`Announcement::run`] has ended.
    pub async fn withdraw(&self) {
        let reason = match tokio::time::timeout(WITHDRAWAL, self.registry.withdraw()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        warn!(reason, "the entry in the service registry was left to disappear by itself");
    }
}
