//! Metrics of the HTTP servers.

use std::sync::atomic::AtomicI64;

use ports::outbound::HttpMetrics;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// An HTTP server of this service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The server for clients.
    Public,
    /// The debug server, for probes and administrators.
    Debug,
}

impl Server {
    /// Every value, so that each has its series before its first connection.
    pub const ALL: [Self; 2] = [Self::Public, Self::Debug];

    /// Returns the value of the label.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Debug => "debug",
        }
    }
}

/// The transport of a server's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Plaintext,
    /// TLS over TCP.
    Tls,
}

impl Transport {
    /// Every value, so that each has its series before its first connection.
    pub const ALL: [Self; 2] = [Self::Plaintext, Self::Tls];

    /// Returns the value of the label.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Tls => "tls",
        }
    }
}

/// The labels of connection metrics.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    server: &'static str,
    transport: &'static str,
}

/// The labels of answered requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    server: &'static str,
    route: &'static str,
    status: u16,
}

/// The metric families of all HTTP servers.
#[derive(Default)]
pub(super) struct HttpFamilies {
    open: Family<ServerLabels, Gauge<i64, AtomicI64>>,
    accepted: Family<ServerLabels, Counter>,
    evicted: Family<ServerLabels, Counter>,
    handshake_failures: Family<ServerLabels, Counter>,
    request_timeouts: Family<ServerLabels, Counter>,
    write_timeouts: Family<ServerLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
}

impl HttpFamilies {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Self::default();
        let http = registry.sub_registry_with_prefix("http");
        http.register("connections", "Open connections", families.open.clone());
        http.register("connections_accepted", "Accepted connections", families.accepted.clone());
        http.register(
            "connections_evicted",
            "Connections without a request that were closed to make room for others",
            families.evicted.clone(),
        );
        http.register("handshake_failures", "Failed TLS handshakes", families.handshake_failures.clone());
        http.register(
            "request_timeouts",
            "Connections closed because no complete request arrived in time",
            families.request_timeouts.clone(),
        );
        http.register(
            "write_timeouts",
            "Connections and HTTP/2 streams cut because their client did not read or close in time",
            families.write_timeouts.clone(),
        );
        http.register("requests", "Answered requests, by route and status", families.requests.clone());
        families
    }

    pub(super) fn server(&self, server: &'static str, transport: &'static str) -> HttpServerMetrics {
        let labels = ServerLabels { server, transport };
        let counter = |family: &Family<ServerLabels, Counter>| family.get_or_create_owned(&labels);
        HttpServerMetrics {
            server,
            open: self.open.get_or_create_owned(&labels),
            accepted: counter(&self.accepted),
            evicted: counter(&self.evicted),
            handshake_failures: counter(&self.handshake_failures),
            request_timeouts: counter(&self.request_timeouts),
            write_timeouts: counter(&self.write_timeouts),
            requests: self.requests.clone(),
        }
    }
}

/// The metrics of one HTTP server.
pub struct HttpServerMetrics {
    server: &'static str,
    open: Gauge<i64, AtomicI64>,
    accepted: Counter,
    evicted: Counter,
    handshake_failures: Counter,
    request_timeouts: Counter,
    write_timeouts: Counter,
    requests: Family<RequestLabels, Counter>,
}

impl HttpServerMetrics {
    fn set_open(&self, open: usize) {
        self.open.set(i64::try_from(open).unwrap_or(i64::MAX));
    }
}

impl HttpMetrics for HttpServerMetrics {
    fn connection_accepted(&self, open: usize) {
        self.set_open(open);
        self.accepted.inc();
    }

    fn connection_closed(&self, open: usize) {
        self.set_open(open);
    }

    fn connections_evicted(&self, connections: usize) {
        self.evicted.inc_by(connections as u64);
    }

    fn handshake_failed(&self) {
        self.handshake_failures.inc();
    }

    fn request_timed_out(&self) {
        self.request_timeouts.inc();
    }

    fn write_timed_out(&self) {
        self.write_timeouts.inc();
    }

    fn answered(&self, route: &'static str, status: u16) {
        self.requests.get_or_create(&RequestLabels { server: self.server, route, status }).inc();
    }
}
