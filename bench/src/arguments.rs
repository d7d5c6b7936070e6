//! What can be asked.

use std::{net::SocketAddr, num::NonZeroUsize};

use clap::{Parser, ValueEnum};

use crate::hostile::Kind;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Open the streams, and see what they cost while nothing happens.
    Idle,
    /// Each event is for everybody.
    Broadcast,
    /// As broadcast, but the events are for everyone and name no user.
    Everyone,
    /// Each event is for one user, in turn.
    Unicast,
    /// Each event is another service's, which the server passes over; one stream says when it has passed all.
    Passing,
    /// As broadcast, against a bare send in this process instead of a server: the limit.
    Floor,
    /// As unicast, against a server in this process that reads from NATS and does one bare send for each event: the limit.
    UnicastFloor,
    /// Open the streams, say so in a line, and wait for the broadcast of another process.
    Listen,
    /// Be that other process: publish the broadcast, and open no streams.
    Publish,
    /// Open connections of clients that mean harm, and see what they take and whether others are served meanwhile.
    Hostile,
    /// Each event is for one user, in turn, while slow clients get more events of their own than they read.
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
            Self::Listen => "listen",
            Self::Publish => "publish",
            Self::Hostile => "hostile",
            Self::Slow => "slow",
        }
    }
}

/// Loads a running service, and says what arrived and what it cost. Exits with 1 when something was missing.
#[derive(Parser)]
#[command(version)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Arguments {
    pub(crate) mode: Mode,
    /// Where the service listens; of several, streams are opened in turn
    #[arg(long, default_value = "127.0.0.1:9135", value_delimiter = ',')]
    pub(crate) server: Vec<SocketAddr>,
    /// The path of the stream
    #[arg(long, default_value = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse")]
    pub(crate) path: String,
    /// The bus
    #[arg(long, default_value = "127.0.0.1:4222")]
    pub(crate) nats: String,
    /// The secret that tokens are signed with, as the service has it
    #[arg(long, env = "OCIS_JWT_SECRET", hide_env_values = true, default_value = "")]
    pub(crate) secret: String,
    /// The process id of the server, for its CPU and memory; several of several servers
    #[arg(long, value_delimiter = ',')]
    pub(crate) pid: Vec<i32>,
    /// How many users there are
    #[arg(long, default_value_t = 1000, default_value_if("mode", "slow", "10"))]
    pub(crate) users: usize,
    /// How many streams each of them opens
    #[arg(long, default_value_t = 1)]
    pub(crate) streams: usize,
    /// Open the streams over TLS; whatever certificate the server has is accepted
    #[arg(long)]
    pub(crate) tls: bool,
    /// Open the streams with HTTP/2: over TLS it is agreed on (ALPN), in the clear the server is taken to know it
    #[arg(long)]
    pub(crate) http2: bool,
    /// With HTTP/2, how many streams share a connection; servers have a limit, mostly of 100 or more
    #[arg(long, default_value = "100")]
    pub(crate) streams_per_connection: NonZeroUsize,
    /// How many streams are being opened at a time
    #[arg(long, default_value_t = 64)]
    pub(crate) opening: usize,
    /// How many events are published
    #[arg(long, default_value_t = 1000)]
    pub(crate) events: u64,
    /// How many events a second; as fast as the bus takes them unless it is said
    #[arg(long, default_value_if("mode", "slow", "100"))]
    pub(crate) rate: Option<u32>,
    /// How much longer than need be the content of an event is, in bytes
    #[arg(long, default_value_t = 200)]
    pub(crate) padding: usize,
    /// Of the floor: comments, such as keep a silent stream alive, instead of events
    #[arg(long)]
    pub(crate) comments: bool,
    /// In how many languages each event comes (5 at most); the streams ask for one after the other
    #[arg(long, default_value_t = 1)]
    pub(crate) languages: usize,
    /// What hostile clients do
    #[arg(long, required_if_eq("mode", "hostile"))]
    pub(crate) kind: Option<Kind>,
    /// How many hostile connections are opened
    #[arg(long, default_value_t = 1000)]
    pub(crate) connections: usize,
    /// How many slow clients there are, each a user of its own
    #[arg(long, default_value_t = 1)]
    pub(crate) slow: usize,
    /// How many bytes a second are published for each slow client, in events of 4 KiB
    #[arg(long, default_value_t = 2_400_000)]
    pub(crate) slow_bytes_per_second: u64,
    /// How many bytes a second each slow client reads; 0 for none at all
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) slow_read: u64,
    /// How long slow clients may read on after the last event was published, in seconds
    #[arg(long, default_value_t = 0)]
    pub(crate) drain_seconds: u64,
    /// How long idle streams are held, hostile connections at most, how long events are published beside slow clients, and how long after the last arrival one more is waited for, in seconds
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    /// One line of JSON instead of a text
    #[arg(long)]
    pub(crate) json: bool,
}
