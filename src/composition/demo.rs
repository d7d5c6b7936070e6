//! The demo: the service with an event bus in memory and a page to try it out. It needs no installation.
//!
//! It has the defaults of the settings. [`configuration`] has the differences.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use adapters::{
    inbound::{
        demo::{self, DemoUser},
        http::HttpApi,
    },
    outbound::{
        clock::SystemClock,
        descriptor_limit,
        embedded::{self, EmbeddedPreferences, EmbeddedStore},
        jwt::{JwtTickets, RevaTokenIssuer, RevaTokens},
        prometheus::{PrometheusMetrics, Server, Transport},
    },
};
use domain::{identity::UserId, notification::Incarnation};
use ports::outbound::Clock as _;
use tokio::sync::watch;

use super::{
    Core, Service, StartError, VERSION,
    capacity::Capacity,
    listen,
    reload::{audit, cross_origin, policy, ticket_clients},
    server::connection_limits,
};
use crate::configuration::{Configuration, GoDuration};

/// The users of Infinite Scale's own demo.
const USERS: [&str; 3] = ["einstein", "marie", "richard"];
/// The lifetime of the demo's tokens.
const TOKEN_LIFETIME: Duration = Duration::from_hours(24);
/// Interval of keepalives. By default there are none; here they can be seen without a long wait.
const KEEPALIVE_INTERVAL: GoDuration = GoDuration(Duration::from_secs(15));
/// Time in which streams are ended when the demo stops. Nobody else uses it, so that Ctrl+C ends it at once.
const DRAIN_TIMEOUT: GoDuration = GoDuration(Duration::ZERO);

/// The demo, which listens but does not run yet.
pub struct Demo {
    service: Service,
    address: SocketAddr,
    token: String,
}

impl Demo {
    /// Creates the demo and listens on `address`. It must be called within a runtime.
    ///
    /// # Errors
    ///
    /// Returns an error if the address cannot be listened on or a token cannot be issued.
    pub fn build(address: SocketAddr) -> Result<Self, StartError> {
        let configuration = configuration()?;
        let users = users(configuration.token_manager.jwt_secret.reveal())?;
        let token = users.first().map(|user| user.token.clone()).unwrap_or_default();
        let capacity = Capacity::of(descriptor_limit::raise(), configuration.limits.max_connections);
        let core = core(&configuration, capacity);
        let (publisher, source) = embedded::bus(incarnation(), core.clock.clone());
        let listener = listen(
            &[address],
            connection_limits(&configuration.limits, capacity.connections),
            core.metrics.http_server(Server::Public, Transport::Plaintext),
            "--addr",
            address.to_string(),
        )?;
        let failed = |source| StartError::Listen { name: "--addr", address: address.to_string(), source };
        let address = listener.local_addr().map_err(failed)?;
        let app = http(&core, &configuration).app(|routes| demo::routes(routes, &users, Arc::new(publisher)));
        let service = Service {
            core,
            source: Box::new(source),
            drain_timeout: configuration.streams.drain_timeout.0,
            announcement: None,
            listener,
            tls: None,
            app,
        };
        Ok(Self { service, address, token })
    }

    /// Returns a text for the terminal that explains how to use the demo.
    #[must_use]
    pub fn introduction(&self) -> String {
        let Self { address, token, .. } = self;
        format!(
            "Publish events and see them arrive:\n  http://{address}/\n\n\
             Read and try the API:\n  http://{address}/docs\n\n\
             The token of {user}:\n  {token}\n\n\
             Follow {user}'s events here:\n  curl -N -H 'x-access-token: {token}' http://{address}/sse\n",
            user = USERS[0],
        )
    }

    /// Runs until `stop` is ready, then ends all streams.
    ///
    /// # Errors
    ///
    /// Returns an error if a task of the service has failed.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        self.service.run_until(stop, std::future::pending()).await
    }
}

/// Returns the OpenAPI description. It needs no NATS.
pub(super) fn specification() -> Result<String, StartError> {
    let configuration = configuration()?;
    let core = core(&configuration, Capacity::of(None, configuration.limits.max_connections));
    Ok(http(&core, &configuration).specification())
}

/// Returns the defaults of all settings, with a random secret, except for the keepalives and the drain.
fn configuration() -> Result<Configuration, StartError> {
    let secret = format!("{}{}", uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    let mut configuration = Configuration::defaults(&secret).map_err(StartError::Defaults)?;
    configuration.keepalive.interval = KEEPALIVE_INTERVAL;
    configuration.streams.drain_timeout = DRAIN_TIMEOUT;
    Ok(configuration)
}

/// Creates the use cases. There are no other instances to share bookmarks with.
fn core(configuration: &Configuration, capacity: Capacity) -> Core {
    let preferences = Arc::new(EmbeddedPreferences::new(EmbeddedStore::default(), Arc::new(SystemClock)));
    let default_language = configuration.languages.default.0.clone();
    let metrics = Arc::new(PrometheusMetrics::new(VERSION));
    Core::new(policy(configuration, capacity), default_language, preferences, None, metrics)
}

fn http(core: &Core, configuration: &Configuration) -> HttpApi {
    let secret = configuration.token_manager.jwt_secret.reveal();
    let verifier = Arc::new(RevaTokens::new(secret, None, core.clock.clone()));
    let (_, allowed) = watch::channel(cross_origin(&configuration.cors));
    let (_, audit) = watch::channel(audit(configuration));
    let tickets = Arc::new(JwtTickets::new(secret, None, core.clock.clone()));
    let (_, clients) = watch::channel(ticket_clients(&configuration.http));
    core.http(verifier, (tickets, clients), allowed, audit, configuration.http.root.as_str())
}

fn users(secret: &str) -> Result<Vec<DemoUser>, StartError> {
    let issuer = RevaTokenIssuer::new(secret);
    let expires_at = SystemClock.unix_time() + TOKEN_LIFETIME;
    let user = |name: &&str| {
        let id = UserId::try_new(name).map_err(|error| StartError::Token(error.into()))?;
        let token =
            issuer.issue(&id, expires_at.as_secs()).map_err(|error| StartError::Token(error.into()))?;
        Ok(DemoUser { name: (*name).to_owned(), token })
    };
    USERS.iter().map(user).collect()
}

fn incarnation() -> Incarnation {
    Incarnation::of(u64::try_from(SystemClock.unix_time().as_millis()).unwrap_or_default())
}
