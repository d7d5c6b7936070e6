//! The settings as the program uses them, group by group, and what has to fit together in each.

use domain::origin::AllowedOrigin;
use validator::{Validate, ValidationError};

use super::{
    SETTINGS, Setting,
    reader::Reader,
    values::{
        Address, AgeInNats, Bytes, CertificateFile, CollectorKind, CookieName, GoDuration, GrpcEndpoint,
        HeaderName, HttpCollector, HttpRoot, Language, LogLevel, Method, PrivateKeyFile, ReconnectionTime,
        RegistryKind, Secret, SendBuffer, Server, Timeout, UserTimeout,
    },
};

/// A group of settings, each with the key it is read from, and with that of a setting which turns its feature on, if there is one.
macro_rules! group {
    (
        $(#[$about:meta])*
        struct $group:ident {
            $($(#[$about_field:meta])* $field:ident: $type:ty = $key:literal $(if $switch:literal)?,)*
        }
    ) => {
        $(#[$about])*
        pub struct $group {
            $($(#[$about_field])* pub $field: $type,)*
        }

        impl $group {
            /// `None` when a value is missing; all are looked at even so, that all mistakes are found at once.
            pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
                $(let $field = reader.read($key, &[$($switch)?]);)*
                Some(Self { $($field: $field?,)* })
            }

            /// Takes the values of `new`, as far as they can change without a restart. Each setting whose value differs is added to `changed`.
            pub(super) fn reload(&mut self, new: Self, changed: &mut Vec<&'static Setting>) {
                $(if self.$field != new.$field
                    && let Some(setting) = SETTINGS.iter().find(|setting| setting.key == $key)
                {
                    changed.push(setting);
                    if setting.reloadable {
                        self.$field = new.$field;
                    }
                })*
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
    #[derive(Clone, Debug, Validate)]
    #[validate(schema(function = "address_of_the_kind"))]
    struct Tracing {
        /// Whether they go anywhere.
        enabled: bool = "tracing.enabled",
        /// What takes them.
        kind: Option<CollectorKind> = "tracing.type" if "tracing.enabled",
        /// Where by gRPC.
        endpoint: Option<GrpcEndpoint> = "tracing.endpoint" if "tracing.enabled",
        /// Where by HTTP.
        collector: Option<HttpCollector> = "tracing.collector" if "tracing.enabled",
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
    #[derive(Clone, Debug, Validate)]
    #[validate(schema(function = "password_of_a_user_for_the_bus"))]
    struct Events {
        /// Its servers; any one will do.
        endpoint: Vec<Server> = "events.endpoint",
        /// Whether the line is encrypted.
        enable_tls: bool = "events.enable_tls",
        /// The only authorities that count.
        tls_root_ca_certificate: Option<CertificateFile> = "events.tls_root_ca_certificate" if "events.enable_tls",
        /// Whether the servers may be anybody.
        tls_insecure: bool = "events.tls_insecure" if "events.enable_tls",
        /// Who to be.
        username: Option<String> = "events.username",
        /// With what to show it.
        password: Option<Secret> = "events.password",
        /// The name of its cluster, which is not needed.
        cluster: Option<String> = "events.cluster",
    }
}

group! {
    /// Where the gateway finds this service.
    #[derive(Clone, Debug, Validate)]
    #[validate(schema(function = "password_of_a_user_for_the_registry"))]
    struct Registry {
        /// Where that is.
        kind: RegistryKind = "registry.kind",
        /// Its servers; none for those of the bus.
        address: Option<Vec<Server>> = "registry.address" if "registry.kind",
        /// Who to be.
        username: Option<String> = "registry.username" if "registry.kind",
        /// With what to show it.
        password: Option<Secret> = "registry.password" if "registry.kind",
        /// What the gateway looks for.
        service_name: String = "registry.service_name" if "registry.kind",
        /// For how long the entry holds.
        register_ttl: AgeInNats = "registry.register_ttl" if "registry.kind",
        /// How often it is put again.
        register_interval: Timeout = "registry.register_interval" if "registry.kind",
    }
}

group! {
    /// The endpoint.
    #[derive(Clone, Debug)]
    struct Http {
        /// Its address.
        addr: Address = "http.addr",
        /// Its address for others, when that is another one.
        advertise_addr: Option<Address> = "http.advertise_addr" if "registry.kind",
        /// The path below which everything lies.
        root: HttpRoot = "http.root",
    }
}

group! {
    /// Which other origins may read.
    #[derive(Clone, Debug, Validate)]
    #[validate(schema(function = "cookies_only_for_who_is_named"))]
    struct Cors {
        /// The origins.
        allow_origins: Vec<AllowedOrigin> = "http.cors.allow_origins",
        /// The methods told to a preflight.
        allow_methods: Vec<Method> = "http.cors.allow_methods",
        /// The headers told to a preflight.
        allow_headers: Vec<HeaderName> = "http.cors.allow_headers",
        /// Whether pages may send their user's credentials.
        allow_credentials: bool = "http.cors.allow_credentials",
        /// What may carry the token where no header does.
        token_cookie: Option<CookieName> = "http.cors.token_cookie",
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
        cert: Option<CertificateFile> = "http.tls.cert" if "http.tls.enabled",
        /// Its key's file.
        key: Option<PrivateKeyFile> = "http.tls.key" if "http.tls.enabled",
    }
}

group! {
    /// Who may come in.
    #[derive(Clone, Debug)]
    struct TokenManager {
        /// What the platform signs its tokens with.
        jwt_secret: Secret = "token_manager.jwt_secret",
        /// What it signed them with before.
        jwt_secret_previous: Option<Secret> = "token_manager.jwt_secret_previous",
    }
}

group! {
    /// What is held for clients that return or are slow.
    #[derive(Clone, Copy, Debug)]
    struct History {
        /// Maximum age of events in the log; zero keeps only what open streams have still to take.
        max_age: GoDuration = "history.max_age",
        /// Maximum memory of the log.
        max_bytes: Bytes = "history.max_bytes",
        /// For how long it is remembered where a stream stood.
        resume_window: AgeInNats = "history.resume_window",
    }
}

group! {
    /// How long streams live, and how they end.
    #[derive(Clone, Copy, Debug)]
    struct Streams {
        /// How long clients are asked to wait before they come back; zero for not at all.
        reconnection_time: ReconnectionTime = "streams.reconnection_time",
        /// The age at which a stream is ended; zero for never.
        max_age: GoDuration = "streams.max_age",
        /// Whether a user's streams end with the user's logout.
        close_on_logout: bool = "streams.close_on_logout",
        /// Whether a newer stream of the same client ends the older one.
        replace: bool = "streams.replace",
        /// Over which time open streams are ended when the service stops.
        drain_timeout: GoDuration = "streams.drain_timeout",
    }
}

group! {
    /// Which languages are read.
    #[derive(Clone, Debug)]
    struct Languages {
        /// By those who have not said which.
        default: Language = "default_language",
    }
}

group! {
    /// How much clients may ask for.
    #[derive(Clone, Copy, Debug, Validate)]
    struct Limits {
        /// Streams that may be open; none for as many as there are file descriptors for.
        #[validate(range(min = 1, message = "nobody could open a stream"))]
        max_connections: Option<usize> = "limits.max_connections",
        /// Streams that a user may have open.
        #[validate(range(min = 1, message = "nobody could open a stream"))]
        max_connections_per_user: usize = "limits.max_connections_per_user",
        /// What the kernel keeps for a client that does not read.
        send_buffer: SendBuffer = "limits.send_buffer",
        /// How long a request's head may take.
        request_timeout: Timeout = "limits.request_timeout",
        /// How long a client may take nothing of what is written to it.
        write_timeout: Timeout = "limits.write_timeout",
        /// How long what is sent may be unacknowledged.
        tcp_user_timeout: UserTimeout = "limits.tcp_user_timeout",
    }
}

fn cookies_only_for_who_is_named(cors: &Cors) -> Result<(), ValidationError> {
    if cors.token_cookie.is_some() && cors.allow_origins.contains(&AllowedOrigin::Any) {
        let message = "allows every origin, but http.cors.token_cookie is only for origins that are named";
        return Err(ValidationError::new("http.cors.allow_origins").with_message(message.into()));
    }
    Ok(())
}

fn address_of_the_kind(tracing: &Tracing) -> Result<(), ValidationError> {
    let (missing, message) = match (tracing.kind, &tracing.endpoint, &tracing.collector) {
        (Some(CollectorKind::OtlpGrpc), None, Some(_)) => {
            ("tracing.endpoint", "is missing: with tracing.type otlp_grpc, tracing.collector does not count")
        }
        (Some(CollectorKind::OtlpHttp), _, None) => {
            ("tracing.collector", "is missing: tracing.type otlp_http needs it")
        }
        _ => return Ok(()),
    };
    Err(ValidationError::new(missing).with_message(message.into()))
}

fn password_of_a_user_for_the_bus(events: &Events) -> Result<(), ValidationError> {
    password_of_a_user(
        events.username.as_ref(),
        events.password.as_ref(),
        "events.username",
        "events.password",
    )
}

fn password_of_a_user_for_the_registry(registry: &Registry) -> Result<(), ValidationError> {
    let Registry { username, password, .. } = registry;
    password_of_a_user(username.as_ref(), password.as_ref(), "registry.username", "registry.password")
}

fn password_of_a_user(
    username: Option<&String>,
    password: Option<&Secret>,
    username_key: &'static str,
    password_key: &'static str,
) -> Result<(), ValidationError> {
    if password.is_some() && username.is_none() {
        let message = format!("is missing: {password_key} is useless without it");
        return Err(ValidationError::new(username_key).with_message(message.into()));
    }
    Ok(())
}

fn certificate_and_key(tls: &Tls) -> Result<(), ValidationError> {
    let (missing, message) = match (&tls.cert, &tls.key) {
        (Some(_), None) => ("http.tls.key", "is missing: http.tls.cert is useless without it"),
        (None, Some(_)) => ("http.tls.cert", "is missing: http.tls.key is useless without it"),
        (Some(certificate), Some(key)) if !key.is_key_of(certificate) => (
            "http.tls.key",
            "is not the key of the first certificate in http.tls.cert, or of a kind that cannot be used",
        ),
        (Some(_), Some(_)) | (None, None) => return Ok(()),
    };
    Err(ValidationError::new(missing).with_message(message.into()))
}
