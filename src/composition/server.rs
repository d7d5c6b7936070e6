//! The service for production.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use adapters::{
    http_server::{
        App, ConnectionLimits, Listener, serve,
        tls::{self, CertificateFiles, Renewal, TlsAcceptor},
    },
    inbound::{
        debug::{DebugServer, DebugToken},
        http::ContinuedStreams,
        signals::Signal,
        socket_activation::PassedSockets,
    },
    outbound::{
        descriptor_limit, host,
        jwt::{JwtTickets, RevaTokens},
        nats::{
            JetStreamSource, KeyValueBookmarks, KeyValuePreferences, KeyValueRegistry, Node,
            connection::{self, Encryption},
        },
        prometheus::{self, HttpServerMetrics, PrometheusMetrics, Transport},
        service_manager,
    },
};
use ports::outbound::BookmarkExchange;
use tokio::{sync::watch, task::JoinSet};
use tracing::{info, warn};

use super::{
    Core, Service, StartError, Telemetry, VERSION,
    capacity::Capacity,
    listen,
    nats::{event_servers, registry_servers},
    reload::{
        ReloadTargets, Reloader, audit, cross_origin, debug_token, policy, ticket_clients,
        warn_of_broad_ticket_clients, warn_of_short_secrets,
    },
    take_over::{TakeOver, TakeOverParts, start_successors},
};
use crate::{
    configuration::{
        Address, Configuration, Effective, Environment, Limits, RegistryKind, Secret, Tls, TokenManager,
    },
    use_cases::{Announcement, Status},
};

/// Time that a stop takes at most, besides ending the streams: withdrawing the registry entry, writing out bookmarks and traces, and deleting
/// the consumer, with leeway.
const STOP_TIME_BESIDE_DRAIN: Duration = Duration::from_secs(15);

/// The service with its debug server, which listens but does not run yet.
pub struct Application {
    service: Service,
    debug: (Listener, App),
    nats: connection::Connection,
    addresses: [SocketAddr; 2],
    reloader: Reloader,
    hangups: Option<(Signal, Environment)>,
    successor_requests: Option<Signal>,
    taking_over: (TakeOverParts, Option<TakeOver>),
}

impl Application {
    /// Creates the service and listens. It must be called within a runtime. NATS does not have to be reachable. The debug server shows the
    /// spans of `telemetry`. `sockets` replace the addresses in the configuration. With `take_over` this process continues the streams of
    /// another one.
    ///
    /// # Errors
    ///
    /// Returns an error if an address is invalid or cannot be listened on, or if the certificate cannot be used.
    pub fn build(
        configuration: &Configuration,
        telemetry: Option<&Telemetry>,
        sockets: PassedSockets,
        mut take_over: Option<TakeOver>,
    ) -> Result<Self, StartError> {
        let sockets = take_over.as_mut().map_or(sockets, |take_over| take_over.sockets(configuration));
        let TokenManager { jwt_secret, jwt_secret_previous } = &configuration.token_manager;
        warn_of_short_secrets(&configuration.token_manager);
        warn_of_broad_ticket_clients(&configuration.http);
        let servers = event_servers(&configuration.events)?;
        if matches!(servers.encryption, Encryption::Unverified) {
            warn!("events.tls_insecure is set, the certificate of the NATS server is not verified");
        }
        let nats = connection::connect(servers);
        let (max_age, window) = (configuration.history.max_age.0, configuration.history.resume_window.0);
        let exchange = (!max_age.is_zero() && !window.is_zero())
            .then(|| Arc::new(KeyValueBookmarks::new(&nats, window)) as Arc<dyn BookmarkExchange>);
        let preferences = Arc::new(KeyValuePreferences::new(&nats));
        let default_language = configuration.languages.default.0.clone();
        // The limit is raised even if the number of streams is configured.
        let descriptors = descriptor_limit::raise();
        let capacity = Capacity::of(descriptors, configuration.limits.max_connections);
        let metrics = telemetry.map_or_else(|| Arc::new(PrometheusMetrics::new(VERSION)), Telemetry::metrics);
        let core =
            Core::new(policy(configuration, capacity), default_language, preferences, exchange, metrics);
        let source = JetStreamSource::new(&nats, core.metrics.clone(), core.clock.clone(), max_age);

        let http = &configuration.http;
        let limits_for = |connections| connection_limits(&configuration.limits, connections);
        let transport = if configuration.tls.enabled { Transport::Tls } else { Transport::Plaintext };
        let counts = core.metrics.http_server(prometheus::Server::Public, transport);
        let limits = limits_for(capacity.connections);
        let (listener, address) = listen_at(&http.addr, sockets.http, limits, counts, "http.addr")?;
        let (debug, limits) = (&configuration.debug.addr, limits_for(capacity.debug_connections));
        let counts = core.metrics.http_server(prometheus::Server::Debug, Transport::Plaintext);
        let (debug_listener, debug_address) = listen_at(debug, sockets.debug, limits, counts, "debug.addr")?;
        let accepting = [listener.accepting(), debug_listener.accepting()];
        // A process that takes over accepts connections when its predecessor does not any more.
        for accepting in &accepting {
            accepting.set(take_over.is_none());
        }
        let descriptor = |listener: &Listener| listener.descriptor().map_err(StartError::Descriptor);
        let sockets = [descriptor(&listener)?, descriptor(&debug_listener)?];
        let (tls, certificate) = tls(&configuration.tls, address)?;
        let announcement = announcement(configuration, address, core.status.clone())?;
        let previous = jwt_secret_previous.as_ref().map(Secret::reveal);
        let tokens = Arc::new(RevaTokens::new(jwt_secret.reveal(), previous, core.clock.clone()));
        let tickets = Arc::new(JwtTickets::new(jwt_secret.reveal(), previous, core.clock.clone()));
        let (ticket_clients, clients) = watch::channel(ticket_clients(http));
        let (cross_origin, allowed) = watch::channel(cross_origin(&configuration.cors));
        let (audit, audited) = watch::channel(audit(configuration));
        let parts = TakeOverParts {
            subscriptions: core.subscriptions.clone(),
            status: core.status.clone(),
            tokens: tokens.clone(),
            continued: ContinuedStreams {
                adopt: Arc::new(core.subscriptions.clone()),
                clock: core.clock.clone(),
                audit: audited.clone(),
            },
            adoption: listener.adoption(),
            accepting,
            sockets,
            path: configuration.handover.socket.as_ref().map(PathBuf::from),
        };
        let app = core.http(tokens.clone(), (tickets.clone(), clients), allowed, audited, http.root.as_str());
        let app = app.app(std::convert::identity);
        let (debug_token, token) = watch::channel(debug_token(configuration.debug.token.as_ref()));
        let (effective, shown) = watch::channel(configuration.effective.clone());
        let debug = debug_server(&core, configuration.debug.pprof, telemetry, shown, token);
        let debug = (debug_listener, debug.app());
        let targets = ReloadTargets {
            log: telemetry.map(Telemetry::log),
            subscriptions: core.subscriptions.clone(),
            tokens,
            tickets,
            ticket_clients,
            cross_origin,
            audit,
            debug_token,
            connections: listener.connection_limit(),
            descriptors,
            certificate,
            effective,
        };
        let reloader = Reloader { configuration: configuration.clone(), targets };
        let service = Service {
            core,
            source: Box::new(source),
            drain_timeout: configuration.streams.drain_timeout.0,
            announcement,
            listener,
            tls,
            app,
        };
        let (addresses, taking_over) = ([address, debug_address], (parts, take_over));
        Ok(Self {
            service,
            debug,
            nats,
            addresses,
            reloader,
            hangups: None,
            successor_requests: None,
            taking_over,
        })
    }

    /// Reloads the configuration from its file and from `environment` on each SIGHUP.
    #[must_use]
    pub fn reload_on(self, hangups: Signal, environment: Environment) -> Self {
        Self { hangups: Some((hangups, environment)), ..self }
    }

    /// Starts a successor on each SIGUSR2.
    #[must_use]
    pub fn hand_over_on(self, requests: Signal) -> Self {
        Self { successor_requests: Some(requests), ..self }
    }

    /// Returns the address of the endpoint for clients.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Returns the address of the debug server.
    #[must_use]
    pub fn debug_address(&self) -> SocketAddr {
        self.addresses[1]
    }

    /// Runs until `stop` is ready, then ends all streams.
    ///
    /// # Errors
    ///
    /// Returns an error if a task of the service has failed.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        info!(address = %self.http_address(), debug = %self.debug_address(), "listening");
        let (parts, take_over) = self.taking_over;
        // A successor becomes the service of the service manager when it has taken over.
        if take_over.is_none() {
            service_manager::notify_ready();
        }
        let mut reloading = JoinSet::new();
        if let Some((hangups, environment)) = self.hangups {
            reloading.spawn(self.reloader.run(hangups, environment));
        }
        if let Some(requests) = self.successor_requests {
            reloading.spawn(start_successors(requests, parts.path.is_some()));
        }
        let stop_time = self.service.drain_timeout + STOP_TIME_BESIDE_DRAIN;
        let stop = async {
            stop.await;
            reloading.abort_all();
            service_manager::notify_stopping(stop_time);
        };
        let (listener, app) = self.debug;
        let debug = tokio::spawn(serve(listener, None, app, std::future::pending()));
        // Boxed, because most services never run it to its end.
        let handed_over = Box::pin(async {
            let handed_over = parts.run(take_over).await?;
            if let Some(process) = handed_over.successor.process {
                service_manager::notify_successor(process);
            }
            Ok(handed_over)
        });
        let outcome = self.service.run_until(stop, handed_over).await;
        // The debug server stops last, so that it reports the state of the shutdown.
        debug.abort();
        self.nats.close();
        outcome
    }
}

/// Returns the debug server, which shows the settings `shown` and the spans of `telemetry`, and requires `token`.
fn debug_server(
    core: &Core,
    profiles: bool,
    telemetry: Option<&Telemetry>,
    shown: watch::Receiver<Effective>,
    token: watch::Receiver<DebugToken>,
) -> DebugServer {
    let metrics = core.metrics.clone();
    DebugServer {
        readiness: core.status.clone(),
        inspect: Arc::new(core.inspection()),
        clock: core.clock.clone(),
        version: VERSION,
        metrics: (PrometheusMetrics::MEDIA_TYPE, Box::new(move || metrics.render())),
        configuration: ("application/yaml", Box::new(move || shown.borrow().to_string())),
        spans: telemetry.and_then(Telemetry::spans).map(|spans| {
            (
                "text/html; charset=utf-8",
                Box::new(move || spans.render()) as Box<dyn Fn() -> String + Send + Sync>,
            )
        }),
        profiles,
        token,
    }
}

/// Listens on `passed`, the socket of the service manager. Without one it listens on `address`, the value of the setting `name`.
fn listen_at(
    address: &Address,
    passed: Option<TcpListener>,
    limits: ConnectionLimits,
    metrics: HttpServerMetrics,
    name: &'static str,
) -> Result<(Listener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { name, address: address.to_string(), source };
    let Some(passed) = passed else {
        let addresses = address.resolve().map_err(failed)?;
        let listener = listen(&addresses, limits, metrics, name, address.to_string())?;
        let bound = listener.local_addr().map_err(failed)?;
        return Ok((listener, bound));
    };
    let listener = Listener::share(passed, limits, Arc::new(metrics)).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    if !address.resolve().is_ok_and(|addresses| addresses.contains(&bound)) {
        let (setting, configured) = (name, address.to_string());
        warn!(setting, configured, address = %bound, "the socket of the service manager replaces the address in the settings");
    }
    Ok((listener, bound))
}

/// Returns the TLS acceptor of the endpoint at `bound`, and the handle that renews its certificate.
fn tls(settings: &Tls, bound: SocketAddr) -> Result<(Option<TlsAcceptor>, Option<Renewal>), StartError> {
    let acceptor = match (settings.enabled, &settings.cert, &settings.key) {
        (false, ..) => return Ok((None, None)),
        (true, Some(certificate), Some(key)) => tls::acceptor(CertificateFiles {
            certificate: certificate.path().to_owned(),
            key: key.path().to_owned(),
        })
        .map(|(acceptor, renewal)| (Some(acceptor), Some(renewal))),
        (true, ..) => {
            warn!("http.tls.cert is not set, using a temporary self-signed certificate");
            tls::temporary(&bound.ip().to_string()).map(|acceptor| (Some(acceptor), None))
        }
    };
    acceptor.map_err(StartError::Certificate)
}

/// Returns the announcement of this instance, which listens on `bound`. None without a registry.
fn announcement(
    configuration: &Configuration,
    bound: SocketAddr,
    status: Arc<Status>,
) -> Result<Option<Announcement>, StartError> {
    let registry = &configuration.registry;
    let Some(servers) = registry_servers(configuration)? else { return Ok(None) };
    if let RegistryKind::Other(kind) = &registry.kind {
        warn!(kind, "registry.kind is unknown, using nats-js-kv");
    }
    let node = Node {
        service: registry.service_name.clone(),
        version: VERSION.into(),
        address: advertised(configuration.http.advertise_addr.as_ref(), bound),
        tls: configuration.tls.enabled,
    };
    let (max_age, interval) = (registry.register_ttl.0, registry.register_interval.0);
    let registry = Arc::new(KeyValueRegistry::new(&connection::connect(servers), &node, max_age));
    Ok(Some(Announcement { registry, interval, status }))
}

/// Returns the address under which other hosts reach this instance.
fn advertised(configured: Option<&Address>, bound: SocketAddr) -> String {
    match configured {
        Some(address) => address.to_string(),
        None if bound.ip().is_unspecified() => {
            SocketAddr::new(host::own_address().unwrap_or(bound.ip()), bound.port()).to_string()
        }
        None => bound.to_string(),
    }
}

pub(super) fn connection_limits(limits: &Limits, connections: usize) -> ConnectionLimits {
    ConnectionLimits {
        connections,
        request_timeout: limits.request_timeout.0,
        write_timeout: limits.write_timeout.0,
        send_buffer: limits.send_buffer.0,
        user_timeout: limits.tcp_user_timeout.0,
    }
}
