//! The command line.

use std::{net::SocketAddr, num::NonZeroUsize};

use clap::{Parser, ValueEnum};

use crate::hostile::Kind;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Open the streams and measure their cost while no event is published.
    Idle,
    /// Each event is for all users, by their names.
    Broadcast,
    /// As broadcast, but each event names `all` instead of users.
    Everyone,
    /// Each event is for one user, in turn.
    Unicast,
    /// Each event is of another service, which the server skips; one stream gets a marker behind them.
    Passing,
    /// As broadcast, with a bare send in this process instead of a server: the lower bound of the cost.
    Floor,
    /// As unicast, with a server in this process that reads from NATS and does one bare send for each event: the lower
    /// bound of the cost.
    UnicastFloor,
    /// As idle over TLS, with a bare TLS accept and a fixed response in this process instead of a server: the lower bound
    /// of the CPU to open a stream.
    TlsFloor,
    /// Open the streams, print a line, and wait for the broadcast of another process (publish).
    Listen,
    /// Publish the broadcast for another process (listen), and open no streams.
    Publish,
    /// Open connections of hostile clients; measure their cost and whether ordinary requests are answered meanwhile.
    Hostile,
    /// As unicast, beside slow clients that get more events than they read.
    Slow,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Broadcast => "broadcast",
            Self::Everyone => "everyone",
            Self::Unicast => "unicast",
            Self::Passing => "passing",
            Self::Floor => "floor",
            Self::UnicastFloor => "unicast-floor",
            Self::TlsFloor => "tls-floor",
            Self::Listen => "listen",
            Self::Publish => "publish",
            Self::Hostile => "hostile",
            Self::Slow => "slow",
        }
    }
}

/// Loads a running service and reports the deliveries and their cost. Exits with 1 if something is missing.
#[derive(Parser)]
#[command(version)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Arguments {
    pub(crate) mode: Mode,
    /// Addresses of the service; with several, streams are opened in turn
    #[arg(long, default_value = "127.0.0.1:9135", value_delimiter = ',')]
    pub(crate) server: Vec<SocketAddr>,
    /// Path of the stream
    #[arg(long, default_value = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse")]
    pub(crate) path: String,
    /// Address of NATS
    #[arg(long, default_value = "127.0.0.1:4222")]
    pub(crate) nats: String,
    /// Secret for signing tokens, as in the service's configuration
    #[arg(long, env = "OCIS_JWT_SECRET", hide_env_values = true, default_value = "")]
    pub(crate) secret: String,
    /// Process ids of the servers, for measuring CPU and memory
    #[arg(long, value_delimiter = ',')]
    pub(crate) pid: Vec<i32>,
    /// Number of users
    #[arg(long, default_value_t = 1000, default_value_if("mode", "slow", "10"))]
    pub(crate) users: usize,
    /// Number of streams of each user
    #[arg(long, default_value_t = 1)]
    pub(crate) streams: usize,
    /// Send the token as a bearer token, as browsers do, to a proxy that exchanges it
    #[arg(long)]
    pub(crate) bearer: bool,
    /// Open the streams over TLS; every certificate is accepted
    #[arg(long)]
    pub(crate) tls: bool,
    /// Over TLS, resume the sessions of earlier connections, as the browser of a returning client does
    #[arg(long)]
    pub(crate) resume: bool,
    /// Open the streams with HTTP/2: negotiated over TLS (ALPN), with prior knowledge over plain TCP
    #[arg(long)]
    pub(crate) http2: bool,
    /// With HTTP/2, number of streams per connection; most servers allow 100 or more
    #[arg(long, default_value = "100")]
    pub(crate) streams_per_connection: NonZeroUsize,
    /// Number of streams that are being opened at a time
    #[arg(long, default_value_t = 64)]
    pub(crate) opening: usize,
    /// Number of events
    #[arg(long, default_value_t = 1000)]
    pub(crate) events: u64,
    /// Events per second; as fast as NATS accepts them by default
    #[arg(long, default_value_if("mode", "slow", "100"))]
    pub(crate) rate: Option<u32>,
    /// Additional content of each event, in bytes
    #[arg(long, default_value_t = 200)]
    pub(crate) padding: usize,
    /// For floor: send comments (keepalives) instead of events
    #[arg(long)]
    pub(crate) comments: bool,
    /// Number of languages of each event (at most 5); the streams ask for them in turn
    #[arg(long, default_value_t = 1)]
    pub(crate) languages: usize,
    /// Kind of hostile clients
    #[arg(long, required_if_eq("mode", "hostile"))]
    pub(crate) kind: Option<Kind>,
    /// Number of hostile connections
    #[arg(long, default_value_t = 1000)]
    pub(crate) connections: usize,
    /// Number of slow clients, each of which is a user of its own
    #[arg(long, default_value_t = 1)]
    pub(crate) slow: usize,
    /// Bytes per second that are published for each slow client, in events of 4 KiB
    #[arg(long, default_value_t = 2_400_000)]
    pub(crate) slow_bytes_per_second: u64,
    /// Bytes per second that each slow client reads; 0 for none
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) slow_read: u64,
    /// Seconds for which slow clients may read on after the last event was published
    #[arg(long, default_value_t = 0)]
    pub(crate) drain_seconds: u64,
    /// Seconds: how long idle streams are held, hostile connections are held at most, events are published beside slow
    /// clients, and a further arrival is waited for
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    /// Print one line of JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}
