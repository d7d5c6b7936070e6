//! The checks of the service registry.

use std::net::IpAddr;

use futures_util::future::join_all;
use ports::outbound::{BusFault, ProbeFault, RegisteredInstance};

use super::{Diagnosis, Finding, STREAM_PATH, request, version_of};

/// The check's name.
const CHECK: &str = "registry";
/// Maximum number of registered instances that are requested.
const MAX_INSTANCES: usize = 32;

impl Diagnosis {
    /// Checks that the platform's proxy finds this service, and nothing else under its name.
    pub(super) async fn check_registry(&self, report: &mut (dyn FnMut(Finding) + Send)) {
        let Some(registry) = &self.registry else {
            let advice = "set MICRO_REGISTRY as for the platform, unless a proxy of your own forwards to it";
            return report(Finding::skipped(CHECK, "the service is not announced", Some(advice)));
        };
        self.check_names(report);
        let instances = match registry.instances().await {
            Ok(instances) => instances,
            Err(fault) => return report(unreadable(&fault, registry.permissions())),
        };
        let name = self.instance.service_name.as_str();
        let (own, others): (Vec<_>, Vec<_>) =
            instances.into_iter().partition(|instance| instance.service == name);
        if own.is_empty() {
            report(self.missing(name, &others));
        }
        let requested = own.iter().take(MAX_INSTANCES).map(|instance| self.check_registered(instance));
        join_all(requested).await.into_iter().for_each(report);
    }

    /// Checks the settings by which the platform's proxy finds the service.
    fn check_names(&self, report: &mut (dyn FnMut(Finding) + Send)) {
        let name = self.instance.service_name.as_str();
        let [infinite_scale, open_cloud] = self.instance.platform_names;
        if ![infinite_scale, open_cloud].contains(&name) {
            report(Finding::warning(
                CHECK,
                format!("registry.service_name is {name}"),
                format!(
                    "the platform's proxy looks for {infinite_scale} (Infinite Scale) or {open_cloud} (OpenCloud): unset \
                     SSE_SERVICE_NAME, unless the proxy's routes name {name}"
                ),
            ));
        }
        if !self.instance.root.is_empty() {
            report(Finding::warning(
                CHECK,
                format!("http.root is {}", self.instance.root),
                "the platform's proxy forwards paths as they are: unset SSE_HTTP_ROOT, unless the proxy's routes \
                 have this prefix",
            ));
        }
    }

    /// Returns the finding that there is no entry of the service `name`, only those of `others`.
    fn missing(&self, name: &str, others: &[RegisteredInstance]) -> Finding {
        let similar =
            others.iter().find(|other| self.instance.platform_names.contains(&other.service.as_str()));
        match similar {
            Some(other) => Finding::failed(
                CHECK,
                format!("there is no entry of {name}, but one of {} at {}", other.service, other.address),
                "the instance was started with another registry.service_name: run this command with its environment",
            ),
            None => Finding::failed(
                CHECK,
                format!("there is no entry of {name}, and {} of other services", others.len()),
                "start the service, and look into its log for the reason why it is not announced. Without entries of \
                 other services, MICRO_REGISTRY_ADDRESS may name another NATS than the platform's",
            ),
        }
    }

    /// Checks that this service answers at a registered address.
    async fn check_registered(&self, registered: &RegisteredInstance) -> Finding {
        let RegisteredInstance { service, address, uses_tls } = registered;
        let scheme = if *uses_tls { "https" } else { "http" };
        let url = format!("{scheme}://{address}{}{STREAM_PATH}", self.instance.root);
        let place = format!("{service} is at {address}");
        let is_elsewhere = is_loopback(address) && !self.instance.nats.iter().all(|url| is_loopback(url));
        match self.streams.get(&request(url, Vec::new(), false)).await {
            Ok(response) => match (version_of(&response), response.status) {
                (Some(_), 401) if is_elsewhere => Finding::warning(
                    CHECK,
                    format!("{place}, but NATS is on another machine"),
                    "if the platform's proxy is there too, it cannot reach a loopback address of this machine: set \
                     SSE_HTTP_ADDR or SSE_HTTP_ADVERTISE_ADDR to an address that it reaches",
                ),
                (Some(version), 401) => {
                    Finding::ok(CHECK, format!("{place}, where ocis-sse {version} answers"))
                }
                (Some(version), status) => Finding::failed(
                    CHECK,
                    format!("{place}, where ocis-sse {version} answers {status} instead of 401"),
                    "with 404 that instance has another http.root; with 503 it is stopping",
                ),
                (None, status) => Finding::failed(
                    CHECK,
                    format!("{place}, where something else answers ({status})"),
                    "stop the built-in service: add sse to OCIS_EXCLUDE_RUN_SERVICES (OpenCloud: \
                     OC_EXCLUDE_RUN_SERVICES) and restart the platform. Its proxy sends a part of the streams there",
                ),
            },
            Err(fault @ (ProbeFault::Connect(_) | ProbeFault::Resolve(_))) => Finding::failed(
                CHECK,
                format!("{place}, where nothing answers: {fault}"),
                "set SSE_HTTP_ADVERTISE_ADDR to an address that the platform's proxy reaches. The entry of a \
                 killed instance disappears after registry.register_ttl",
            ),
            Err(fault @ ProbeFault::Unanswered(_)) => Finding::warning(
                CHECK,
                format!("{place}, which this machine does not reach: {fault}"),
                "if the platform's proxy does not reach it either, set SSE_HTTP_ADVERTISE_ADDR. A network policy may \
                 allow the proxy only",
            ),
            Err(fault @ ProbeFault::NoHead(_)) => Finding::failed(
                CHECK,
                format!("{place}, which hangs: {fault}"),
                "look into the log of that instance, and restart it",
            ),
            Err(fault @ (ProbeFault::Tls(_) | ProbeFault::Http(_))) => Finding::failed(
                CHECK,
                format!("{place}, which does not answer as it should: {fault}"),
                "http.tls.enabled differs from the time when that instance was announced, or another program has the \
                 port",
            ),
        }
    }
}

/// Returns whether the host of an address or URL is a loopback address or `localhost`.
pub(super) fn is_loopback(address: &str) -> bool {
    let address = address.split_once("://").map_or(address, |(_, address)| address);
    let address = address.split_once('/').map_or(address, |(address, _)| address);
    let host = match address.rsplit_once(':') {
        Some((host, _)) if !address.ends_with(']') => host,
        _ => address,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Returns the finding about a registry that cannot be read. Reading needs these `permissions`.
fn unreadable(fault: &BusFault, permissions: &str) -> Finding {
    match fault {
        BusFault::Denied(_) => {
            let advice = format!(
                "the service itself only writes. To read the registry, permit {permissions} for this command"
            );
            Finding::skipped(CHECK, fault.to_string(), Some(&advice))
        }
        BusFault::Missing | BusFault::Failed(_) => Finding::failed(
            CHECK,
            format!("it cannot be read: {fault}"),
            "check the registry.… settings: the registry is a bucket of the platform's NATS, with JetStream",
        ),
    }
}
