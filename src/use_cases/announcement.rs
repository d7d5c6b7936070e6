//! The gateway is told where this instance is, for as long as it serves.

use std::{sync::Arc, time::Duration};

use ports::outbound::ServiceRegistry;
use tracing::{info, warn};

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
}

impl Announcement {
    /// Puts the entry and renews it, until it is dropped.
    pub async fn run(self) {
        let mut announced = None;
        loop {
            let outcome = self.registry.announce().await;
            // Said when it changes, not every time.
            if announced != Some(outcome.is_ok()) {
                match &outcome {
                    Ok(_) => info!("announced to the service registry"),
                    Err(error) => warn!(%error, "the gateway cannot find this instance, trying again"),
                }
            }
            announced = Some(outcome.is_ok());
            let (part, of) = RENEWAL_SHARE;
            let renewal = |holds: Duration| self.interval.min(holds / of * part);
            tokio::time::sleep(outcome.map_or(RETRY, renewal)).await;
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
