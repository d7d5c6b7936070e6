//! The whole service in this process, on ports of its own.

use std::{net::SocketAddr, str::FromStr};

use jsonwebtoken::{EncodingKey, Header};
use ocis_sse::{
    composition::{Application, PassedSockets},
    configuration::{Configuration, Environment},
};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    client, eventually,
    nats::Nats,
    transport::{self, Server},
};

pub(crate) const SECRET: &str = "a secret of at least thirty-two bytes";

/// A running service, which is stopped on drop.
pub(crate) struct Service {
    pub(crate) http: Server,
    pub(crate) debug: SocketAddr,
    stop: CancellationToken,
    running: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts a service that reads from `nats`, and waits until it is ready.
    pub(crate) async fn start(nats: &Nats, settings: &[(&str, &str)]) -> Self {
        let service = Self::start_unready(nats, settings);
        service.is_ready().await;
        service
    }

    pub(crate) fn start_unready(nats: &Nats, settings: &[(&str, &str)]) -> Self {
        Self::start_at(&nats.address(), settings)
    }

    /// Starts a service that reads from any of these NATS servers; does not wait until it is ready.
    pub(crate) fn start_at(servers: &str, settings: &[(&str, &str)]) -> Self {
        let ours = [
            ("SSE_JWT_SECRET", SECRET),
            ("SSE_EVENTS_ENDPOINT", servers),
            ("SSE_HTTP_ADDR", "127.0.0.1:0"),
            ("SSE_DEBUG_ADDR", "127.0.0.1:0"),
            ("SSE_DRAIN_TIMEOUT", "1s"),
            // Ignores configuration files of this machine.
            ("OCIS_CONFIG_DIR", "/nowhere"),
        ];
        let environment: Environment =
            ours.iter().chain(transport::settings()).chain(settings).copied().collect();
        let configuration = Configuration::read(None, &environment).expect("a valid configuration");
        let application =
            Application::build(&configuration, None, PassedSockets::default(), None).expect("it starts");
        let http = transport::service_at(application.http_address());
        let debug = application.debug_address();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let running = tokio::spawn(async move { application.run_until(stopped).await.expect("it runs") });
        Self { http, debug, stop, running: Some(running) }
    }

    pub(crate) async fn is_ready(&self) {
        eventually("ready", async || self.readiness().await == (200, "OK".into())).await;
    }

    pub(crate) async fn readiness(&self) -> (u16, String) {
        let response = client::get(self.debug, "/readyz", &[]).await;
        (response.status, response.body)
    }

    /// Returns one sample of the metrics page, 0 while it is missing.
    pub(crate) async fn metric(&self, sample: &str) -> u64 {
        self::sample(self.debug, sample).await
    }

    /// Waits until a sample of the metrics page has this value: counters are updated shortly after an event arrives.
    pub(crate) async fn counts(&self, sample: &str, count: u64) {
        eventually(sample, async || self.metric(sample).await == count).await;
    }

    /// Waits until this many streams are open.
    pub(crate) async fn has_connections(&self, streams: u64) {
        self.counts("sse_connections", streams).await;
    }

    /// Waits until the service has read this many events for users without a stream.
    pub(crate) async fn has_read(&self, events: u64) {
        self.counts(r#"sse_events_received_total{outcome="no_subscriber"}"#, events).await;
    }

    /// Opens a stream of `user`.
    pub(crate) async fn follow(&self, user: &str) -> client::Stream {
        self.follow_with(user, &[]).await
    }

    /// Opens a stream of `user` with further request headers.
    pub(crate) async fn follow_with(&self, user: &str, headers: &[(&str, &str)]) -> client::Stream {
        let token = token(user);
        let headers: Vec<_> = [("x-access-token", &*token)].iter().chain(headers).copied().collect();
        client::Stream::open(self.http, "/sse", &headers).await
    }

    /// Starts the shutdown; [`Service::stopped`] waits for its end.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    pub(crate) async fn stopped(&mut self) {
        let running = self.running.take().expect("waited for once");
        tokio::time::timeout(crate::DEADLINE, running).await.expect("in time").expect("without a panic");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Returns one sample of the metrics page of this debug server, 0 while it is missing.
pub(crate) async fn sample<N: FromStr + Default>(debug: SocketAddr, name: &str) -> N {
    let page = client::get(debug, "/metrics", &[]).await.body;
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_default()
}

/// Returns a token like those of the platform.
pub(crate) fn token(user: &str) -> String {
    token_with(&json!({
        "aud": ["reva"], "exp": 4_000_000_000_u64,
        "user": { "id": { "opaque_id": user } }, "scope": { "user": {} },
    }))
}

pub(crate) fn token_with(claims: &serde_json::Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::default(), claims, &key).expect("signs")
}
