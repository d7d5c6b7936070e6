//! What an administrator can set, where it comes from, and what is wrong with it.
//!
//! Defaults, then the file, then the environment (figment's layers); `settings` is the one list of all there is. A value
//! that cannot be used is never ignored: every mistake is found and named before anything starts.

mod effective;
mod environment;
mod file;
mod mistakes;
mod reader;
mod settings;
mod values;

use std::path::PathBuf;

use validator::{Validate, ValidationError};

use self::reader::Reader;
pub use self::{
    effective::{Defaults, Effective},
    environment::Environment,
    mistakes::{Mistake, Mistakes},
    settings::{SETTINGS, Setting},
    values::{
        Address, Bytes, CollectorKind, GoDuration, GrpcEndpoint, HttpCollector, HttpRoot, LogLevel,
        RegistryKind, Secret, Server,
    },
};

/// The configuration as a whole, checked.
#[derive(Clone, Debug, Validate)]
pub struct Configuration {
    /// What is logged.
    pub log: Log,
    /// Where traces go.
    pub tracing: Tracing,
    /// Where an administrator looks in.
    pub debug: Debug,
    /// Signs of life for silent streams.
    pub keepalive: Keepalive,
    /// The bus.
    pub events: Events,
    /// Where the gateway finds this service.
    pub registry: Registry,
    /// The endpoint.
    pub http: Http,
    /// Which other origins may read.
    pub cors: Cors,
    /// Whether the endpoint is served over TLS.
    #[validate(nested)]
    pub tls: Tls,
    /// Who may come in.
    pub token_manager: TokenManager,
    /// What may wait for slow clients.
    #[validate(nested)]
    pub queue: Queue,
    /// All of it as it was written, for people to read.
    pub effective: Effective,
}

/// A group of settings, each with the key it is read from.
macro_rules! group {
    (
        $(#[$about:meta])*
        struct $group:ident {
            $($(#[$about_field:meta])* $field:ident: $type:ty = $key:literal,)*
        }
    ) => {
        $(#[$about])*
        pub struct $group {
            $($(#[$about_field])* pub $field: $type,)*
        }

        impl $group {
            /// `None` when a value is missing; all are looked at even so, that all mistakes are found at once.
            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                $(let $field = reader.read($key);)*
                Some(Self { $($field: $field?,)* })
            }
        }
    };
}

group! {
    /// What is logged.
    #[derive(Clone, Debug)]
    struct Log {
        /// From this level on.
        level: LogLevel = "log.level",
        /// Whether it is for people.
        pretty: bool = "log.pretty",
        /// Whether that has colors.
        color: bool = "log.color",
        /// The file it is added to; none for standard error.
        file: Option<String> = "log.file",
    }
}

group! {
    /// Where traces go.
    #[derive(Clone, Debug)]
    struct Tracing {
        /// Whether they go anywhere.
        enabled: bool = "tracing.enabled",
        /// What takes them; all of them take the same.
        kind: Option<CollectorKind> = "tracing.type",
        /// Where by gRPC.
        endpoint: Option<GrpcEndpoint> = "tracing.endpoint",
        /// Where by HTTP.
        collector: Option<HttpCollector> = "tracing.collector",
    }
}

group! {
    /// Where an administrator looks in.
    #[derive(Clone, Debug)]
    struct Debug {
        /// The address of the debug server.
        addr: Address = "debug.addr",
        /// What has to be shown to see more than whether it lives.
        token: Option<Secret> = "debug.token",
        /// Whether it profiles the process.
        pprof: bool = "debug.pprof",
        /// Whether it keeps recent spans.
        zpages: bool = "debug.zpages",
    }
}

group! {
    /// Signs of life for silent streams.
    #[derive(Clone, Debug)]
    struct Keepalive {
        /// The silence after which a stream gets a comment; zero for none.
        interval: GoDuration = "keepalive_interval",
    }
}

group! {
    /// The bus.
    #[derive(Clone, Debug)]
    struct Events {
        /// Its servers; any one will do.
        endpoint: Vec<Server> = "events.endpoint",
        /// Whether the line is encrypted.
        enable_tls: bool = "events.enable_tls",
        /// The only authorities that count.
        tls_root_ca_certificate: Option<PathBuf> = "events.tls_root_ca_certificate",
        /// Whether the servers may be anybody.
        tls_insecure: bool = "events.tls_insecure",
        /// Who to be.
        username: Option<String> = "events.username",
        /// With what to show it.
        password: Option<Secret> = "events.password",
    }
}

group! {
    /// Where the gateway finds this service.
    #[derive(Clone, Debug)]
    struct Registry {
        /// Where that is.
        kind: RegistryKind = "registry.kind",
        /// Its servers; none for those of the bus.
        address: Option<Vec<Server>> = "registry.address",
        /// Who to be.
        username: Option<String> = "registry.username",
        /// With what to show it.
        password: Option<Secret> = "registry.password",
        /// What the gateway looks for.
        service_name: String = "registry.service_name",
    }
}

group! {
    /// The endpoint.
    #[derive(Clone, Debug)]
    struct Http {
        /// Its address.
        addr: Address = "http.addr",
        /// Its address for others, when that is another one.
        advertise_addr: Option<Address> = "http.advertise_addr",
        /// The path below which everything lies.
        root: HttpRoot = "http.root",
    }
}

group! {
    /// Which other origins may read.
    #[derive(Clone, Debug)]
    struct Cors {
        /// The origins, or `*`.
        allow_origins: Vec<String> = "http.cors.allow_origins",
        /// The methods told to a preflight.
        allow_methods: Vec<String> = "http.cors.allow_methods",
        /// The headers told to a preflight.
        allow_headers: Vec<String> = "http.cors.allow_headers",
        /// Whether pages may send their user's credentials.
        allow_credentials: bool = "http.cors.allow_credentials",
    }
}

group! {
    /// Whether the endpoint is served over TLS.
    #[derive(Clone, Debug, Validate)]
    #[validate(schema(function = "certificate_and_key"))]
    struct Tls {
        /// Whether it is.
        enabled: bool = "http.tls.enabled",
        /// The certificate's file.
        cert: Option<PathBuf> = "http.tls.cert",
        /// Its key's file.
        key: Option<PathBuf> = "http.tls.key",
    }
}

group! {
    /// Who may come in.
    #[derive(Clone, Debug)]
    struct TokenManager {
        /// What the platform signs its tokens with.
        jwt_secret: Secret = "token_manager.jwt_secret",
    }
}

group! {
    /// What may wait for slow clients.
    #[derive(Clone, Copy, Debug, Validate)]
    #[validate(schema(function = "queues_fit"))]
    struct Queue {
        /// Events in one stream's queue.
        #[validate(range(min = 1, message = "a queue has to hold at least one event"))]
        max_events: usize = "queue.max_events",
        /// Bytes in one stream's queue.
        max_bytes: Bytes = "queue.max_bytes",
        /// Bytes in all queues together.
        total_max_bytes: Bytes = "queue.total_max_bytes",
        /// How long a full queue may make no progress.
        slow_client_grace: GoDuration = "queue.slow_client_grace",
    }
}

fn certificate_and_key(tls: &Tls) -> Result<(), ValidationError> {
    let (missing, message) = match (&tls.cert, &tls.key) {
        (Some(_), None) => ("http.tls.key", "is missing: http.tls.cert is useless without it"),
        (None, Some(_)) => ("http.tls.cert", "is missing: http.tls.key is useless without it"),
        (Some(_), Some(_)) | (None, None) => return Ok(()),
    };
    Err(ValidationError::new(missing).with_message(message.into()))
}

fn queues_fit(queue: &Queue) -> Result<(), ValidationError> {
    if queue.total_max_bytes.0 < queue.max_bytes.0 {
        let message = "all queues together may hold less than a single one (queue.max_bytes)";
        return Err(ValidationError::new("queue.total_max_bytes").with_message(message.into()));
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
        let mut reader = Reader::new(&layers, &mut mistakes);
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

    /// `None` when a value is missing; all are looked at even so, that all mistakes are found at once.
    fn from_reader(reader: &mut Reader<'_>) -> Option<Self> {
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
        let queue = Queue::read(reader);
        Some(Self {
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
            queue: queue?,
            effective: Effective::new(reader),
        })
    }
}

#[cfg(test)]
mod tests;
