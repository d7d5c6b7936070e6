//! The composition root: the only module that names adapters. It connects them to the ports.

mod capacity;
mod demo;
mod diagnosis;
mod nats;
mod reload;
mod server;
mod take_over;
mod telemetry;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use adapters::{
    http_server::{
        App, ConnectionLimits, Listener, serve,
        tls::{TlsAcceptor, UnusableCertificate},
    },
    inbound::{
        debug::{self, Unhealthy},
        http::{AuditPolicy, CrossOrigin, EventFrames, HttpApi},
    },
    outbound::{
        clock::SystemClock,
        handover::TakeOverFailed,
        otlp::TraceContext,
        prometheus::{HttpServerMetrics, PrometheusMetrics},
    },
};
use domain::{drain, language::LanguageTag};
use ipnet::IpNet;
use ports::outbound::{BookmarkExchange, Clock, EventSource, LanguagePreferences, Tickets, TokenVerifier};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub use adapters::{
    error_text::with_causes,
    inbound::{
        signals::{Signal, hangups, successor_requests},
        socket_activation::{PassedSockets, UnusableSocket},
    },
};

use self::take_over::HandedOver;
pub use self::{
    demo::Demo,
    diagnosis::{PublicUrl, diagnosis},
    server::Application,
    take_over::TakeOver,
    telemetry::{Telemetry, stop_on_signals},
};
use crate::{
    configuration::ConfigErrors,
    use_cases::{
        AccountCheck, Announcement, Inspection, LanguageChoices, Relay, Status, StreamPolicy, Subscriptions,
    },
};

/// The version of the service.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Minimum time for writing out the last events of ended streams.
const MIN_FLUSH_TIME: Duration = Duration::from_millis(250);

/// The time in which requests that were received before a take-over still open streams, which are handed over.
const REQUESTS_TIME: Duration = Duration::from_secs(1);

/// The use cases with the adapters that the service and the demo have in common.
struct Core {
    subscriptions: Subscriptions,
    languages: LanguageChoices,
    /// None if there are no other instances.
    exchange: Option<Arc<dyn BookmarkExchange>>,
    status: Arc<Status>,
    metrics: Arc<PrometheusMetrics>,
    clock: Arc<dyn Clock>,
}

impl Core {
    /// Creates the use cases. `preferences` stores the language choices; `default_language` applies without one. `exchange` shares bookmarks
    /// with other instances.
    fn new(
        policy: StreamPolicy,
        default_language: LanguageTag,
        preferences: Arc<dyn LanguagePreferences>,
        exchange: Option<Arc<dyn BookmarkExchange>>,
        metrics: Arc<PrometheusMetrics>,
    ) -> Self {
        let clock = Arc::new(SystemClock);
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
        (tickets, ticket_clients): (Arc<dyn Tickets>, watch::Receiver<Vec<IpNet>>),
        cross_origin: watch::Receiver<CrossOrigin>,
        audit: watch::Receiver<AuditPolicy>,
        root: &str,
    ) -> HttpApi {
        HttpApi {
            subscribe: Arc::new(self.subscriptions.clone()),
            choose_language: Arc::new(self.languages.clone()),
            verifier: Arc::new(AccountCheck { verifier, subscriptions: self.subscriptions.clone() }),
            tickets: Arc::new(AccountCheck { verifier: tickets, subscriptions: self.subscriptions.clone() }),
            ticket_clients,
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
            traces: Arc::new(TraceContext),
            cross_origin,
            audit,
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

/// The service, which listens but does not run yet.
struct Service {
    core: Core,
    source: Box<dyn EventSource>,
    drain_timeout: Duration,
    /// None if the service is not announced.
    announcement: Option<Announcement>,
    listener: Listener,
    /// None without TLS.
    tls: Option<TlsAcceptor>,
    app: App,
}

impl Service {
    /// Runs until `stop` is ready, or until another process has taken over. Then it ends every stream and waits until the connections are
    /// closed.
    async fn run_until(
        self,
        stop: impl Future<Output = ()>,
        handed_over: impl Future<Output = Result<HandedOver, StartError>>,
    ) -> Result<(), StartError> {
        let mut tasks = JoinSet::new();
        let stop_relay = CancellationToken::new();
        let relay = self.core.relay();
        let mut relay = tokio::spawn(relay.run(self.source, stop_relay.clone().cancelled_owned()));
        tasks.spawn(self.core.subscriptions.clone().maintain());
        tasks.spawn(self.core.languages.clone().follow());
        if let Some(exchange) = self.core.exchange.clone() {
            tasks.spawn(self.core.subscriptions.clone().follow(exchange));
        }
        let accepting = self.listener.is_shared().then(|| self.listener.accepting());
        let announcing = self.announcement.clone().map(|announcement| tasks.spawn(announcement.run()));
        let (stop_server, server_stop) = oneshot::channel();
        let server_stop = async { server_stop.await.unwrap_or_default() };
        let drain_time = drain::ending_time(self.drain_timeout);
        let flush_time = self.drain_timeout.saturating_sub(drain_time).max(MIN_FLUSH_TIME);
        // Spawned, so that accepting connections happens on the same threads as the tasks that serve them.
        let mut server = tokio::spawn(serve(self.listener, self.tls, self.app, server_stop));
        let (outcome, handed_over) = tokio::select! {
            () = stop => (Ok(()), None),
            handed_over = handed_over => match handed_over {
                Ok(handed_over) => (Ok(()), Some(handed_over)),
                Err(error) => (Err(error), None),
            },
            // These tasks only end by a panic.
            Some(_) = tasks.join_next() => (Err(StartError::Task), None),
            _ = &mut relay => (Err(StartError::Task), None),
            _ = &mut server => return Err(StartError::Task),
        };
        self.core.status.stopping();
        if let Some(accepting) = accepting {
            accepting.set(false);
        }
        // The entry is removed before streams end, so that the proxy sends the reconnecting clients to other instances.
        if let (Some(announcing), Some(announcement)) = (announcing, self.announcement) {
            announcing.abort();
            announcement.withdraw().await;
        }
        match handed_over {
            None => {
                self.core.subscriptions.drain(drain_time).await;
                stop_server.send(flush_time).ok();
            }
            Some(handed_over) => {
                // Idle connections are closed, and the other process accepts new ones.
                stop_server.send(REQUESTS_TIME + drain_time + flush_time).ok();
                tokio::select! {
                    () = handed_over.hand_over_later(&self.core.subscriptions) => {}
                    () = async {
                        tokio::time::sleep(REQUESTS_TIME).await;
                        self.core.subscriptions.drain(drain_time).await;
                    } => {}
                }
            }
        }
        let outcome = outcome.and(server.await.map_err(|_| StartError::Task));
        if outcome.is_ok() {
            stop_relay.cancel();
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

/// Returns the OpenAPI description of the API as JSON.
///
/// # Errors
///
/// Returns an error if a default of the settings is invalid.
pub fn specification() -> Result<String, StartError> {
    demo::specification()
}

/// Checks the health of the instance whose debug server is at `address`.
///
/// # Errors
///
/// Returns an error if the instance does not answer or reports that it is not healthy.
pub async fn check_health(address: SocketAddr) -> Result<(), Unhealthy> {
    debug::probe(address).await
}

/// Why the service could not start or failed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("{name}: cannot listen on {address}")]
    Listen {
        /// The setting.
        name: &'static str,
        /// Its value.
        address: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A listening socket cannot be duplicated.
    #[error("there are too few file descriptors")]
    Descriptor(#[source] std::io::Error),
    /// The address of a NATS server is invalid.
    #[error("the address of a NATS server is invalid")]
    NatsAddress(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The log cannot be started.
    #[error("the log cannot be started")]
    Log(#[source] std::io::Error),
    /// The log file cannot be opened.
    #[error("log.file: cannot open {path}")]
    LogFile {
        /// The setting's value.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The certificate of the endpoint cannot be used.
    #[error("http.tls: the certificate cannot be used")]
    Certificate(#[source] UnusableCertificate),
    /// A default of the settings is invalid.
    #[error("the demo cannot use the defaults of the settings")]
    Defaults(#[source] ConfigErrors),
    /// A token for the demo cannot be issued.
    #[error("a token for the demo cannot be issued")]
    Token(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The running process does not hand over.
    #[error("handover.socket: this process cannot take over")]
    TakeOver(#[source] TakeOverFailed),
    /// This process shall take over, but it is not known from where.
    #[error("--take-over: handover.socket must be set; use for example /run/ocis-sse/handover.sock")]
    NoHandoverSocket,
    /// This process takes over, but is not ready in time.
    #[error("this process cannot take over, because it was not ready in time: {reason}")]
    NotReady {
        /// Why it is not ready.
        reason: String,
    },
    /// The sockets of the service manager cannot be used.
    #[error("the sockets of the service manager cannot be used")]
    Sockets(#[source] UnusableSocket),
    /// The handlers for signals cannot be installed.
    #[error("signal handlers cannot be installed")]
    Signals(#[source] std::io::Error),
    /// A task that runs for ever has ended.
    #[error("a task of the service has failed; its panic is logged above")]
    Task,
}
