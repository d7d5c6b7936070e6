//! The list of all settings. Everything that the program reads and prints and that docs/settings.md says about settings comes from it.

use super::product::SERVICE_NAMES;

/// A setting with its names, its default and its meaning.
#[derive(Debug)]
pub struct Setting {
    /// The key in the file. Dots separate groups.
    pub key: &'static str,
    /// The environment variables. If several are set, the last one applies. Each `OCIS_…` may also be written `OC_…`, which takes precedence
    /// over it.
    pub variables: &'static [&'static str],
    /// The default, as it would be written. Empty for no value. `None` if the setting is required.
    pub default: Option<&'static str>,
    /// A valid value, or the description of a secret. Error messages suggest it.
    pub example: &'static str,
    /// Whether the value is masked wherever it is shown.
    pub secret: bool,
    /// Whether the running service applies a new value on a reload (SIGHUP). Otherwise a new value takes effect after a restart.
    pub reloadable: bool,
    /// The meaning for an administrator: a noun phrase with the unit, without a full stop.
    pub meaning: &'static str,
}

impl Setting {
    /// Returns all variables in ascending precedence. Each may also be set with the suffix `_FILE` to a file that has the value.
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

    /// Returns whether the setting is a list of addresses, which may include a user and a password.
    pub(super) fn may_have_credentials(&self) -> bool {
        ["events.endpoint", "registry.address", "http.advertise_addr"].contains(&self.key)
    }

    /// Returns whether the setting is a URL, which may include a user, a password and a query.
    pub(super) fn is_url(&self) -> bool {
        ["tracing.endpoint", "tracing.collector"].contains(&self.key)
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

/// The default of an optional setting.
const NONE: Option<&str> = Some("");

/// All settings, in the order in which they are shown.
pub const SETTINGS: &[Setting] = &[
    setting!(
        "log.level",
        ["OCIS_LOG_LEVEL", "SSE_LOG_LEVEL"],
        Some("error"),
        "info",
        "Minimum severity of log messages: panic, fatal, error, warn, info, debug or trace"
    )
    .reloadable(),
    setting!(
        "log.pretty",
        ["OCIS_LOG_PRETTY", "SSE_LOG_PRETTY"],
        Some("false"),
        "true",
        "Human-readable log format instead of JSON"
    ),
    setting!(
        "log.color",
        ["OCIS_LOG_COLOR", "SSE_LOG_COLOR"],
        Some("false"),
        "true",
        "Colors in the human-readable log format"
    ),
    setting!(
        "log.file",
        ["OCIS_LOG_FILE", "SSE_LOG_FILE"],
        NONE,
        "/var/log/ocis/sse.log",
        "Log file, opened for appending and reopened on SIGHUP; none for standard error"
    ),
    setting!(
        "log.audit",
        ["SSE_LOG_AUDIT"],
        Some("true"),
        "false",
        "Audit log: a line at level info when a stream opens and when it ends, with user, client address, request id, reason, duration and events"
    )
    .reloadable(),
    setting!(
        "tracing.enabled",
        ["OCIS_TRACING_ENABLED", "SSE_TRACING_ENABLED"],
        Some("false"),
        "true",
        "Export of traces to a collector (OTLP); OTEL_TRACES_EXPORTER=otlp enables it too"
    ),
    setting!(
        "tracing.type",
        ["OCIS_TRACING_TYPE", "SSE_TRACING_TYPE"],
        NONE,
        "otlp",
        "Protocol of the collector: otlp_grpc, otlp_http, or otlp or jaeger for either"
    ),
    setting!(
        "tracing.endpoint",
        ["OCIS_TRACING_ENDPOINT", "SSE_TRACING_ENDPOINT"],
        NONE,
        "127.0.0.1:4317",
        "Address of the collector for OTLP over gRPC, with https:// for TLS; if this and tracing.collector are not set, OTEL_EXPORTER_OTLP_… applies"
    ),
    setting!(
        "tracing.collector",
        ["OCIS_TRACING_COLLECTOR", "SSE_TRACING_COLLECTOR"],
        NONE,
        "http://127.0.0.1:4318/v1/traces",
        "URL of the collector for OTLP over HTTP, with https:// for TLS; used only without tracing.endpoint or with tracing.type otlp_http"
    ),
    setting!(
        "debug.addr",
        ["SSE_DEBUG_ADDR"],
        Some("127.0.0.1:9139"),
        "127.0.0.1:9139",
        "Address of the debug server (health, readiness, metrics)"
    ),
    setting!(
        "debug.token",
        ["SSE_DEBUG_TOKEN"],
        NONE,
        "a random text, which Prometheus needs too",
        "Bearer token for the data of the debug server, not for its probes; none for open access"
    )
    .secret()
    .reloadable(),
    setting!(
        "debug.pprof",
        ["SSE_DEBUG_PPROF"],
        Some("false"),
        "true",
        "Profiling of the process on request, at /debug/pprof/ of the debug server"
    ),
    setting!(
        "debug.zpages",
        ["SSE_DEBUG_ZPAGES"],
        Some("false"),
        "true",
        "Collection of recent spans, shown at /debug/tracez of the debug server"
    ),
    setting!(
        "keepalive_interval",
        ["SSE_KEEPALIVE_INTERVAL"],
        Some("0s"),
        "30s",
        "Time without data after which a stream gets a comment; 0s for no comments"
    )
    .reloadable(),
    setting!(
        "events.endpoint",
        ["OCIS_EVENTS_ENDPOINT", "SSE_EVENTS_ENDPOINT"],
        Some("127.0.0.1:9233"),
        "127.0.0.1:9233",
        "Servers of NATS JetStream, comma-separated if there are several. The default port is 4222; an address may include credentials (nats://user:password@nats)"
    ),
    setting!(
        "events.enable_tls",
        ["OCIS_EVENTS_ENABLE_TLS", "SSE_EVENTS_ENABLE_TLS"],
        Some("false"),
        "true",
        "TLS for the connection to NATS; the server's certificate is verified with the system's root certificates"
    ),
    setting!(
        "events.tls_root_ca_certificate",
        ["OCIS_EVENTS_TLS_ROOT_CA_CERTIFICATE", "SSE_EVENTS_TLS_ROOT_CA_CERTIFICATE"],
        NONE,
        "/etc/ocis/nats-ca.pem",
        "With events.enable_tls: file with the root certificates (PEM) to trust instead of the system's"
    ),
    setting!(
        "events.tls_insecure",
        ["OCIS_INSECURE", "OCIS_EVENTS_TLS_INSECURE", "SSE_EVENTS_TLS_INSECURE"],
        Some("false"),
        "false",
        "With events.enable_tls: no verification of the NATS server's certificate; has no effect with events.tls_root_ca_certificate"
    ),
    setting!(
        "events.username",
        ["OCIS_EVENTS_AUTH_USERNAME", "SSE_EVENTS_AUTH_USERNAME"],
        NONE,
        "sse",
        "User name for NATS; used only if events.endpoint includes no credentials"
    ),
    setting!(
        "events.password",
        ["OCIS_EVENTS_AUTH_PASSWORD", "SSE_EVENTS_AUTH_PASSWORD"],
        NONE,
        "that user's password",
        "Password for NATS"
    )
    .secret(),
    setting!(
        "registry.kind",
        ["MICRO_REGISTRY"],
        Some("nats-js-kv"),
        "memory",
        "Service registry where the platform's proxy finds this service: nats-js-kv (also used for unknown names), or memory for none"
    ),
    setting!(
        "registry.address",
        ["MICRO_REGISTRY_ADDRESS"],
        NONE,
        "127.0.0.1:9233",
        "NATS servers of the registry; none for those of events.endpoint"
    ),
    setting!(
        "registry.username",
        ["MICRO_REGISTRY_AUTH_USERNAME"],
        NONE,
        "sse",
        "User name for the registry; used only if registry.address includes no credentials"
    ),
    setting!(
        "registry.password",
        ["MICRO_REGISTRY_AUTH_PASSWORD"],
        NONE,
        "that user's password",
        "Password for the registry"
    )
    .secret(),
    setting!(
        "registry.service_name",
        ["SSE_SERVICE_NAME"],
        Some(SERVICE_NAMES[0]),
        "eu.opencloud.sse.sse",
        "Name of this service in the registry. The default is eu.opencloud.sse.sse if a variable starts with OC_ or the configuration file is in OpenCloud's directory"
    ),
    setting!(
        "registry.register_ttl",
        ["EXPERIMENTAL_REGISTER_TTL"],
        Some("30s"),
        "30s",
        "Lifetime of an entry in the registry, if this service creates the registry's bucket; otherwise the existing lifetime applies"
    ),
    setting!(
        "registry.register_interval",
        ["EXPERIMENTAL_REGISTER_INTERVAL"],
        Some("25s"),
        "25s",
        "Time between two renewals of the entry; shorter if the entry's lifetime requires it"
    ),
    setting!(
        "http.addr",
        ["SSE_HTTP_ADDR"],
        Some("127.0.0.1:9135"),
        "127.0.0.1:9135",
        "Address of the endpoint for clients"
    ),
    setting!(
        "http.advertise_addr",
        ["SSE_HTTP_ADVERTISE_ADDR"],
        NONE,
        "10.0.0.7:9135",
        "Address of this instance in the registry; none for http.addr, or for this machine's own address if http.addr is unspecified"
    ),
    setting!("http.root", ["SSE_HTTP_ROOT"], Some("/"), "/", "Path prefix of all operations"),
    setting!(
        "http.trusted_proxies",
        ["SSE_TRUSTED_PROXIES"],
        Some("127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,::1,fc00::/7"),
        "127.0.0.1,192.0.2.0/24",
        "Addresses and networks of proxies, comma-separated, whose X-Forwarded-For is believed for the client address in the audit log; by default private networks"
    )
    .reloadable(),
    setting!(
        "http.ticket_clients",
        ["SSE_TICKET_CLIENTS"],
        NONE,
        "127.0.0.1,192.0.2.7",
        "Addresses and networks of the edge proxies, comma-separated, that connect streams directly with a ticket; none to turn tickets off"
    )
    .reloadable(),
    setting!(
        "http.cors.allow_origins",
        ["OCIS_CORS_ALLOW_ORIGINS", "SSE_CORS_ALLOW_ORIGINS"],
        Some("*"),
        "https://cloud.example.org",
        "Origins whose pages may read the streams; * stands for all subdomains or any port, or alone for all origins, without credentials"
    )
    .reloadable(),
    setting!(
        "http.cors.allow_methods",
        ["OCIS_CORS_ALLOW_METHODS", "SSE_CORS_ALLOW_METHODS"],
        Some("GET,PUT,DELETE"),
        "GET,PUT,DELETE",
        "Allowed methods in answers to preflight requests"
    )
    .reloadable(),
    setting!(
        "http.cors.allow_headers",
        ["OCIS_CORS_ALLOW_HEADERS", "SSE_CORS_ALLOW_HEADERS"],
        Some(
            "Authorization,Origin,Content-Type,Accept,X-Requested-With,X-Request-Id,Ocs-Apirequest,Last-Event-Id"
        ),
        "Authorization,X-Request-Id",
        "Allowed headers in answers to preflight requests"
    )
    .reloadable(),
    setting!(
        "http.cors.allow_credentials",
        ["OCIS_CORS_ALLOW_CREDENTIALS", "SSE_CORS_ALLOW_CREDENTIALS"],
        Some("true"),
        "true",
        "Permission to send credentials, for pages of origins that are listed other than by a single *"
    )
    .reloadable(),
    setting!(
        "http.cors.token_cookie",
        ["SSE_TOKEN_COOKIE"],
        NONE,
        "__Host-sse-token",
        "Name of a cookie that may carry the token if no header does, for pages of the own origin and of origins listed without a *"
    )
    .reloadable(),
    setting!(
        "http.tls.enabled",
        ["OCIS_HTTP_TLS_ENABLED"],
        Some("false"),
        "true",
        "TLS for the endpoint, with HTTP/1.1 and HTTP/2"
    ),
    setting!(
        "http.tls.cert",
        ["OCIS_HTTP_TLS_CERTIFICATE"],
        NONE,
        "/etc/ocis/sse.crt",
        "File with the certificate chain (PEM), reloaded when it is renewed and on SIGHUP; none for a temporary self-signed certificate"
    ),
    setting!(
        "http.tls.key",
        ["OCIS_HTTP_TLS_KEY"],
        NONE,
        "/etc/ocis/sse.key",
        "File with the private key of the certificate (PEM)"
    ),
    setting!(
        "token_manager.jwt_secret",
        ["OCIS_JWT_SECRET", "SSE_JWT_SECRET"],
        None,
        "the text that the platform's other services have in OCIS_JWT_SECRET",
        "Secret with which the platform signs its tokens; at least 32 bytes"
    )
    .secret()
    .reloadable(),
    setting!(
        "token_manager.jwt_secret_previous",
        ["SSE_JWT_SECRET_PREVIOUS"],
        NONE,
        "the text that was in OCIS_JWT_SECRET before",
        "Second accepted secret, with which a rotation of the first one ends no streams"
    )
    .secret()
    .reloadable(),
    setting!(
        "history.max_age",
        ["SSE_HISTORY_MAX_AGE"],
        Some("5m"),
        "5m",
        "Maximum age of an event in the history for returning and slow clients; 0s keeps only events that open streams have not taken yet"
    ),
    setting!(
        "history.max_bytes",
        ["SSE_HISTORY_MAX_BYTES"],
        Some("256MiB"),
        "256MiB",
        "Maximum memory of the history; the events of one user take up to half of it, and the oldest are removed first"
    ),
    setting!(
        "history.resume_window",
        ["SSE_RESUME_WINDOW"],
        Some("2m"),
        "2m",
        "Time for which the position of an ended stream is remembered, for clients that send no last event id but repeat their X-Request-ID; 0s to turn this off"
    ),
    setting!(
        "streams.reconnection_time",
        ["SSE_RETRY"],
        Some("3s"),
        "3s",
        "Time that clients wait before they reconnect, with jitter up to half as long again; 0s for the browser's default"
    )
    .reloadable(),
    setting!(
        "streams.max_age",
        ["SSE_MAX_STREAM_AGE"],
        Some("0s"),
        "1h",
        "Maximum age of a stream, with jitter up to 5 % less, for load balancers that need turnover; 0s for no maximum"
    )
    .reloadable(),
    setting!(
        "streams.close_on_logout",
        ["SSE_CLOSE_ON_LOGOUT"],
        Some("true"),
        "true",
        "End of a user's streams after an event of type backchannel-logout"
    )
    .reloadable(),
    setting!(
        "streams.replace",
        ["SSE_REPLACE_STREAMS"],
        Some("true"),
        "true",
        "End of a user's older stream when a newer one has the same X-Request-ID, once the older one is 5 s old"
    )
    .reloadable(),
    setting!(
        "streams.drain_timeout",
        ["SSE_DRAIN_TIMEOUT"],
        Some("10s"),
        "10s",
        "Time in which open streams are ended when the service stops; remaining connections are closed after it"
    ),
    setting!(
        "streams.drain_rate",
        ["SSE_DRAIN_RATE"],
        NONE,
        "20",
        "Maximum number of streams a second that end when the service stops, and of clients a second that are asked to return; none for no limit. If the drain timeout is too short for it, streams end faster, but their clients are still asked to return at this rate"
    )
    .reloadable(),
    setting!(
        "handover.socket",
        ["SSE_HANDOVER_SOCKET"],
        NONE,
        "/run/ocis-sse/handover.sock",
        "Unix socket at which another process on this host can take over the open streams; none to have them ended instead"
    ),
    setting!(
        "handover.take_over",
        ["SSE_TAKE_OVER"],
        Some("false"),
        "true",
        "Take-over of the open streams from the process that listens at handover.socket, like --take-over; without such a process the service starts as usual"
    ),
    setting!(
        "default_language",
        ["OCIS_DEFAULT_LANGUAGE", "SSE_DEFAULT_LANGUAGE"],
        Some("en"),
        "de",
        "Language of translated events for users who have chosen none and whose browser requests none"
    ),
    setting!(
        "limits.max_connections",
        ["SSE_MAX_CONNECTIONS"],
        NONE,
        "10000",
        "Maximum number of open streams; a few more connections are accepted for other requests. The default depends on the limit of file descriptors"
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
        "Size of the kernel's send buffer of a connection; the kernel uses twice as much memory"
    ),
    setting!(
        "limits.request_timeout",
        ["SSE_REQUEST_TIMEOUT"],
        Some("10s"),
        "10s",
        "Timeout for TLS handshake and request head together, for a request body, and for an idle connection"
    ),
    setting!(
        "limits.write_timeout",
        ["SSE_WRITE_TIMEOUT"],
        Some("30s"),
        "30s",
        "Timeout for a client that accepts no data, and for the remaining data of an ended stream"
    ),
    setting!(
        "limits.tcp_user_timeout",
        ["SSE_TCP_USER_TIMEOUT"],
        Some("60s"),
        "60s",
        "Timeout for the acknowledgement of sent data (TCP_USER_TIMEOUT)"
    ),
];
