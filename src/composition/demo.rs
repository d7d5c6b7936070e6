//! The demo: the service with an event bus in memory and a page to try it out. It needs no installation.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use adapters::{
    http_server::ConnectionLimits,
    inbound::{
        demo::{self, DemoUser},
        http::CrossOrigin,
    },
    outbound::{
        clock::SystemClock,
        embedded::{self, EmbeddedPreferences, EmbeddedStore},
        jwt::{RevaTokenIssuer, RevaTokens},
        prometheus::{Server, Transport},
    },
};
use domain::{
    identity::UserId,
    keepalive::KeepalivePolicy,
    language::LanguageTag,
    log::{LogLimits, StreamLimits},
    notification::Incarnation,
};
use ports::outbound::Clock as _;
use tokio::sync::watch;

use super::{Core, Service, StartError, listen};
use crate::use_cases::StreamPolicy;

/// The users of Infinite Scale's own demo.
const USERS: [&str; 3] = ["einstein", "marie", "richard"];
/// The lifetime of the demo's tokens.
const TOKEN_LIFETIME: Duration = Duration::from_hours(24);

/// The defaults of the service, but for a keepalive that is short enough to be seen.
const POLICY: StreamPolicy = StreamPolicy {
    limits: StreamLimits { total: 1000, per_user: 64 },
    log: LogLimits { max_age: Duration::from_mins(5), max_bytes: 256 << 20 },
    resume_window: Duration::from_mins(2),
    unacknowledged: Duration::from_mins(1),
    keepalive: KeepalivePolicy::every(Duration::from_secs(15)),
    max_age: None,
    reconnection_time: Some(Duration::from_secs(3)),
    close_on_logout: true,
    replace_streams: true,
};
const CONNECTION_LIMITS: ConnectionLimits = ConnectionLimits {
    connections: 1100,
    request_timeout: Duration::from_secs(10),
    write_timeout: Duration::from_secs(30),
    send_buffer: 128 << 10,
    user_timeout: Duration::from_mins(1),
};

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
        let secret = secret();
        let users = users(&secret)?;
        let token = users.first().map(|user| user.token.clone()).unwrap_or_default();
        let core = core();
        let (publisher, source) = embedded::bus(incarnation(), core.clock.clone());
        let listener = listen(
            &[address],
            CONNECTION_LIMITS,
            core.metrics.http_server(Server::Public, Transport::Plaintext),
            "--addr",
            address.to_string(),
        )?;
        let failed = |source| StartError::Listen { name: "--addr", address: address.to_string(), source };
        let address = listener.local_addr().map_err(failed)?;
        let verifier = Arc::new(RevaTokens::new(&secret, None, core.clock.clone()));
        let app = core
            .http(verifier, same_origin(), "/")
            .app(|routes| demo::routes(routes, &users, Arc::new(publisher)));
        let service = Service {
            core,
            source: Box::new(source),
            drain_timeout: Duration::ZERO,
            announcement: None,
            listener,
            tls: None,
            app,
        };
        Ok(Self { service, address, token })
    }

    /// Returns the address of the page.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns a text for the terminal that explains how to use the demo.
    #[must_use]
    pub fn introduction(&self) -> String {
        let Self { address, token, .. } = self;
        format!(
            "Publish events and see them arrive:\n  http://{address}/\n\n\
             The API, to read and to try:\n  http://{address}/docs\n\n\
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
        self.service.run_until(stop).await
    }
}

/// Returns the OpenAPI description. It needs no NATS and no real secret.
pub(super) fn specification() -> String {
    let core = core();
    let verifier = Arc::new(RevaTokens::new("", None, core.clock.clone()));
    core.http(verifier, same_origin(), "/").specification()
}

fn core() -> Core {
    let preferences = Arc::new(EmbeddedPreferences::new(EmbeddedStore::default(), Arc::new(SystemClock)));
    Core::new(POLICY, LanguageTag::default(), preferences, None)
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

/// A policy that allows no other origin.
fn same_origin() -> watch::Receiver<CrossOrigin> {
    let (_, policy) = watch::channel(CrossOrigin {
        allow_origins: Vec::new(),
        allow_methods: Vec::new(),
        allow_headers: Vec::new(),
        allow_credentials: false,
        token_cookie: None,
    });
    policy
}

/// Returns a random secret for this run.
fn secret() -> String {
    format!("{}{}", uuid::Uuid::new_v4(), uuid::Uuid::new_v4())
}

fn incarnation() -> Incarnation {
    Incarnation::of(u64::try_from(SystemClock.unix_time().as_millis()).unwrap_or_default())
}
