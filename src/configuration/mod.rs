//! The configuration: its settings, their sources and their validation.
//!
//! Values come from the defaults, the file and the environment, in ascending precedence (figment's layers). `settings` is the list of all
//! settings. An invalid value is never ignored: all errors are reported before the service starts.

mod bounded_file;
mod effective;
mod environment;
mod errors;
mod expansion;
mod file;
mod groups;
mod layer;
mod product;
mod reader;
mod reload;
mod schema;
mod settings;
mod values;
mod yaml;

use std::path::PathBuf;

use self::reader::Reader;
pub use self::{
    effective::{Defaults, Effective},
    environment::Environment,
    errors::{ConfigError, ConfigErrors, Suggestion},
    groups::{
        Cors, Debug, Events, Handover, History, Http, Keepalive, Languages, Limits, Log, Registry, Streams,
        Tls, TokenManager, Tracing,
    },
    product::SERVICE_NAMES,
    reload::{Change, Reloaded},
    schema::Schema,
    settings::{SETTINGS, Setting},
    values::{
        Address, AgeInNats, Bytes, CertificateFile, CollectorKind, CookieName, Count, Credentials,
        GoDuration, GrpcEndpoint, HeaderName, HttpCollector, HttpRoot, Language, LogLevel, Method, Network,
        PrivateKeyFile, Rate, ReconnectionTime, RegistryKind, Secret, SendBuffer, Server, Timeout,
        UserTimeout,
    },
};

/// The validated configuration.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The file that was read. None if there is no file.
    pub file: Option<PathBuf>,
    /// The log.
    pub log: Log,
    /// The export of traces.
    pub tracing: Tracing,
    /// The debug server.
    pub debug: Debug,
    /// Keepalive comments on silent streams.
    pub keepalive: Keepalive,
    /// The connection to NATS.
    pub events: Events,
    /// The service registry, where the platform's proxy finds this service.
    pub registry: Registry,
    /// The endpoint for clients.
    pub http: Http,
    /// Cross-origin access (CORS).
    pub cors: Cors,
    /// TLS of the endpoint for clients.
    pub tls: Tls,
    /// The verification of tokens.
    pub token_manager: TokenManager,
    /// The history for returning and slow clients.
    pub history: History,
    /// The lifetime of streams.
    pub streams: Streams,
    /// The hand-over of open streams to another process on this host.
    pub handover: Handover,
    /// The languages of translated events.
    pub languages: Languages,
    /// The limits for clients.
    pub limits: Limits,
    /// All settings with their values and sources, in a human-readable form.
    pub effective: Effective,
}

impl Configuration {
    /// Reads the configuration from `file` and `environment`. Without `file`, the file is looked for in the default directories.
    ///
    /// # Errors
    ///
    /// Returns all errors that were found.
    pub fn read(file: Option<PathBuf>, environment: &Environment) -> Result<Self, ConfigErrors> {
        Self::resolve(file.or_else(|| file::find(environment)), environment)
    }

    /// Returns the default of each setting, with `jwt_secret` for the only one that has none. No file and no variable has any effect.
    ///
    /// # Errors
    ///
    /// Returns an error if the secret is empty.
    pub fn defaults(jwt_secret: &str) -> Result<Self, ConfigErrors> {
        Self::resolve(None, &[("SSE_JWT_SECRET", jwt_secret)].into())
    }

    /// Reads the configuration from `file`, if there is one, and `environment`.
    fn resolve(file: Option<PathBuf>, environment: &Environment) -> Result<Self, ConfigErrors> {
        let (layers, mut errors) = file::layers(file.as_deref(), environment);
        errors.0.extend(environment.misspelled());
        let mut reader = Reader::new(layers, environment, &mut errors);
        match Self::from_reader(file, &mut reader) {
            Some(configuration) => errors.none_or(configuration),
            None => Err(errors),
        }
    }

    /// Reads all groups. Returns `None` if a value is missing or invalid, after reading all groups, so that all errors are reported.
    fn from_reader(file: Option<PathBuf>, reader: &mut Reader<'_>) -> Option<Self> {
        let log = Log::read(reader);
        let tracing = Tracing::read(reader);
        let debug = Debug::read(reader);
        let keepalive = Keepalive::read(reader);
        let events = Events::read(reader);
        let registry = Registry::read(reader);
        let http = Http::read(reader);
        let cors = Cors::read(reader);
        let tls = Tls::read(reader);
        let token_manager = TokenManager::read(reader);
        let history = History::read(reader);
        let streams = Streams::read(reader);
        let handover = Handover::read(reader);
        let languages = Languages::read(reader);
        let limits = Limits::read(reader);
        Some(Self {
            file,
            log: log?,
            tracing: tracing?,
            debug: debug?,
            keepalive: keepalive?,
            events: events?,
            registry: registry?,
            http: http?,
            cors: cors?,
            tls: tls?,
            token_manager: token_manager?,
            history: history?,
            streams: streams?,
            handover: handover?,
            languages: languages?,
            limits: limits?,
            effective: Effective::new(reader),
        })
    }
}

#[cfg(test)]
mod tests;
