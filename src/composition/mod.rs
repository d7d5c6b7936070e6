//! The composition root: the one place that names adapters and puts them behind the ports.

mod capacity;
mod demo;
mod reload;
mod server;
mod watched;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use adapters::{
    http_server::{
        App, ConnectionLimits, Listener, serve,
        tls::{TlsAcceptor, UnusableCertificate},
    },
    inbound::{
        debug::{self, Unhealthy},
        http::{CrossOrigin, EventFrames, HttpApi},
    },
    outbound::{
        clock::SystemClock,
        otlp::TraceContext,
        prometheus::{HttpServerMetrics, PrometheusMetrics},
    },
};
use domain::language::LanguageTag;
use ports::outbound::{BookmarkExchange, Clock, EventSource, LanguagePreferences, TokenVerifier};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub use self::{demo::Demo, server::Application, watched::Watched};
use crate::use_cases::{
    AccountCheck, Announcement, Inspection, LanguageChoices, Relay, Status, StreamPolicy, Subscriptions,
};

/// The version that is told to clients and on the command line.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Of the time that stopping may take, this part is for ending streams one after the other …
const ENDING_SHARE: f64 = 0.8;
/// … and the rest for writing out what they still have, which takes at least this.
const SHORTEST_FLUSH: Duration = Duration::from_millis(250);

/// The use cases, and what every composition of them has in common.
struct Core {
    subscriptions: Subscriptions,
    languages: LanguageChoices,
    /// None when there are no other instances.
    exchange: Option<Arc<dyn BookmarkExchange>>,
    status: Arc<Status>,
    metrics: Arc<PrometheusMetrics>,
    clock: Arc<dyn Clock>,
}

impl Core {
    /// Who wishes no language reads `default_language`; which ones are wished is kept by `preferences`. With `exchange`, where
    /// streams stand when they end is told to other instances.
    fn new(
        policy: StreamPolicy,
        default_language: LanguageTag,
        preferences: Arc<dyn LanguagePreferences>,
        exchange: Option<Arc<dyn BookmarkExchange>>,
    ) -> Self {
        let (metrics, clock) = (Arc::new(PrometheusMetrics::new(VERSION)), Arc::new(SystemClock));
        let subscriptions = Subscriptions::new(
            policy,
            default_language,
            Arc::new(EventFrames),
            metrics.clone(),
            clock.clone(),
            exchange.clone(),
        );
        let languages = LanguageChoices { subscriptions: subscriptions.clone(), preferences };
        Self { subscriptions, languages, exchange, status: Arc::default(), metrics, clock }
    }

    fn http(
        &self,
        verifier: Arc<dyn TokenVerifier>,
        cross_origin: watch::Receiver<CrossOrigin>,
        root: &str,
    ) -> HttpApi {
        HttpApi {
            subscribe: Arc::new(self.subscriptions.clone()),
            choose_language: Arc::new(self.languages.clone()),
            verifier: Arc::new(AccountCheck { verifier, subscriptions: self.subscriptions.clone() }),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
            traces: Arc::new(TraceContext),
            cross_origin,
            root: root.into(),
            version: VERSION,
        }
    }

    fn inspection(&self) -> Inspection {
        Inspection { subscriptions: self.subscriptions.clone(), measurements: self.metrics.clone() }
    }

    fn relay(&self) -> Relay {
        Relay {
            subscriptions: self.subscriptions.clone(),
            languages: self.languages.clone(),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
            status: Arc::clone(&self.status),
            traces: Arc::new(TraceContext),
        }
    }
}

/// What is to run until the service stops.
struct Running {
    core: Core,
    source: Box<dyn EventSource>,
    drain_timeout: Duration,
    /// None when nobody is to be told.
    announcement: Option<Announcement>,
    listener: Listener,
    /// None when the line is not encrypted.
    tls: Option<TlsAcceptor>,
    app: App,
}

impl Running {
    /// Runs until `stop` is ready, then ends every stream, and waits until all clients have their end.
    async fn until(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        let mut tasks = JoinSet::new();
        let no_more_events = CancellationToken::new();
        let relay = self.core.relay();
        let mut relay = tokio::spawn(relay.run(self.source, no_more_events.clone().cancelled_owned()));
        tasks.spawn(self.core.subscriptions.clone().maintain());
        tasks.spawn(self.core.languages.clone().follow());
        if let Some(exchange) = self.core.exchange.clone() {
            tasks.spawn(self.core.subscriptions.clone().follow(exchange));
        }
        let announcing = self.announcement.clone().map(|announcement| tasks.spawn(announcement.run()));
        let no_more_requests = CancellationToken::new();
        let ending_time = self.drain_timeout.mul_f64(ENDING_SHARE);
        let flush = self.drain_timeout.saturating_sub(ending_time).max(SHORTEST_FLUSH);
        // A task like those that it begins: they need no other thread.
        let mut requests = tokio::spawn(serve(
            self.listener,
            self.tls,
            self.app,
            no_more_requests.clone().cancelled_owned(),
            flush,
        ));
        let outcome = tokio::select! {
            // We are told to stop.
            () = stop => Ok(()),
            // A task that never ends by itself has ended: there is a fault in it.
            Some(_) = tasks.join_next() => Err(StartError::Task),
            _ = &mut relay => Err(StartError::Task),
            _ = &mut requests => return Err(StartError::Task),
        };
        self.core.status.stopping();
        // First nobody is sent here any more, then nobody stays.
        if let (Some(announcing), Some(announcement)) = (announcing, self.announcement) {
            announcing.abort();
            announcement.withdraw().await;
        }
        self.core.subscriptions.drain(ending_time).await;
        no_more_requests.cancel();
        let outcome = outcome.and(requests.await.map_err(|_| StartError::Task));
        if outcome.is_ok() {
            no_more_events.cancel();
            if let Some(exchange) = self.core.exchange {
                exchange.close().await;
            }
            return relay.await.map_err(|_| StartError::Task);
        }
        outcome
    }
}

fn listen(
    addresses: &[SocketAddr],
    limits: ConnectionLimits,
    metrics: HttpServerMetrics,
    name: &'static str,
    address: String,
) -> Result<Listener, StartError> {
    Listener::bind(addresses, limits, Arc::new(metrics)).map_err(|source| StartError::Listen {
        name,
        address,
        source,
    })
}

/// The description of the API, as it is committed: one object of JSON.
#[must_use]
pub fn specification() -> String {
    demo::specification()
}

/// Asks the instance whose debug server is at `address` whether it lives.
///
/// # Errors
///
/// It does not answer, or not that it does.
pub async fn ask_health(address: SocketAddr) -> Result<(), Unhealthy> {
    debug::probe(address).await
}

/// Why the service could not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened at.
    #[error("{name} {address} cannot be listened at")]
    Listen {
        /// The setting.
        name: &'static str,
        /// Its value.
        address: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A server's address cannot be used.
    #[error("the address of a server of the bus cannot be used")]
    Bus(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The log's file cannot be written.
    #[error("log.file {path} cannot be written")]
    LogFile {
        /// The setting's value.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The endpoint cannot be served over TLS.
    #[error("http.tls: the certificate cannot be used")]
    Certificate(#[source] UnusableCertificate),
    /// A token for the demo could not be made.
    #[error("no token could be made")]
    Token(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The signals that would stop it cannot be caught.
    #[error("signals cannot be caught")]
    Signals(#[source] std::io::Error),
    /// A part that runs for ever has ended.
    #[error("a part of the service has failed; its panic stands above")]
    Task,
}
