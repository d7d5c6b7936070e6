//! The gateway is told where this instance is, for as long as it serves.

use std::{sync::Arc, time::Duration};

use ports::outbound::ServiceRegistry;
use tracing::{info, warn};

use super::Status;

/// How often the entry is put again. It disappears after thirty seconds without.
const RENEWAL: Duration = Duration::from_secs(25);
/// How soon to try again when it could not be put.
const RETRY: Duration = Duration::from_secs(2);
/// Stopping does not wait longer than this for a registry that is away.
const WITHDRAWAL: Duration = Duration::from_secs(2);

/// Keeps this instance's entry in the registry.
#[derive(Clone)]
pub struct Announcement {
    /// Where the entry stands.
    pub registry: Arc<dyn ServiceRegistry>,
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
            match &outcome {
                Ok(()) => self.status.announced(),
                Err(error) => self.status.not_announced(error.reason.clone()),
            }
            // Said when it changes, not every time.
            if announced != Some(outcome.is_ok()) {
                match &outcome {
                    Ok(()) => info!("announced to the service registry"),
                    Err(error) => warn!(%error, "the gateway cannot find this instance, trying again"),
                }
            }
            announced = Some(outcome.is_ok());
            tokio::select! {
                // It is time again.
                () = tokio::time::sleep(if outcome.is_ok() { RENEWAL } else { RETRY }) => {}
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
