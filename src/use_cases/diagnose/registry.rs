//! The checks of the service registry.

use ports::outbound::{ProbeFault, RegisteredInstance};

use super::{Diagnosis, Finding, PLATFORM_NAMES, STREAM_PATH, VERSION_HEADER, request};

/// The check's name.
const CHECK: &str = "registry";

impl Diagnosis {
    /// Checks that the platform's proxy finds this service, and nothing else under its name.
    pub(super) async fn check_registry(&self, report: &mut (dyn FnMut(Finding) + Send)) {
        let Some(registry) = &self.registry else {
            let advice = "set MICRO_REGISTRY as for the platform, unless a proxy of your own forwards to it";
            report(Finding::skipped(CHECK, "the service is not announced", Some(advice.into())));
            return;
        };
        let instances = match registry.instances().await {
            Ok(instances) => instances,
            Err(error) => {
                let advice = "check registry.address; to read the registry, NATS has to permit \
                              $JS.API.CONSUMER.CREATE.KV_service-registry.> and \
                              $JS.API.DIRECT.GET.KV_service-registry.>";
                report(Finding::skipped(CHECK, error.to_string(), Some(advice.into())));
                return;
            }
        };
        let name = self.instance.service_name.as_str();
        if !PLATFORM_NAMES.contains(&name) {
            report(Finding::warning(
                CHECK,
                format!("registry.service_name is {name}"),
                format!(
                    "the platform's proxy looks for {} (Infinite Scale) or {} (OpenCloud): unset \
                     SSE_SERVICE_NAME, unless the proxy's routes name {name}",
                    PLATFORM_NAMES[0], PLATFORM_NAMES[1]
                ),
            ));
        }
        let (own, others): (Vec<_>, Vec<_>) =
            instances.into_iter().partition(|instance| instance.service == name);
        if own.is_empty() {
            report(missing(name, &others));
        }
        for instance in own {
            report(self.check_registered(&instance).await);
        }
    }

    /// Checks that this service answers at a registered address.
    async fn check_registered(&self, registered: &RegisteredInstance) -> Finding {
        let RegisteredInstance { service, address, uses_tls } = registered;
        let scheme = if *uses_tls { "https" } else { "http" };
        let url = format!("{scheme}://{address}{}{STREAM_PATH}", self.instance.root);
        match self.streams.get(&request(url, Vec::new(), false)).await {
            Ok(response) if response.header(VERSION_HEADER).is_some() => {
                let version = response.header(VERSION_HEADER).unwrap_or_default();
                Finding::ok(CHECK, format!("{service} is at {address}, where ocis-sse {version} answers"))
            }
            Ok(response) => Finding::failed(
                CHECK,
                format!("{service} is at {address}, where something else answers ({})", response.status),
                "stop the built-in service: add sse to OCIS_EXCLUDE_RUN_SERVICES (OpenCloud: \
                 OC_EXCLUDE_RUN_SERVICES) and restart the platform. Its proxy sends a part of the streams there",
            ),
            Err(fault @ (ProbeFault::Connect(_) | ProbeFault::Resolve(_))) => Finding::failed(
                CHECK,
                format!("{service} is at {address}, where nothing answers: {fault}"),
                "set SSE_HTTP_ADVERTISE_ADDR to an address that the platform's proxy reaches. The entry of a \
                 killed instance disappears after registry.register_ttl",
            ),
            Err(fault) => Finding::failed(
                CHECK,
                format!("{service} is at {address}, which does not answer as it should: {fault}"),
                "check that http.tls.enabled is the same as when the instance was started",
            ),
        }
    }
}

/// Returns the finding that there is no entry of the service `name`, only those of `others`.
fn missing(name: &str, others: &[RegisteredInstance]) -> Finding {
    let similar = others.iter().find(|other| PLATFORM_NAMES.contains(&other.service.as_str()));
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
