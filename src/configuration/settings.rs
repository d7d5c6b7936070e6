//! The one list of all settings. What the program reads, what it prints and what the README says follow from it.

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its key in the file; dots lead into groups.
    pub key: &'static str,
    /// The variables it is read from. Of several that are set, the last counts. Each `OCIS_…` is also read as `OC_…`, which
    /// counts more than it.
    pub variables: &'static [&'static str],
    /// What holds when nobody says otherwise, as one would write it, and empty for nothing; `None` when somebody has to.
    pub default: Option<&'static str>,
    /// A value that would be right.
    pub example: &'static str,
    /// Whether its value is never shown.
    pub secret: bool,
    /// Whether the running service takes a new value when it is told to reload (SIGHUP). Else that counts from the next start on.
    pub reloadable: bool,
    /// What it is, for an administrator.
    pub meaning: &'static str,
}

impl Setting {
    /// All variables it is read from, the one that counts most last. Beside each, its name with `_FILE` names a file that has the value.
    pub fn all_variables(&self) -> impl Iterator<Item = String> {
        self.variables.iter().flat_map(|name| {
            let fork = name.strip_prefix("OCIS_").map(|rest| format!("OC_{rest}"));
            [Some((*name).to_owned()), fork].into_iter().flatten()
        })
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    const fn reloadable(self) -> Self {
        Self { reloadable: true, ..self }
    }

    /// Whether it is an address, which may have a user and a password in front.
    pub(super) fn may_have_credentials(&self) -> bool {
        const ADDRESSES: [&str; 5] = [
            "events.endpoint",
            "registry.address",
            "tracing.endpoint",
            "tracing.collector",
            "http.advertise_addr",
        ];
        ADDRESSES.contains(&self.key)
    }
}

macro_rules! setting {
    ($key:literal, [$($variable:literal),*], $default:expr, $example:literal, $meaning:literal) => {
        Setting {
            key: $key,
            variables: &[$($variable),*],
            default: $default,
            example: $example,
            secret: false,
            reloadable: false,
            meaning: $meaning,
        }
    };
}

/// The default of what need not be there.
const NONE: Option<&str> = Some("");

/// All settings, in the order in which they are shown.
pub const SETTINGS: &[Setting] = &[
    setting!(
        "log.level",
        ["OCIS_LOG_LEVEL", "SSE_LOG_LEVEL"],
        Some("error"),
        "info",
        "What is logged: panic, fatal, error, warn, info, debug or trace, and what is graver"
    )
    .reloadable(),
    setting!(
        "log.pretty",
        ["OCIS_LOG_PRETTY", "SSE_LOG_PRETTY"],
        Some("false"),
        "true",
        "Whether the log is for people instead of programs"
    ),
    setting!(
        "log.color",
        ["OCIS_LOG_COLOR", "SSE_LOG_COLOR"],
        Some("false"),
        "true",
        "Whether a log for people has colors"
    ),
    setting!(
        "log.file",
        ["OCIS_LOG_FILE", "SSE_LOG_FILE"],
        NONE,
        "/var/log/ocis/sse.log",
        "The file that the log is added to, reopened on SIGHUP; none for standard error"
    ),
    setting!(
        "tracing.enabled",
        ["OCIS_TRACING_ENABLED", "SSE_TRACING_ENABLED"],
        Some("false"),
        "true",
        "Send traces to a collector (OTLP); OTEL_TRACES_EXPORTER=otlp does the same"
    ),
    setting!(
        "tracing.type",
        ["OCIS_TRACING_TYPE", "SSE_TRACING_TYPE"],
        NONE,
        "otlp",
        "What the collector takes: otlp_grpc, otlp_http, or either with otlp or jaeger"
    ),
    setting!(
        "tracing.endpoint",
        ["OCIS_TRACING_ENDPOINT", "SSE_TRACING_ENDPOINT"],
        NONE,
        "127.0.0.1:4317",
        "The collector's address for OTLP by gRPC, with https:// over TLS; where it and the next are not set, OTEL_EXPORTER_OTLP_… counts"
    ),
    setting!(
        "tracing.collector",
        ["OCIS_TRACING_COLLECTOR", "SSE_TRACING_COLLECTOR"],
        NONE,
        "http://127.0.0.1:4318/v1/traces",
        "The collector's URL for OTLP by HTTP, with https:// over TLS; counts only without an endpoint, or with tracing.type otlp_http"
    ),
    setting!(
        "debug.addr",
        ["SSE_DEBUG_ADDR"],
        Some("127.0.0.1:9139"),
        "127.0.0.1:9139",
        "Address of the debug server: health, readiness, metrics"
    ),
    setting!(
        "debug.token",
        ["SSE_DEBUG_TOKEN"],
        NONE,
        "a text that Prometheus is told as well",
        "The bearer token for all of the debug server but health and readiness; none for everybody"
    )
    .secret()
    .reloadable(),
    setting!(
        "debug.pprof",
        ["SSE_DEBUG_PPROF"],
        Some("false"),
        "true",
        "Whether the debug server profiles the process at /debug/pprof/ when it is asked to"
    ),
    setting!(
        "debug.zpages",
        ["SSE_DEBUG_ZPAGES"],
        Some("false"),
        "true",
        "Whether the debug server keeps recent spans and shows them at /debug/tracez"
    ),
    setting!(
        "keepalive_interval",
        ["SSE_KEEPALIVE_INTERVAL"],
        Some("0s"),
        "30s",
        "A stream that has been silent for so long gets a comment; 0s for none"
    )
    .reloadable(),
    setting!(
        "events.endpoint",
        ["OCIS_EVENTS_ENDPOINT", "SSE_EVENTS_ENDPOINT"],
        Some("127.0.0.1:9233"),
        "127.0.0.1:9233",
        "The servers of the bus (NATS JetStream); several of a cluster, comma-separated. Port 4222 need not be named; a user and a password may stand in front (nats://user:password@nats)"
    ),
    setting!(
        "events.enable_tls",
        ["OCIS_EVENTS_ENABLE_TLS", "SSE_EVENTS_ENABLE_TLS"],
        Some("false"),
        "true",
        "Whether the line to the bus is encrypted; its servers have to be known to the system's authorities"
    ),
    setting!(
        "events.tls_root_ca_certificate",
        ["OCIS_EVENTS_TLS_ROOT_CA_CERTIFICATE", "SSE_EVENTS_TLS_ROOT_CA_CERTIFICATE"],
        NONE,
        "/etc/ocis/nats-ca.pem",
        "With events.enable_tls: a file (PEM) with the only authorities that count for the bus's servers"
    ),
    setting!(
        "events.tls_insecure",
        ["OCIS_INSECURE", "OCIS_EVENTS_TLS_INSECURE", "SSE_EVENTS_TLS_INSECURE"],
        Some("false"),
        "false",
        "With events.enable_tls: whether the bus's servers may be anybody; counts only without a file of authorities"
    ),
    setting!(
        "events.username",
        ["OCIS_EVENTS_AUTH_USERNAME", "SSE_EVENTS_AUTH_USERNAME"],
        NONE,
        "sse",
        "The user to be towards the bus; counts only where events.endpoint names none"
    ),
    setting!(
        "events.password",
        ["OCIS_EVENTS_AUTH_PASSWORD", "SSE_EVENTS_AUTH_PASSWORD"],
        NONE,
        "that user's password",
        "That user's password"
    )
    .secret(),
    setting!(
        "events.cluster",
        ["OCIS_EVENTS_CLUSTER", "SSE_EVENTS_CLUSTER"],
        Some("ocis-cluster"),
        "ocis-cluster",
        "The name of the bus's cluster; taken for the platform's sake, JetStream does not need it"
    ),
    setting!(
        "registry.kind",
        ["MICRO_REGISTRY"],
        Some("nats-js-kv"),
        "memory",
        "Where the gateway finds this service: nats-js-kv (any other name is taken for it), or memory for nowhere"
    ),
    setting!(
        "registry.address",
        ["MICRO_REGISTRY_ADDRESS"],
        NONE,
        "127.0.0.1:9233",
        "The registry's servers (NATS JetStream); none for those of events.endpoint"
    ),
    setting!(
        "registry.username",
        ["MICRO_REGISTRY_AUTH_USERNAME"],
        NONE,
        "sse",
        "The user to be towards the registry; counts only where registry.address names none"
    ),
    setting!(
        "registry.password",
        ["MICRO_REGISTRY_AUTH_PASSWORD"],
        NONE,
        "that user's password",
        "That user's password"
    )
    .secret(),
    setting!(
        "registry.service_name",
        ["SSE_SERVICE_NAME"],
        Some("com.owncloud.sse.sse"),
        "eu.opencloud.sse.sse",
        "The name under which the gateway looks for this service. By default eu.opencloud.sse.sse if a variable begins with OC_, or if the file is in OpenCloud's directory"
    ),
    setting!(
        "registry.register_ttl",
        ["EXPERIMENTAL_REGISTER_TTL"],
        Some("30s"),
        "30s",
        "How long the entry in the registry holds, where this service is the first to make one; else as long as the platform says"
    ),
    setting!(
        "registry.register_interval",
        ["EXPERIMENTAL_REGISTER_INTERVAL"],
        Some("25s"),
        "25s",
        "How often the entry is put again; more often where it would not hold for so long"
    ),
    setting!(
        "http.addr",
        ["SSE_HTTP_ADDR"],
        Some("127.0.0.1:9135"),
        "127.0.0.1:9135",
        "Address of the endpoint"
    ),
    setting!(
        "http.advertise_addr",
        ["SSE_HTTP_ADVERTISE_ADDR"],
        NONE,
        "10.0.0.7:9135",
        "The address that the registry tells the gateway; none for http.addr, or this machine's own where that is every address"
    ),
    setting!("http.root", ["SSE_HTTP_ROOT"], Some("/"), "/", "The path below which everything is served"),
    setting!(
        "http.cors.allow_origins",
        ["OCIS_CORS_ALLOW_ORIGINS", "SSE_CORS_ALLOW_ORIGINS"],
        Some("*"),
        "https://cloud.example.org",
        "Origins whose pages may read the streams; a * may stand for all subdomains or for any port, and alone for all origins, without their users' credentials"
    )
    .reloadable(),
    setting!(
        "http.cors.allow_methods",
        ["OCIS_CORS_ALLOW_METHODS", "SSE_CORS_ALLOW_METHODS"],
        Some("GET,PUT,DELETE"),
        "GET,PUT,DELETE",
        "Methods told to a preflight"
    )
    .reloadable(),
    setting!(
        "http.cors.allow_headers",
        ["OCIS_CORS_ALLOW_HEADERS", "SSE_CORS_ALLOW_HEADERS"],
        Some(
            "Authorization,Origin,Content-Type,Accept,X-Requested-With,X-Request-Id,Ocs-Apirequest,Last-Event-Id"
        ),
        "Authorization,X-Request-Id",
        "Headers told to a preflight"
    )
    .reloadable(),
    setting!(
        "http.cors.allow_credentials",
        ["OCIS_CORS_ALLOW_CREDENTIALS", "SSE_CORS_ALLOW_CREDENTIALS"],
        Some("true"),
        "true",
        "Whether pages of origins that are named may send their users' credentials"
    )
    .reloadable(),
    setting!(
        "http.cors.token_cookie",
        ["SSE_TOKEN_COOKIE"],
        NONE,
        "__Host-sse-token",
        "A cookie that may carry the token where no header does, for pages of our own origin and of those that are named without a *"
    )
    .reloadable(),
    setting!(
        "http.tls.enabled",
        ["OCIS_HTTP_TLS_ENABLED"],
        Some("false"),
        "true",
        "Whether the endpoint is served over TLS, with HTTP/1.1 and HTTP/2"
    ),
    setting!(
        "http.tls.cert",
        ["OCIS_HTTP_TLS_CERTIFICATE"],
        NONE,
        "/etc/ocis/sse.crt",
        "The certificate's file (PEM), loaded again when it is renewed, and on SIGHUP; none for a temporary one that nobody else has signed"
    ),
    setting!(
        "http.tls.key",
        ["OCIS_HTTP_TLS_KEY"],
        NONE,
        "/etc/ocis/sse.key",
        "The file of the certificate's key (PEM)"
    ),
    setting!(
        "token_manager.jwt_secret",
        ["OCIS_JWT_SECRET", "SSE_JWT_SECRET"],
        None,
        "the text that the platform's other services have in OCIS_JWT_SECRET",
        "The secret that the platform signs its tokens with; at least 32 bytes"
    )
    .secret()
    .reloadable(),
    setting!(
        "token_manager.jwt_secret_previous",
        ["SSE_JWT_SECRET_PREVIOUS"],
        NONE,
        "the text that was in OCIS_JWT_SECRET before",
        "A second secret with which tokens may be signed, so that the first can be changed without an end to all streams; none but the first by default"
    )
    .secret()
    .reloadable(),
    setting!(
        "history.max_age",
        ["SSE_HISTORY_MAX_AGE"],
        Some("5m"),
        "5m",
        "Maximum age of events in the log, for clients that return or are slow; 0s keeps only what open streams have still to take"
    ),
    setting!(
        "history.max_bytes",
        ["SSE_HISTORY_MAX_BYTES"],
        Some("256MiB"),
        "256MiB",
        "Maximum memory of the log; no single user's events take more than half of it, and the oldest are removed first"
    ),
    setting!(
        "history.resume_window",
        ["SSE_RESUME_WINDOW"],
        Some("2m"),
        "2m",
        "For how long it is remembered where a stream stood, for clients that cannot say so but repeat their X-Request-ID; 0s for not at all"
    ),
    setting!(
        "streams.reconnection_time",
        ["SSE_RETRY"],
        Some("3s"),
        "3s",
        "How long clients are asked to wait before they come back, up to half as long again for some; 0s for not at all"
    )
    .reloadable(),
    setting!(
        "streams.max_age",
        ["SSE_MAX_STREAM_AGE"],
        Some("0s"),
        "1h",
        "The age at which streams are ended, up to 5 % earlier for some, for load balancers that need turnover; 0s for never"
    )
    .reloadable(),
    setting!(
        "streams.close_on_logout",
        ["SSE_CLOSE_ON_LOGOUT"],
        Some("true"),
        "true",
        "Whether a user's streams are ended after an event of type backchannel-logout"
    )
    .reloadable(),
    setting!(
        "streams.replace",
        ["SSE_REPLACE_STREAMS"],
        Some("true"),
        "true",
        "Whether a newer stream with the same X-Request-ID ends the user's older one, once that is 5 s old"
    )
    .reloadable(),
    setting!(
        "streams.drain_timeout",
        ["SSE_DRAIN_TIMEOUT"],
        Some("10s"),
        "10s",
        "Over which time open streams are ended when the service stops; what is left after it is cut"
    ),
    setting!(
        "default_language",
        ["OCIS_DEFAULT_LANGUAGE", "SSE_DEFAULT_LANGUAGE"],
        Some("en"),
        "de",
        "The language of those who have chosen none and whose browser asks for none, where an event comes in several"
    ),
    setting!(
        "limits.max_connections",
        ["SSE_MAX_CONNECTIONS"],
        NONE,
        "10000",
        "Maximum number of open streams; connections may be a few more, for requests that open none. By default as many as there are file descriptors for"
    )
    .reloadable(),
    setting!(
        "limits.max_connections_per_user",
        ["SSE_MAX_CONNECTIONS_PER_USER"],
        Some("64"),
        "64",
        "Maximum number of open streams of one user"
    )
    .reloadable(),
    setting!(
        "limits.send_buffer",
        ["SSE_SEND_BUFFER"],
        Some("128KiB"),
        "128KiB",
        "Send buffer of the kernel for each connection; the kernel takes twice as much for its own accounts"
    ),
    setting!(
        "limits.request_timeout",
        ["SSE_REQUEST_TIMEOUT"],
        Some("10s"),
        "10s",
        "Timeout for a complete request: TLS handshake and head together, its body, and the time until the next request on the same connection"
    ),
    setting!(
        "limits.write_timeout",
        ["SSE_WRITE_TIMEOUT"],
        Some("30s"),
        "30s",
        "Timeout for a client that takes nothing of what is written to it, and for all that is left when its stream has ended"
    ),
    setting!(
        "limits.tcp_user_timeout",
        ["SSE_TCP_USER_TIMEOUT"],
        Some("60s"),
        "60s",
        "Timeout for a client that acknowledges nothing (TCP_USER_TIMEOUT)"
    ),
];
