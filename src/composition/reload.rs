//! Reloading the configuration while the service runs.

use std::{path::PathBuf, sync::Arc, thread, time::Duration};

use adapters::{
    http_server::{
        ConnectionLimit,
        tls::{Renewal, Renewed},
    },
    inbound::{
        debug::DebugToken,
        http::{AuditPolicy, CrossOrigin},
        signals::Signal,
    },
    outbound::{
        jwt::{JwtTickets, RevaTokens},
        log::LogHandle,
        service_manager,
    },
};
use domain::{
    keepalive::KeepalivePolicy,
    log::{LogLimits, StreamLimits},
};
use ipnet::IpNet;
use tokio::sync::{oneshot, watch};
use tracing::{error, info, warn};

use super::capacity::Capacity;
use crate::{
    configuration::{
        ConfigError, Configuration, Cors, Effective, Environment, Http, Network, Reloaded, Secret, Tls,
        TokenManager,
    },
    use_cases::{StreamPolicy, Subscriptions},
};

/// Timeout for reading the files of the configuration.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Minimum length of a secret, in bytes. A shorter one can be guessed (RFC 7518, 3.2).
const MIN_SECRET_BYTES: usize = 32;
/// The length of the prefix of the largest private network, `10.0.0.0/8`.
const MIN_PREFIX_V4: u8 = 8;
/// The same for IPv6: `fc00::/7`.
const MIN_PREFIX_V6: u8 = 7;

/// The parts of the running service that take new values on a reload.
pub(super) struct ReloadTargets {
    /// None if the caller has set up the log, as tests do.
    pub(super) log: Option<Arc<LogHandle>>,
    pub(super) subscriptions: Subscriptions,
    pub(super) tokens: Arc<RevaTokens>,
    pub(super) tickets: Arc<JwtTickets>,
    pub(super) ticket_clients: watch::Sender<Vec<IpNet>>,
    pub(super) cross_origin: watch::Sender<CrossOrigin>,
    pub(super) audit: watch::Sender<AuditPolicy>,
    pub(super) debug_token: watch::Sender<DebugToken>,
    pub(super) connections: ConnectionLimit,
    /// The limit of file descriptors, which connections and streams share.
    pub(super) descriptors: Option<u64>,
    /// None without TLS, or with a temporary certificate.
    pub(super) certificate: Option<Renewal>,
    /// The settings that the debug server shows.
    pub(super) effective: watch::Sender<Effective>,
}

impl ReloadTargets {
    /// Sets the values of every part except the log level.
    fn set(&self, configuration: &Configuration) {
        let capacity = Capacity::of(self.descriptors, configuration.limits.max_connections);
        self.connections.raise(capacity.connections);
        self.subscriptions.set_policy(policy(configuration, capacity));
        let TokenManager { jwt_secret, jwt_secret_previous } = &configuration.token_manager;
        let (secret, previous) = (jwt_secret.reveal(), jwt_secret_previous.as_ref().map(Secret::reveal));
        self.tokens.set_secrets(secret, previous);
        self.tickets.set_secrets(secret, previous);
        self.ticket_clients.send_replace(ticket_clients(&configuration.http));
        self.cross_origin.send_replace(cross_origin(&configuration.cors));
        self.audit.send_replace(audit(configuration));
        self.debug_token.send_replace(debug_token(configuration.debug.token.as_ref()));
        self.effective.send_replace(configuration.effective.clone());
    }

    fn set_log_level(&self, level: tracing::Level) {
        if let Some(log) = &self.log {
            log.set_level(level);
        }
    }
}

/// Reloads the configuration and applies the settings that can change while the service runs.
pub(super) struct Reloader {
    /// The configuration in effect.
    pub(super) configuration: Configuration,
    pub(super) targets: ReloadTargets,
}

impl Reloader {
    /// Reloads the configuration on each SIGHUP.
    pub(super) async fn run(mut self, mut hangups: Signal, environment: Environment) {
        while hangups.recv().await.is_some() {
            service_manager::notify_reloading();
            self.reload(&environment).await;
            service_manager::notify_ready();
        }
    }

    /// Reloads the configuration. If it has an error, nothing changes.
    async fn reload(&mut self, environment: &Environment) {
        let (new, certificate) = match self.read(environment).await {
            Ok(read) => read,
            Err(errors) => {
                for error in &errors {
                    error!(%error, "configuration error");
                }
                error!(errors = errors.len(), "configuration not reloaded, nothing changed");
                return;
            }
        };
        let before = self.configuration.log.level.0;
        let had_debug_token = self.configuration.debug.token.is_some();
        let Reloaded { configuration, changed, pending } = self.configuration.reloaded(new);
        self.configuration = configuration;
        self.targets.set(&self.configuration);
        let mut changed: Vec<_> = changed.iter().map(ToString::to_string).collect();
        if let (Some(renewal), Some(certificate)) = (&self.targets.certificate, certificate) {
            renewal.set(certificate);
            changed.push("http.tls.cert: another certificate in the same file".into());
        }
        let changed = if changed.is_empty() { "nothing".into() } else { changed.join("; ") };
        let after = self.configuration.log.level.0;
        // The next messages are logged at the more verbose of both levels, so that a change to a quieter level is confirmed as well.
        self.targets.set_log_level(before.max(after));
        if !pending.is_empty() {
            let settings: Vec<_> = pending.iter().map(ToString::to_string).collect();
            warn!(settings = settings.join("; "), "changed settings that take effect after a restart");
        }
        warn_of_short_secrets(&self.configuration.token_manager);
        warn_of_broad_ticket_clients(&self.configuration.http);
        if had_debug_token && self.configuration.debug.token.is_none() {
            warn!(setting = "debug.token", "the debug server is open to all clients that reach it");
        }
        info!(changed, "configuration reloaded");
        self.targets.set_log_level(after);
    }

    /// Reads and validates the configuration.
    ///
    /// # Errors
    ///
    /// Returns all errors that were found.
    async fn read(&self, environment: &Environment) -> Result<Read, Vec<ConfigError>> {
        let (file, environment) = (self.configuration.file.clone(), environment.clone());
        let certificate = self.targets.certificate.clone();
        let tls = self.configuration.tls.clone();
        let (sender, read) = oneshot::channel();
        // Not a thread of the runtime: a file system that does not answer would keep the process from ending.
        let started = thread::Builder::new().name("reload".into()).spawn(move || {
            sender.send(read_files(file, &environment, &tls, certificate.as_ref())).ok();
        });
        let problem = match (started, tokio::time::timeout(READ_TIMEOUT, read).await) {
            (Ok(_), Ok(Ok(read))) => return read,
            (Ok(_), _) => format!("was not read within {} s", READ_TIMEOUT.as_secs()),
            (Err(error), _) => format!("could not be read: {error}"),
        };
        Err(vec![error("the configuration", problem)])
    }
}

/// Reads the configuration, and the certificate in use, whose files `tls` names. It blocks.
fn read_files(
    file: Option<PathBuf>,
    environment: &Environment,
    tls: &Tls,
    certificate: Option<&Renewal>,
) -> Result<Read, Vec<ConfigError>> {
    let configuration = Configuration::read(file, environment).map_err(|errors| errors.0)?;
    match certificate.map_or(Ok(None), Renewal::read) {
        Ok(certificate) => Ok((configuration, certificate)),
        // Other files take effect after a restart. Those in use may be gone, and the certificate stays as it is.
        Err(_) if configuration.tls != *tls => Ok((configuration, None)),
        Err(cause) => Err(vec![error("http.tls", cause.with_cause())]),
    }
}

/// A configuration, and the new certificate if the certificate in use was renewed.
type Read = (Configuration, Option<Renewed>);

fn error(location: &str, problem: String) -> ConfigError {
    ConfigError { location: location.into(), value: None, problem, suggestion: None }
}

/// Logs a warning for each secret that is short enough to be guessed. It is still used, because all services of the platform share it.
pub(super) fn warn_of_short_secrets(secrets: &TokenManager) {
    let TokenManager { jwt_secret, jwt_secret_previous } = secrets;
    for (setting, secret) in [
        ("token_manager.jwt_secret", Some(jwt_secret)),
        ("token_manager.jwt_secret_previous", jwt_secret_previous.as_ref()),
    ] {
        let bytes = secret.map_or(usize::MAX, |secret| secret.reveal().len());
        if bytes < MIN_SECRET_BYTES {
            warn!(setting, bytes, min_bytes = MIN_SECRET_BYTES, "secret is too short to be safe");
        }
    }
}

/// Logs a warning for each network of `http.ticket_clients` that is larger than any private network. A client that connects from it without
/// an edge may have a ticket that was not issued for its request.
pub(super) fn warn_of_broad_ticket_clients(http: &Http) {
    for Network(network) in &http.ticket_clients {
        let shortest = match network {
            IpNet::V4(_) => MIN_PREFIX_V4,
            IpNet::V6(_) => MIN_PREFIX_V6,
        };
        if network.prefix_len() < shortest {
            warn!(setting = "http.ticket_clients", %network, "tickets are accepted from a very large network");
        }
    }
}

/// Returns the networks of the edges whose tickets are accepted.
pub(super) fn ticket_clients(http: &Http) -> Vec<IpNet> {
    http.ticket_clients.iter().map(|network| network.0).collect()
}

/// Returns the policy for streams.
pub(super) fn policy(configuration: &Configuration, capacity: Capacity) -> StreamPolicy {
    let Configuration { history, streams, limits, keepalive, .. } = configuration;
    let unless_zero = |time: Duration| (!time.is_zero()).then_some(time);
    StreamPolicy {
        limits: StreamLimits { total: capacity.streams, per_user: limits.max_connections_per_user.0 },
        log: LogLimits { max_age: history.max_age.0, max_bytes: history.max_bytes.0 },
        // Without a history a stream cannot resume at a position.
        resume_window: if history.max_age.0.is_zero() { Duration::ZERO } else { history.resume_window.0 },
        // Data that the kernel does not accept is dropped after the write timeout, sent data without acknowledgement after the user timeout.
        unacknowledged: limits.write_timeout.0 + limits.tcp_user_timeout.0,
        keepalive: KeepalivePolicy::every(keepalive.interval.0),
        max_age: unless_zero(streams.max_age.0),
        reconnection_time: unless_zero(streams.reconnection_time.0),
        drain_rate: streams.drain_rate.map(|rate| rate.0),
        close_on_logout: streams.close_on_logout,
        replace_streams: streams.replace,
    }
}

/// Returns the policy of the audit log.
pub(super) fn audit(configuration: &Configuration) -> AuditPolicy {
    AuditPolicy {
        enabled: configuration.log.audit,
        trusted_proxies: configuration.http.trusted_proxies.iter().map(|network| network.0).collect(),
    }
}

/// Returns the policy for other origins.
pub(super) fn cross_origin(cors: &Cors) -> CrossOrigin {
    CrossOrigin {
        allow_origins: cors.allow_origins.clone(),
        allow_methods: cors.allow_methods.iter().map(|method| method.as_str().to_owned()).collect(),
        allow_headers: cors.allow_headers.iter().map(|name| name.as_str().to_owned()).collect(),
        allow_credentials: cors.allow_credentials,
        token_cookie: cors.token_cookie.as_ref().map(|name| name.as_str().to_owned()),
    }
}

/// Returns the token of the debug server.
pub(super) fn debug_token(token: Option<&Secret>) -> DebugToken {
    token.map(|token| token.reveal().into())
}
