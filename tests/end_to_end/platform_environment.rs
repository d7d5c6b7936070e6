//! The environments in which the platforms' packages start their own `sse` service also start this one.
//!
//! The arguments are those of Infinite Scale's Helm chart 0.7.0. The variables are the chart's (`helm-chart.env`), and
//! those of OpenCloud's `opencloud-compose` (`docker-compose.yml`, with its `.env.example`).

use std::net::{Ipv4Addr, SocketAddr};

use async_nats::ConnectOptions;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    client::{self, Stream},
    eventually,
    nats::Nats,
    program::Program,
    registry::entries,
    service::{SECRET, token},
    transport::{self, Server},
};

/// The variables of the chart's container, without the secret and the addresses of NATS.
const CHART: &str = include_str!("../platforms/helm-chart.env");

/// Returns the chart's variables; `events` are those of its template `ocis.events`.
fn chart<'a>(registry: &'a str, events: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let lines = CHART.lines().filter(|line| !line.starts_with('#'));
    let template = lines.map(|line| line.split_once('=').expect("a variable"));
    let here = [
        ("MICRO_REGISTRY_ADDRESS", registry),
        ("SSE_JWT_SECRET", SECRET),
        // The chart uses the ports 9135 and 9939.
        ("SSE_DEBUG_ADDR", "0.0.0.0:0"),
        ("SSE_HTTP_ADDR", "0.0.0.0:0"),
    ];
    let here = here.iter().chain(events).chain(transport::settings());
    template.chain(here.copied()).collect()
}

/// A running service that has logged no warning.
struct Started {
    program: Program,
    http: Server,
    debug: SocketAddr,
}

impl Started {
    async fn with(environment: &[(&str, &str)]) -> Self {
        let mut program = Program::start(&["sse", "server"], environment);
        loop {
            let line = program.log_line().await;
            if line["message"] == "listening" {
                let here = |name: &str| {
                    let mut address: SocketAddr =
                        line[name].as_str().expect("a text").parse().expect("an address");
                    address.set_ip(Ipv4Addr::LOCALHOST.into());
                    address
                };
                let (http, debug) = (transport::service_at(here("address")), here("debug"));
                return Self { program, http, debug };
            }
            assert_eq!(line["level"], "info", "{line}");
        }
    }

    async fn is_ready(&self) {
        eventually("ready", async || client::try_get(self.debug, "/readyz").await == Some(200)).await;
    }

    /// Stops the service, which must not log a warning until its end.
    async fn stop(mut self) {
        self.program.terminate();
        for line in self.program.remaining_errors().await.lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(line["level"], "info", "{line}");
        }
    }
}

async fn delivers(service: &Started, nats: &Nats) {
    let mut stream = Stream::open(service.http, "/sse", &[("x-access-token", &token("marie"))]).await;
    nats.publisher().await.event(&["marie"], "share-created", "{}").await;
    assert_eq!(stream.content().await, "{}");
}

#[tokio::test]
async fn helm_chart_variables_are_enough() {
    let nats = Nats::start().await;
    let address = nats.address();
    let service = Started::with(&chart(&address, &[("OCIS_EVENTS_ENDPOINT", &address)])).await;
    // The chart's liveness probe.
    assert_eq!(client::get(service.debug, "/healthz", &[]).await.status, 200);
    service.is_ready().await;
    assert_eq!(entries(&nats).await[0]["name"], "com.owncloud.sse.sse");
    delivers(&service, &nats).await;
    let origin = ("origin", "https://ocis.owncloud.test");
    let answer = client::get(service.http, "/sse", &[origin]).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://ocis.owncloud.test"));
    service.stop().await;
}

/// Returns a directory with a certificate authority, as the chart mounts it, and with a server certificate for
/// 127.0.0.1 from it.
fn custom_ca_chain() -> TempDir {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = authority.self_signed(&key).expect("a certificate");
    let server_key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    let server = server.signed_by(&server_key, &Issuer::new(authority, key)).expect("a certificate");
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("custom")).expect("made");
    for (name, text) in [
        ("custom/company.crt", certificate.pem()),
        ("server.crt", server.pem()),
        ("server.key", server_key.serialize_pem()),
    ] {
        std::fs::write(directory.path().join(name), text).expect("written");
    }
    directory
}

/// An external NATS whose certificate the pods trust (`tls.certTrusted`) because of a custom chain (`customCAChain`).
#[tokio::test]
async fn helm_chart_with_external_nats_is_enough() {
    let registry = Nats::start().await;
    let certificates = custom_ca_chain();
    let path = |name: &str| certificates.path().join(name).to_str().expect("Unicode").to_owned();
    let (certificate, key) = (path("server.crt"), path("server.key"));
    let nats =
        Nats::start_with(&["--tls", "--tlscert", &certificate, "--tlskey", &key], ConnectOptions::new).await;
    let (address, registry_address) = (nats.address(), registry.address());
    let trusted = format!("/etc/ssl/certs:{}", path("custom"));
    let external = [
        ("OCIS_EVENTS_ENDPOINT", &*address),
        ("OCIS_EVENTS_CLUSTER", "company"),
        ("OCIS_EVENTS_ENABLE_TLS", "true"),
        ("OCIS_EVENTS_TLS_INSECURE", "false"),
        ("OCIS_EVENTS_TLS_ROOT_CA_CERTIFICATE", ""),
        ("SSL_CERT_DIR", &trusted),
    ];
    let service = Started::with(&chart(&registry_address, &external)).await;
    service.is_ready().await;
    service.stop().await;
    // Without the chain the certificate is not trusted.
    let without = chart(&registry_address, &external[..5]);
    let service = Started::with(&without).await;
    eventually("not ready", async || {
        client::get(service.debug, "/readyz", &[]).await.body.contains("invalid peer certificate")
    })
    .await;
}

/// OpenCloud's variables from the compose file, and those that run ocis-sse in a container beside the platform.
#[tokio::test]
async fn opencloud_compose_variables_are_enough() {
    let nats = Nats::start().await;
    let address = nats.address();
    let environment = [
        ("OC_ADD_RUN_SERVICES", ""),
        ("OC_URL", "https://cloud.opencloud.test"),
        ("OC_LOG_LEVEL", "info"),
        ("OC_LOG_COLOR", "false"),
        ("OC_LOG_PRETTY", "false"),
        ("PROXY_TLS", "false"),
        ("OC_INSECURE", "true"),
        ("PROXY_ENABLE_BASIC_AUTH", "false"),
        ("IDM_CREATE_DEMO_USERS", "false"),
        ("IDM_ADMIN_PASSWORD", "admin"),
        ("NOTIFICATIONS_SMTP_HOST", ""),
        ("NOTIFICATIONS_SMTP_PORT", ""),
        ("NOTIFICATIONS_SMTP_INSECURE", "false"),
        ("FRONTEND_ARCHIVER_MAX_SIZE", "10000000000"),
        ("PROXY_CSP_CONFIG_FILE_LOCATION", "/etc/opencloud/csp.yaml"),
        ("OC_PASSWORD_POLICY_BANNED_PASSWORDS_LIST", "banned-password-list.txt"),
        ("OC_SHARING_PUBLIC_SHARE_MUST_HAVE_PASSWORD", "true"),
        ("OC_PASSWORD_POLICY_MIN_CHARACTERS", "8"),
        ("OC_DEFAULT_LANGUAGE", ""),
        // The further variables for a container of its own.
        ("OC_EXCLUDE_RUN_SERVICES", "sse"),
        ("OC_JWT_SECRET", SECRET),
        ("OC_EVENTS_ENDPOINT", &address),
        ("MICRO_REGISTRY_ADDRESS", &address),
        ("SSE_HTTP_ADDR", "0.0.0.0:0"),
        ("SSE_DEBUG_ADDR", "0.0.0.0:0"),
    ];
    let service = Started::with(&[&environment, transport::settings()].concat()).await;
    service.is_ready().await;
    assert_eq!(entries(&nats).await[0]["name"], "eu.opencloud.sse.sse");
    delivers(&service, &nats).await;
    service.stop().await;
}
