//! The service on a bus in memory, with a page to try it out. Nothing has to be installed for it.

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

use super::{Core, Running, StartError, listen};
use crate::use_cases::StreamPolicy;

/// The users of the platform's own demo.
const USERS: [&str; 3] = ["einstein", "marie", "richard"];
/// Long enough for any demonstration.
const TOKEN_LIFE: Duration = Duration::from_hours(24);

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

/// The demonstration, listening, but not yet running.
pub struct Demo {
    running: Running,
    address: SocketAddr,
    token: String,
}

impl Demo {
    /// Puts everything together and listens at `address`. Called within a runtime.
    ///
    /// # Errors
    ///
    /// The address cannot be listened at, or no token could be made.
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
        let running = Running {
            core,
            source: Box::new(source),
            drain_timeout: Duration::ZERO,
            announcement: None,
            listener,
            tls: None,
            app,
        };
        Ok(Self { running, address, token })
    }

    /// Where the page is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to do now, for the terminal.
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

    /// Runs until `stop` is ready, and ends cleanly.
    ///
    /// # Errors
    ///
    /// A part of the service has failed.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        self.running.until(stop).await
    }
}

/// The description of the API needs no bus and no real secret.
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
    let expires = SystemClock.unix_time() + TOKEN_LIFE;
    let user = |name: &&str| {
        let id = UserId::try_new(name).map_err(|error| StartError::Token(error.into()))?;
        let token = issuer.issue(&id, expires.as_secs()).map_err(|error| StartError::Token(error.into()))?;
        Ok(DemoUser { name: (*name).to_owned(), token })
    };
    USERS.iter().map(user).collect()
}

/// Pages of other origins have no business here.
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

/// A secret of this run alone.
fn secret() -> String {
    format!("{}{}", uuid::Uuid::new_v4(), uuid::Uuid::new_v4())
}

fn incarnation() -> Incarnation {
    Incarnation::of(u64::try_from(SystemClock.unix_time().as_millis()).unwrap_or_default())
}
