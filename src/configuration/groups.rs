//! The settings as typed values, by group, with the rules that tie the settings of a group together (`validator`).

use domain::origin::AllowedOrigin;
use validator::{Validate, ValidationError};

use super::{
    SETTINGS, Setting,
    reader::Reader,
    values::{
        Address, AgeInNats, Bytes, CertificateFile, CollectorKind, CookieName, Count, Format, FromTexts,
        GoDuration, GrpcEndpoint, HeaderName, HttpCollector, HttpRoot, Language, LogLevel, Method, Network,
        PrivateKeyFile, Rate, ReconnectionTime, RegistryKind, Secret, SendBuffer, Server, Timeout,
        UserTimeout,
    },
};

/// Defines a group of settings. Each field has the key of its setting and, if the setting belongs to a feature that can be off, the key of
/// the setting that turns the feature on.
macro_rules! group {
    (
        $(#[$about:meta])*
        struct $group:ident {
            $($(#[$about_field:meta])* $field:ident: $type:ty = $key:literal $(if $switch:literal)?,)*
        }
    ) => {
        #[derive(Clone, Debug, Validate)]
        $(#[$about])*
        pub struct $group {
            $($(#[$about_field])* pub $field: $type,)*
        }

        impl $group {
            /// Reads the group. Returns `None` if a value is missing or invalid, after reading all values, so that all errors are reported,
            /// or if the values do not fit together.
            pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
                $(let $field = reader.read($key, &[$($switch)?]);)*
                reader.check(Self { $($field: $field?,)* })
            }

            /// Returns the keys of the group, and how their values are written.
            pub(super) fn formats() -> Vec<(&'static str, Format)> {
                vec![$(($key, <$type as FromTexts>::FORMAT)),*]
            }

            /// Takes the values of `new` that can change without a restart. Adds each setting whose value differs to `changed`.
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
    /// The log.
    struct Log {
        /// Minimum severity.
        level: LogLevel = "log.level",
        /// Human-readable format instead of JSON.
        pretty: bool = "log.pretty",
        /// Colors in the human-readable format.
        color: bool = "log.color",
        /// The file. None for standard error.
        file: Option<String> = "log.file",
        /// Whether the opening and the end of each stream is logged.
        audit: bool = "log.audit",
    }
}

group! {
    /// The export of traces.
    #[validate(schema(function = "check_collector_address"))]
    struct Tracing {
        /// Whether traces are exported.
        enabled: bool = "tracing.enabled",
        /// The protocol of the collector.
        kind: Option<CollectorKind> = "tracing.type" if "tracing.enabled",
        /// The collector for OTLP over gRPC.
        endpoint: Option<GrpcEndpoint> = "tracing.endpoint" if "tracing.enabled",
        /// The collector for OTLP over HTTP.
        collector: Option<HttpCollector> = "tracing.collector" if "tracing.enabled",
    }
}

group! {
    /// The debug server.
    struct Debug {
        /// The address to listen on.
        addr: Address = "debug.addr",
        /// The bearer token for everything but health and readiness.
        token: Option<Secret> = "debug.token",
        /// Whether the process can be profiled.
        pprof: bool = "debug.pprof",
        /// Whether recent spans are kept and shown.
        zpages: bool = "debug.zpages",
    }
}

group! {
    /// Keepalive comments on silent streams.
    struct Keepalive {
        /// The silence after which a stream gets a comment. Zero for no comments.
        interval: GoDuration = "keepalive_interval",
    }
}

group! {
    /// The connection to NATS.
    #[validate(schema(function = "check_events_username"))]
    struct Events {
        /// The servers of the cluster.
        endpoint: Vec<Server> = "events.endpoint",
        /// Whether the connection uses TLS.
        enable_tls: bool = "events.enable_tls",
        /// The root certificates to trust instead of the system's.
        tls_root_ca_certificate: Option<CertificateFile> = "events.tls_root_ca_certificate" if "events.enable_tls",
        /// Whether the verification of the server's certificate is skipped.
        tls_insecure: bool = "events.tls_insecure" if "events.enable_tls",
        /// The user name.
        username: Option<String> = "events.username",
        /// The password.
        password: Option<Secret> = "events.password",
    }
}

group! {
    /// The service registry, where the platform's proxy finds this service.
    #[validate(schema(function = "check_registry_username"))]
    struct Registry {
        /// The kind of registry.
        kind: RegistryKind = "registry.kind",
        /// The servers. None for those of `events.endpoint`.
        address: Option<Vec<Server>> = "registry.address" if "registry.kind",
        /// The user name.
        username: Option<String> = "registry.username" if "registry.kind",
        /// The password.
        password: Option<Secret> = "registry.password" if "registry.kind",
        /// The name under which the proxy looks for the service.
        service_name: String = "registry.service_name" if "registry.kind",
        /// The lifetime of the entry.
        register_ttl: AgeInNats = "registry.register_ttl" if "registry.kind",
        /// Time between two renewals of the entry.
        register_interval: Timeout = "registry.register_interval" if "registry.kind",
    }
}

group! {
    /// The endpoint for clients.
    struct Http {
        /// The address to listen on.
        addr: Address = "http.addr",
        /// The address in the service registry, if it differs from `addr`.
        advertise_addr: Option<Address> = "http.advertise_addr" if "registry.kind",
        /// The path prefix of all operations.
        root: HttpRoot = "http.root",
        /// The proxies whose `X-Forwarded-For` is believed.
        trusted_proxies: Vec<Network> = "http.trusted_proxies",
        /// The edges whose tickets are accepted. Empty if tickets are off.
        ticket_clients: Vec<Network> = "http.ticket_clients",
    }
}

group! {
    /// Cross-origin access (CORS).
    #[validate(schema(function = "check_token_cookie_origins"))]
    struct Cors {
        /// The allowed origins.
        allow_origins: Vec<AllowedOrigin> = "http.cors.allow_origins",
        /// The methods in the answer to a preflight request.
        allow_methods: Vec<Method> = "http.cors.allow_methods",
        /// The headers in the answer to a preflight request.
        allow_headers: Vec<HeaderName> = "http.cors.allow_headers",
        /// Whether pages may send credentials.
        allow_credentials: bool = "http.cors.allow_credentials",
        /// The cookie that may carry the token if no header does.
        token_cookie: Option<CookieName> = "http.cors.token_cookie",
    }
}

group! {
    /// TLS of the endpoint for clients.
    #[derive(PartialEq)]
    #[validate(schema(function = "check_certificate_and_key"))]
    struct Tls {
        /// Whether the endpoint uses TLS.
        enabled: bool = "http.tls.enabled",
        /// The file of the certificate chain.
        cert: Option<CertificateFile> = "http.tls.cert" if "http.tls.enabled",
        /// The file of the private key.
        key: Option<PrivateKeyFile> = "http.tls.key" if "http.tls.enabled",
    }
}

group! {
    /// The verification of tokens.
    struct TokenManager {
        /// The secret with which the platform signs tokens.
        jwt_secret: Secret = "token_manager.jwt_secret",
        /// A second accepted secret, for the time of a rotation.
        jwt_secret_previous: Option<Secret> = "token_manager.jwt_secret_previous",
    }
}

group! {
    /// The history for returning and slow clients.
    struct History {
        /// Maximum age of an event. Zero keeps only the events that open streams have not taken yet.
        max_age: GoDuration = "history.max_age",
        /// Maximum memory of the log of events.
        max_bytes: Bytes = "history.max_bytes",
        /// How long the position of an ended stream is remembered.
        resume_window: AgeInNats = "history.resume_window",
    }
}

group! {
    /// The lifetime of streams.
    #[validate(schema(function = "check_reconnection_time"))]
    struct Streams {
        /// The reconnection time that is sent to clients. Zero to send none.
        reconnection_time: ReconnectionTime = "streams.reconnection_time",
        /// Maximum age of a stream. Zero for no maximum.
        max_age: GoDuration = "streams.max_age",
        /// Whether a logout ends the user's streams.
        close_on_logout: bool = "streams.close_on_logout",
        /// Whether a newer stream of the same client ends the older one.
        replace: bool = "streams.replace",
        /// The time in which all open streams are ended when the service stops.
        drain_timeout: GoDuration = "streams.drain_timeout",
        /// The pace at which streams are ended when the service stops. None for no limit.
        drain_rate: Option<Rate> = "streams.drain_rate",
    }
}

group! {
    /// The hand-over of open streams to another process on this host.
    #[validate(schema(function = "check_handover_socket"))]
    struct Handover {
        /// The Unix socket. None if no process can take over.
        socket: Option<String> = "handover.socket",
        /// Whether this process takes over when it starts.
        take_over: bool = "handover.take_over",
    }
}

group! {
    /// The languages of translated events.
    struct Languages {
        /// The language for users who have chosen none and whose requests accept none.
        default: Language = "default_language",
    }
}

group! {
    /// The limits for clients.
    struct Limits {
        /// Maximum number of open streams. None for as many as the limit of file descriptors allows.
        max_connections: Option<Count> = "limits.max_connections",
        /// Maximum number of open streams of a user.
        max_connections_per_user: Count = "limits.max_connections_per_user",
        /// The size of the kernel's send buffer of a connection.
        send_buffer: SendBuffer = "limits.send_buffer",
        /// Timeout for a request, and for an idle connection.
        request_timeout: Timeout = "limits.request_timeout",
        /// Timeout for a client that accepts no data.
        write_timeout: Timeout = "limits.write_timeout",
        /// Timeout for the acknowledgement of sent data (`TCP_USER_TIMEOUT`).
        tcp_user_timeout: UserTimeout = "limits.tcp_user_timeout",
    }
}

/// Returns the error of a broken rule, after which the setting `key` has to change. `problem` is the rest of a sentence that starts with the setting or its value.
fn broken(key: &'static str, problem: &'static str) -> Result<(), ValidationError> {
    // An error of a whole group names no field, so that its code is the key.
    Err(ValidationError::new(key).with_message(problem.into()))
}

/// Returns the keys of all settings, and how their values are written.
pub(super) fn formats() -> Vec<(&'static str, Format)> {
    [
        Log::formats(),
        Tracing::formats(),
        Debug::formats(),
        Keepalive::formats(),
        Events::formats(),
        Registry::formats(),
        Http::formats(),
        Cors::formats(),
        Tls::formats(),
        TokenManager::formats(),
        History::formats(),
        Streams::formats(),
        Handover::formats(),
        Languages::formats(),
        Limits::formats(),
    ]
    .concat()
}

fn check_token_cookie_origins(cors: &Cors) -> Result<(), ValidationError> {
    if cors.token_cookie.is_some() && cors.allow_origins.contains(&AllowedOrigin::Any) {
        return broken(
            "http.cors.allow_origins",
            "allows all origins, but http.cors.token_cookie needs a list of origins",
        );
    }
    Ok(())
}

fn check_reconnection_time(streams: &Streams) -> Result<(), ValidationError> {
    if streams.drain_rate.is_some() && streams.reconnection_time.0.is_zero() {
        // Else a client would wait at each later reconnection as long as after the drain.
        return broken(
            "streams.reconnection_time",
            "must be longer than 0s with streams.drain_rate, so that a new stream replaces the time that the drain has sent",
        );
    }
    Ok(())
}

fn check_collector_address(tracing: &Tracing) -> Result<(), ValidationError> {
    match (tracing.kind, &tracing.endpoint, &tracing.collector) {
        (Some(CollectorKind::OtlpGrpc), None, Some(_)) => broken(
            "tracing.endpoint",
            "must be set, because tracing.type is otlp_grpc, which does not use tracing.collector",
        ),
        (Some(CollectorKind::OtlpHttp), _, None) => {
            broken("tracing.collector", "must be set, because tracing.type is otlp_http")
        }
        _ => Ok(()),
    }
}

fn check_events_username(events: &Events) -> Result<(), ValidationError> {
    if events.password.is_some() && events.username.is_none() {
        return broken("events.username", "must be set, because events.password is set");
    }
    Ok(())
}

fn check_registry_username(registry: &Registry) -> Result<(), ValidationError> {
    if registry.password.is_some() && registry.username.is_none() {
        return broken("registry.username", "must be set, because registry.password is set");
    }
    Ok(())
}

fn check_handover_socket(handover: &Handover) -> Result<(), ValidationError> {
    if handover.take_over && handover.socket.is_none() {
        return broken("handover.socket", "must be set, because handover.take_over is set");
    }
    Ok(())
}

fn check_certificate_and_key(tls: &Tls) -> Result<(), ValidationError> {
    match (&tls.cert, &tls.key) {
        (Some(_), None) => broken("http.tls.key", "must be set, because http.tls.cert is set"),
        (None, Some(_)) => broken("http.tls.cert", "must be set, because http.tls.key is set"),
        (Some(certificate), Some(key)) if !key.is_key_of(certificate) => broken(
            "http.tls.key",
            "is not the key of the first certificate in http.tls.cert, or its type is not supported",
        ),
        (Some(_), Some(_)) | (None, None) => Ok(()),
    }
}
