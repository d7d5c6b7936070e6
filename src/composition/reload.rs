//! Settings that change while the service runs.

use std::{path::PathBuf, sync::Arc, thread, time::Duration};

use adapters::{
    http_server::{
        ConnectionLimit,
        tls::{Renewal, Renewed},
    },
    inbound::{debug::DebugToken, http::CrossOrigin},
    outbound::jwt::RevaTokens,
};
use domain::{
    keepalive::KeepalivePolicy,
    log::{LogLimits, StreamLimits},
};
use tokio::sync::{oneshot, watch};
use tracing::{error, info, warn};

use super::capacity::Capacity;
use crate::{
    configuration::{Configuration, Cors, Effective, Environment, Mistake, Reloaded, Secret, TokenManager},
    lifecycle::{NotifyState, Signal, tell_service_manager, tell_service_manager_of_reload},
    telemetry::LogLevelHandle,
    use_cases::{StreamPolicy, Subscriptions},
};

/// How long the files of a configuration may take to be read.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// A shorter secret can be guessed (RFC 7518, 3.2).
const SHORTEST_SECRET_BYTES: usize = 32;

/// The parts of the running service that take new values.
pub(super) struct LiveParts {
    /// None where the log is the caller's own, as in tests.
    pub(super) log_level: Option<Arc<LogLevelHandle>>,
    pub(super) subscriptions: Subscriptions,
    pub(super) tokens: Arc<RevaTokens>,
    pub(super) cross_origin: watch::Sender<CrossOrigin>,
    pub(super) debug_token: watch::Sender<DebugToken>,
    pub(super) connections: ConnectionLimit,
    /// The limit of file descriptors, which connections and streams share.
    pub(super) descriptors: Option<u64>,
    /// None without TLS, or with a temporary certificate.
    pub(super) certificate: Option<Renewal>,
    /// What the debug server shows.
    pub(super) effective: watch::Sender<Effective>,
}

impl LiveParts {
    /// Gives every part its values, changed or not, but for the level of the log.
    fn set(&self, configuration: &Configuration) {
        let capacity = Capacity::of(self.descriptors, configuration.limits.max_connections);
        self.connections.raise(capacity.connections);
        self.subscriptions.set_policy(policy(configuration, capacity));
        let TokenManager { jwt_secret, jwt_secret_previous } = &configuration.token_manager;
        self.tokens.set_secrets(jwt_secret.reveal(), jwt_secret_previous.as_ref().map(Secret::reveal));
        self.cross_origin.send_replace(cross_origin(&configuration.cors));
        self.debug_token.send_replace(debug_token(configuration.debug.token.as_ref()));
        self.effective.send_replace(configuration.effective.clone());
    }

    fn set_log_level(&self, level: tracing::Level) {
        if let Some(log_level) = &self.log_level {
            log_level.set(level);
        }
    }
}

/// Reads the configuration again, and has the service take what can change while it runs.
pub(super) struct Reload {
    /// The configuration that is in effect.
    pub(super) configuration: Configuration,
    pub(super) parts: LiveParts,
}

impl Reload {
    /// Reads the configuration again on each of `hangups`, one at a time.
    pub(super) async fn on_each(mut self, mut hangups: Signal, environment: Environment) {
        while hangups.recv().await.is_some() {
            tell_service_manager_of_reload();
            self.reload(&environment).await;
            tell_service_manager(NotifyState::Ready);
        }
    }

    /// Changes everything that can change, or nothing at all.
    async fn reload(&mut self, environment: &Environment) {
        let (new, certificate) = match self.read(environment).await {
            Ok(read) => read,
            Err(mistakes) => {
                for mistake in &mistakes {
                    error!(%mistake, "the configuration has a mistake");
                }
                error!(mistakes = mistakes.len(), "configuration not reloaded, nothing has changed");
                return;
            }
        };
        let before = self.configuration.log.level.0;
        let Reloaded { configuration, changed, pending } = self.configuration.reloaded(new);
        self.configuration = configuration;
        self.parts.set(&self.configuration);
        let mut changed: Vec<_> = changed.iter().map(ToString::to_string).collect();
        if let (Some(renewal), Some(certificate)) = (&self.parts.certificate, certificate) {
            renewal.set(certificate);
            changed.push("http.tls.cert: another certificate in the same file".into());
        }
        let changed = if changed.is_empty() { "nothing".into() } else { changed.join("; ") };
        let after = self.configuration.log.level.0;
        // What follows is written at the more verbose of both levels: it confirms also that the log becomes quieter.
        self.parts.set_log_level(before.max(after));
        if !pending.is_empty() {
            let settings: Vec<_> = pending.iter().map(ToString::to_string).collect();
            warn!(settings = settings.join("; "), "changed settings that take effect after a restart");
        }
        warn_of_short_secrets(&self.configuration.token_manager);
        info!(changed, "configuration reloaded");
        self.parts.set_log_level(after);
    }

    /// Reads the files again, and checks them as at the start.
    ///
    /// # Errors
    ///
    /// All mistakes.
    async fn read(&self, environment: &Environment) -> Result<Read, Vec<Mistake>> {
        let (file, environment) = (self.configuration.file.clone(), environment.clone());
        let certificate = self.parts.certificate.clone();
        let (sender, read) = oneshot::channel();
        // Not a thread of the runtime: the process would not end while a file on a network does not answer.
        let started = thread::Builder::new().name("reload".into()).spawn(move || {
            sender.send(read_files(file, &environment, certificate.as_ref())).ok();
        });
        let wrong = match (started, tokio::time::timeout(READ_TIMEOUT, read).await) {
            (Ok(_), Ok(Ok(read))) => return read,
            (Ok(_), _) => format!("was not read within {} s", READ_TIMEOUT.as_secs()),
            (Err(error), _) => format!("could not be read: {error}"),
        };
        Err(vec![mistake("the configuration", wrong)])
    }
}

/// Reads the configuration, and the certificate in use. It blocks.
fn read_files(
    file: Option<PathBuf>,
    environment: &Environment,
    certificate: Option<&Renewal>,
) -> Result<Read, Vec<Mistake>> {
    let configuration = Configuration::read(file, environment).map_err(|mistakes| mistakes.0);
    let certificate = certificate.map_or(Ok(None), Renewal::read);
    match (configuration, certificate) {
        (Ok(configuration), Ok(certificate)) => Ok((configuration, certificate)),
        (configuration, certificate) => {
            let unusable = certificate.err().map(|error| mistake("http.tls", error.with_cause()));
            Err(configuration.err().into_iter().flatten().chain(unusable).collect())
        }
    }
}

/// A configuration, with a certificate where there is another one.
type Read = (Configuration, Option<Renewed>);

fn mistake(place: &str, wrong: String) -> Mistake {
    Mistake { place: place.into(), value: None, wrong, example: None }
}

/// Warns of secrets that can be guessed. They are used even so: all services of the platform share them.
pub(super) fn warn_of_short_secrets(secrets: &TokenManager) {
    let TokenManager { jwt_secret, jwt_secret_previous } = secrets;
    for (setting, secret) in [
        ("token_manager.jwt_secret", Some(jwt_secret)),
        ("token_manager.jwt_secret_previous", jwt_secret_previous.as_ref()),
    ] {
        let bytes = secret.map_or(usize::MAX, |secret| secret.reveal().len());
        if bytes < SHORTEST_SECRET_BYTES {
            warn!(setting, bytes, least = SHORTEST_SECRET_BYTES, "a secret is too short to be safe");
        }
    }
}

/// How streams are treated.
pub(super) fn policy(configuration: &Configuration, capacity: Capacity) -> StreamPolicy {
    let Configuration { history, streams, limits, keepalive, .. } = configuration;
    let unless_zero = |time: Duration| (!time.is_zero()).then_some(time);
    StreamPolicy {
        limits: StreamLimits { total: capacity.streams, per_user: limits.max_connections_per_user },
        log: LogLimits { max_age: history.max_age.0, max_bytes: history.max_bytes.0 },
        // Without a history nobody could go on where they stood.
        resume_window: if history.max_age.0.is_zero() { Duration::ZERO } else { history.resume_window.0 },
        // What the kernel did not take at once waits for one, what it has taken for the other.
        unacknowledged: limits.write_timeout.0 + limits.tcp_user_timeout.0,
        keepalive: KeepalivePolicy::every(keepalive.interval.0),
        max_age: unless_zero(streams.max_age.0),
        reconnection_time: unless_zero(streams.reconnection_time.0),
        close_on_logout: streams.close_on_logout,
        replace_streams: streams.replace,
    }
}

/// Which other origins may read.
pub(super) fn cross_origin(cors: &Cors) -> CrossOrigin {
    CrossOrigin {
        allow_origins: cors.allow_origins.clone(),
        allow_methods: cors.allow_methods.iter().map(|method| method.as_str().to_owned()).collect(),
        allow_headers: cors.allow_headers.iter().map(|name| name.as_str().to_owned()).collect(),
        allow_credentials: cors.allow_credentials,
        token_cookie: cors.token_cookie.as_ref().map(|name| name.as_str().to_owned()),
    }
}

/// What has to be shown to the debug server.
pub(super) fn debug_token(token: Option<&Secret>) -> DebugToken {
    token.map(|token| token.reveal().into())
}
