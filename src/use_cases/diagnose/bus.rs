//! The checks of NATS.

use std::time::Duration;

use ports::outbound::BusFault;

use super::{Diagnosis, Finding};

/// The advice on an operation that NATS rejects.
pub(super) const LIMITS: &str = "JetStream has to be on (nats-server -js), with room for this account; the log of NATS \
                                 has the reason";

impl Diagnosis {
    /// Checks the connection, the stores and the clock of NATS. Returns whether it is connected.
    pub(super) async fn check_bus(&self, report: &mut (dyn FnMut(Finding) + Send)) -> bool {
        match self.bus.connect().await {
            Ok(server) => {
                report(Finding::ok("nats", format!("{server} at {}", self.instance.nats.join(", "))));
            }
            Err(fault) => {
                report(Finding::failed(
                    "nats",
                    format!("no connection to {}: {fault}", self.instance.nats.join(", ")),
                    "check events.endpoint and, with authentication or TLS, the other events.… settings. The \
                     platform's NATS listens on 127.0.0.1:9233 by default, which another machine or container \
                     cannot reach: set NATS_NATS_HOST for the platform",
                ));
                return false;
            }
        }
        let tests = self.bus.stores().await;
        let healthy: Vec<_> =
            tests.iter().filter(|test| test.outcome.is_ok()).map(|test| test.name).collect();
        if !healthy.is_empty() {
            report(Finding::ok("nats.stores", format!("{}: all operations work", healthy.join(", "))));
        }
        for test in tests {
            let Err(fault) = test.outcome else { continue };
            let seen = format!("{}: {fault}", test.name);
            let advice = match fault {
                BusFault::Denied(_) => {
                    "grant the permissions of deploy/nats/permissions.conf to the user of events.username"
                }
                BusFault::Missing => {
                    "the service creates it when it starts: is it running, with this NATS? If so, its log has the reason"
                }
                BusFault::Failed(_) => LIMITS,
            };
            report(if test.is_optional {
                Finding::warning("nats.stores", seen, advice)
            } else {
                Finding::failed("nats.stores", seen, advice)
            });
        }
        if let Ok(unix_time) = self.bus.unix_time().await {
            report(self.compare_clocks("nats.clock", "NATS", unix_time, Duration::ZERO));
        }
        true
    }
}
