//! The service as it is run for people.

use std::net::SocketAddr;

use adapters::{
    inbound::{
        debug,
        http::{CrossOrigin, QueueLimits},
        server::{App, serve},
    },
    outbound::{
        jwt::RevaTokens,
        nats::{JetStreamSource, connection},
        prometheus::PrometheusMetrics,
    },
};
use domain::keepalive::KeepalivePolicy;
use tokio::net::TcpListener;
use tracing::{info, warn};

use super::{Core, DRAIN, Running, StartError, listen};
use crate::configuration::{Configuration, Cors, Queue};

/// A shorter secret can be guessed (RFC 7518, 3.2).
const SHORTEST_SECRET_BYTES: usize = 32;

/// The service, listening, but not yet running.
pub struct Application {
    running: Running,
    debug: (TcpListener, App),
    addresses: [SocketAddr; 2],
}

impl Application {
    /// Puts everything together and listens. The bus may be away.
    ///
    /// # Errors
    ///
    /// An address cannot be listened at, or the bus's client cannot be set up.
    pub async fn build(configuration: &Configuration) -> Result<Self, StartError> {
        let secret = configuration.token_manager.jwt_secret.reveal();
        if secret.len() < SHORTEST_SECRET_BYTES {
            warn!(
                bytes = secret.len(),
                least = SHORTEST_SECRET_BYTES,
                "token_manager.jwt_secret is too short to be safe"
            );
        }
        let core = Core::new();
        let servers = configuration.events.endpoint.iter().map(|server| server.as_str().parse());
        let servers = servers
            .collect::<Result<_, _>>()
            .map_err(|error: std::io::Error| StartError::Bus(error.into()))?;
        let line = connection::connect(servers).await.map_err(|error| StartError::Bus(error.into()))?;
        let source = JetStreamSource::new(&line, core.metrics.clone());

        let http = &configuration.http;
        let (listener, address) = bind(&http.addr, "http.addr").await?;
        let (debug_listener, debug_address) = bind(&configuration.debug.addr, "debug.addr").await?;
        let verifier = std::sync::Arc::new(RevaTokens::new(secret));
        let app = core
            .http(verifier, limits(configuration.queue), cross_origin(&http.cors), http.root.as_str())
            .app(std::convert::identity);
        let metrics = core.metrics.clone();
        let page = (PrometheusMetrics::MEDIA_TYPE, Box::new(move || metrics.render()) as Box<_>);
        let debug = (debug_listener, debug::app(core.status.clone(), page));
        let running = Running {
            core,
            source: Box::new(source),
            slow_client_grace: configuration.queue.slow_client_grace.0,
            keepalive: KeepalivePolicy::every(configuration.keepalive_interval.0),
            listener,
            app,
        };
        Ok(Self { running, debug, addresses: [address, debug_address] })
    }

    /// Where clients connect.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where probes and administrators connect.
    #[must_use]
    pub fn debug_address(&self) -> SocketAddr {
        self.addresses[1]
    }

    /// Runs until `stop` is ready, and ends cleanly.
    ///
    /// # Errors
    ///
    /// A part of the service has failed.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        info!(address = %self.http_address(), debug = %self.debug_address(), "listening");
        let (listener, app) = self.debug;
        let debug = tokio::spawn(serve(listener, app, std::future::pending(), DRAIN));
        let outcome = self.running.until(stop).await;
        // To the last it has told that we are stopping.
        debug.abort();
        outcome
    }
}

async fn bind(
    address: &crate::configuration::Address,
    name: &'static str,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { name, address: address.to_string(), source };
    let listener = listen(address.resolve().map_err(failed)?, name, address.to_string()).await?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn limits(queue: Queue) -> QueueLimits {
    QueueLimits {
        max_events: queue.max_events,
        max_bytes: queue.max_bytes.0,
        total_max_bytes: queue.total_max_bytes.0,
    }
}

fn cross_origin(cors: &Cors) -> CrossOrigin {
    CrossOrigin {
        allow_origins: cors.allow_origins.clone(),
        allow_methods: cors.allow_methods.clone(),
        allow_headers: cors.allow_headers.clone(),
        allow_credentials: cors.allow_credentials,
    }
}
