//! What an administrator can set, where it comes from, and what is wrong with it.
//!
//! Defaults, then the file, then the environment (figment's layers); `settings` is the one list of all there is. A value
//! that cannot be used is never ignored: every mistake is found and named before anything starts.

mod bounded_file;
mod effective;
mod environment;
mod expansion;
mod file;
mod groups;
mod layer;
mod mistakes;
mod product;
mod reader;
mod reload;
mod settings;
mod values;
mod yaml;

use std::path::PathBuf;

use validator::Validate;

use self::reader::Reader;
pub use self::{
    effective::{Defaults, Effective},
    environment::Environment,
    groups::{
        Cors, Debug, Events, History, Http, Keepalive, Languages, Limits, Log, Registry, Streams, Tls,
        TokenManager, Tracing,
    },
    mistakes::{Mistake, Mistakes},
    reload::{Change, Reloaded},
    settings::{SETTINGS, Setting},
    values::{
        Address, AgeInNats, Bytes, CertificateFile, CollectorKind, CookieName, Credentials, GoDuration,
        GrpcEndpoint, HeaderName, HttpCollector, HttpRoot, Language, LogLevel, Method, PrivateKeyFile,
        ReconnectionTime, RegistryKind, Secret, SendBuffer, Server, Timeout, UserTimeout,
    },
};

/// The configuration as a whole, checked.
#[derive(Clone, Debug, Validate)]
pub struct Configuration {
    /// The file that it was read from; none where there was none.
    pub file: Option<PathBuf>,
    /// What is logged.
    pub log: Log,
    /// Where traces go.
    #[validate(nested)]
    pub tracing: Tracing,
    /// Where an administrator looks in.
    pub debug: Debug,
    /// Signs of life for silent streams.
    pub keepalive: Keepalive,
    /// The bus.
    #[validate(nested)]
    pub events: Events,
    /// Where the gateway finds this service.
    #[validate(nested)]
    pub registry: Registry,
    /// The endpoint.
    pub http: Http,
    /// Which other origins may read.
    #[validate(nested)]
    pub cors: Cors,
    /// Whether the endpoint is served over TLS.
    #[validate(nested)]
    pub tls: Tls,
    /// Who may come in.
    pub token_manager: TokenManager,
    /// What is held for clients that return or are slow.
    pub history: History,
    /// How long streams live, and how they end.
    pub streams: Streams,
    /// Which languages are read.
    pub languages: Languages,
    /// How much clients may ask for.
    #[validate(nested)]
    pub limits: Limits,
    /// All of it as it was written, for people to read.
    pub effective: Effective,
}

impl Configuration {
    /// Reads the file that was named, or the one that is in its place, and the environment.
    ///
    /// # Errors
    ///
    /// All mistakes that were found.
    pub fn read(file: Option<PathBuf>, environment: &Environment) -> Result<Self, Mistakes> {
        let file = file.or_else(|| file::find(environment));
        let (layers, mut mistakes) = file::layers(file.as_deref(), environment);
        mistakes.0.extend(environment.misspelled());
        let mut reader = Reader::new(layers, environment, &mut mistakes);
        let configuration = Self::from_reader(file, &mut reader);
        match configuration {
            Some(configuration) => {
                if let Err(errors) = configuration.validate() {
                    reader.add_validation_errors(&errors);
                }
                mistakes.none_or(configuration)
            }
            None => Err(mistakes),
        }
    }

    /// `None` when a value is missing; all are looked at even so, that all mistakes are found at once.
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
            languages: languages?,
            limits: limits?,
            effective: Effective::new(reader),
        })
    }
}

#[cfg(test)]
mod tests;
