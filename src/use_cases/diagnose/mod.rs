//! The use case "diagnose": checks each part of an event's path, and says what to do about a fault.

mod bus;
mod finding;
mod instance;
mod public;
mod registry;
mod stream;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use domain::identity::UserId;
use ports::outbound::{BusProbe, Clock, ProbeRequest, ProbeResponse, RegistryProbe, StreamProbe};

pub use self::{
    finding::{Finding, Report, Verdict},
    public::PublicName,
};

/// The path of the stream, below the root of the endpoint.
const STREAM_PATH: &str = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse";
/// The header with the service's version.
const VERSION_HEADER: &str = "x-sse-version";
/// Difference between two clocks from which on it is a fault. The service tolerates as much.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(5);

/// A diagnosis of a service, with its configuration and from its place in the network.
pub struct Diagnosis {
    /// Tests NATS.
    pub bus: Arc<dyn BusProbe>,
    /// Reads the service registry. None if the service is not announced.
    pub registry: Option<Arc<dyn RegistryProbe>>,
    /// Requests streams.
    pub streams: Arc<dyn StreamProbe>,
    /// The clock of this machine.
    pub clock: Arc<dyn Clock>,
    /// The running instance.
    pub instance: Instance,
    /// The public name of the platform. None to leave it out.
    pub public: Option<PublicName>,
    /// A user that does not exist. Events for it concern nobody.
    pub user: UserId,
    /// A token for `user`, signed with the configured secret.
    pub token: String,
}

/// The running instance, as the configuration describes it.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The URL of the endpoint for clients, with its root and without a slash at the end.
    pub url: String,
    /// The URL of the debug server.
    pub debug_url: String,
    /// The root of the endpoint: empty, or a path that begins with a slash.
    pub root: String,
    /// The name in the service registry.
    pub service_name: String,
    /// The names in the registry under which the proxies of Infinite Scale and OpenCloud look for the service.
    pub platform_names: [&'static str; 2],
    /// The URLs of NATS, without credentials.
    pub nats: Vec<String>,
    /// The silence after which a stream gets a comment. Zero for no comments.
    pub keepalive: Duration,
}

impl Diagnosis {
    /// Makes all checks, and hands each finding to `report` as soon as it is known.
    pub async fn run(&self, report: &mut (dyn FnMut(Finding) + Send)) {
        let is_connected = self.check_bus(report).await;
        self.check_registry(report).await;
        let direct = self.check_instance(is_connected, report).await;
        if let Some(public) = &self.public {
            self.check_public_name(public, is_connected, direct.as_ref(), report).await;
        }
    }

    /// Returns a finding about the clock of `other`, if it has told its time. `precision` is the part that it leaves out.
    fn compare_clocks(
        &self,
        check: &'static str,
        other: &str,
        unix_time: Duration,
        precision: Duration,
    ) -> Finding {
        let own = self.clock.unix_time();
        let (ahead, behind) = (unix_time.saturating_sub(own), own.saturating_sub(unix_time));
        let difference = ahead.max(behind).saturating_sub(precision);
        let seconds = difference.as_secs();
        if difference <= MAX_CLOCK_DIFFERENCE {
            return Finding::ok(check, format!("the clock of {other} agrees with this machine's"));
        }
        let direction = if ahead.is_zero() { "behind" } else { "ahead of" };
        Finding::failed(
            check,
            format!("the clock of {other} is {seconds} s {direction} this machine's"),
            "synchronize the clocks of all machines (NTP): tokens expire by the clock of this machine, and \
             are issued by the platform's",
        )
    }
}

/// Returns the version of ocis-sse, if the response is from it. The built-in service sends a version too, but neither problem details nor the
/// language of a stream.
fn version_of(response: &ProbeResponse) -> Option<&str> {
    let media_type = response.header("content-type").unwrap_or_default();
    let is_ours =
        media_type.starts_with("application/problem+json") || response.header("content-language").is_some();
    response.header(VERSION_HEADER).filter(|_| is_ours)
}

fn request(url: String, headers: Vec<(&'static str, String)>, verify: bool) -> ProbeRequest {
    ProbeRequest { url, headers, verify }
}
