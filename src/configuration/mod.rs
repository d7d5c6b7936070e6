//! What an administrator can set, where it comes from, and what is wrong with it.
//!
//! Defaults, then the file, then the environment (figment's layers); `settings` is the one list of all there is. A value
//! that cannot be used is never ignored: every mistake is found and named before anything starts.

mod environment;
mod file;
mod mistakes;
mod reader;
mod settings;
mod values;

use std::path::PathBuf;

use validator::{Validate, ValidationError};

pub use self::{
    environment::Environment,
    mistakes::{Mistake, Mistakes},
    settings::{SETTINGS, Setting},
    values::{Address, Bytes, GoDuration, HttpRoot, LogLevel, Secret, Server},
};

/// The configuration as a whole, checked.
#[derive(Clone, Debug, Validate)]
pub struct Configuration {
    /// What is logged.
    pub log: Log,
    /// Where an administrator looks in.
    pub debug: Debug,
    /// The silence after which a stream gets a comment; zero for none.
    pub keepalive_interval: GoDuration,
    /// The bus.
    pub events: Events,
    /// The endpoint.
    pub http: Http,
    /// Who may come in.
    pub token_manager: TokenManager,
    /// What may wait for slow clients.
    #[validate(nested)]
    pub queue: Queue,
}

/// What is logged.
#[derive(Clone, Debug)]
pub struct Log {
    /// From this level on.
    pub level: LogLevel,
}

/// Where an administrator looks in.
#[derive(Clone, Debug)]
pub struct Debug {
    /// The address of the debug server.
    pub addr: Address,
}

/// The bus.
#[derive(Clone, Debug)]
pub struct Events {
    /// Its servers; any one will do.
    pub endpoint: Vec<Server>,
}

/// The endpoint.
#[derive(Clone, Debug)]
pub struct Http {
    /// Its address.
    pub addr: Address,
    /// The path below which everything lies.
    pub root: HttpRoot,
    /// Which other origins may read.
    pub cors: Cors,
}

/// Which other origins may read.
#[derive(Clone, Debug)]
pub struct Cors {
    /// The origins, or `*`.
    pub allow_origins: Vec<String>,
    /// The methods told to a preflight.
    pub allow_methods: Vec<String>,
    /// The headers told to a preflight.
    pub allow_headers: Vec<String>,
    /// Whether pages may send their user's credentials.
    pub allow_credentials: bool,
}

/// Who may come in.
#[derive(Clone, Debug)]
pub struct TokenManager {
    /// What the platform signs its tokens with.
    pub jwt_secret: Secret,
}

/// What may wait for slow clients.
#[derive(Clone, Copy, Debug, Validate)]
#[validate(schema(function = "queues_fit"))]
pub struct Queue {
    /// Events in one stream's queue.
    #[validate(range(min = 1, message = "a queue has to hold at least one event"))]
    pub max_events: usize,
    /// Bytes in one stream's queue.
    pub max_bytes: Bytes,
    /// Bytes in all queues together.
    pub total_max_bytes: Bytes,
    /// How long a full queue may make no progress.
    pub slow_client_grace: GoDuration,
}

fn queues_fit(queue: &Queue) -> Result<(), ValidationError> {
    if queue.total_max_bytes.0 < queue.max_bytes.0 {
        let message = "all queues together may hold less than a single one (queue.max_bytes)";
        return Err(ValidationError::new("total_max_bytes").with_message(message.into()));
    }
    Ok(())
}

impl Configuration {
    /// Reads the file that was named, or the one that is in its place, and the environment.
    ///
    /// # Errors
    ///
    /// All mistakes that were found.
    pub fn read(file: Option<PathBuf>, environment: &Environment) -> Result<Self, Mistakes> {
        let (layers, mut mistakes) = file::layers(file, environment);
        let layers = environment.add_to(layers);
        let mut reader = reader::Reader::new(&layers, &mut mistakes);
        let configuration = Self::from_reader(&mut reader);
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

    /// `None` when a value is missing; every value is looked at all the same, so that all mistakes are found at once.
    fn from_reader(reader: &mut reader::Reader<'_>) -> Option<Self> {
        let log_level = reader.read("log.level");
        let debug_addr = reader.read("debug.addr");
        let keepalive_interval = reader.read("keepalive_interval");
        let endpoint = reader.read("events.endpoint");
        let http_addr = reader.read("http.addr");
        let root = reader.read("http.root");
        let allow_origins = reader.read("http.cors.allow_origins");
        let allow_methods = reader.read("http.cors.allow_methods");
        let allow_headers = reader.read("http.cors.allow_headers");
        let allow_credentials = reader.read("http.cors.allow_credentials");
        let jwt_secret = reader.read("token_manager.jwt_secret");
        let max_events = reader.read("queue.max_events");
        let max_bytes = reader.read("queue.max_bytes");
        let total_max_bytes = reader.read("queue.total_max_bytes");
        let slow_client_grace = reader.read("queue.slow_client_grace");
        Some(Self {
            log: Log { level: log_level? },
            debug: Debug { addr: debug_addr? },
            keepalive_interval: keepalive_interval?,
            events: Events { endpoint: endpoint? },
            http: Http {
                addr: http_addr?,
                root: root?,
                cors: Cors {
                    allow_origins: allow_origins?,
                    allow_methods: allow_methods?,
                    allow_headers: allow_headers?,
                    allow_credentials: allow_credentials?,
                },
            },
            token_manager: TokenManager { jwt_secret: jwt_secret? },
            queue: Queue {
                max_events: max_events?,
                max_bytes: max_bytes?,
                total_max_bytes: total_max_bytes?,
                slow_client_grace: slow_client_grace?,
            },
        })
    }
}

#[cfg(test)]
mod tests;
