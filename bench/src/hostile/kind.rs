//! The kinds of hostile clients.

use std::{net::SocketAddr, time::Duration};

use clap::ValueEnum;

use super::frames::{Field, ping, preface, request, unfinished_request};
use crate::run::{token, user};

/// The largest ordinary page of the service.
const PAGE: &str = "/docs";
/// The bytes of an unfinished head; a service accepts somewhat more.
const HEAD_BYTES: usize = 60 * 1024;
/// The length of a body that is not sent.
const BODY_BYTES: usize = 4096;
const TRICKLE_INTERVAL: Duration = Duration::from_millis(200);
/// The number of PINGs in one write.
const PINGS: usize = 1000;
/// A TLS record of 512 bytes that holds a `ClientHello` of 508, both up to the version (RFC 8446, 5.1 and 4.1.2).
const CLIENT_HELLO: [u8; 11] = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
const HALF_CLIENT_HELLO_BYTES: usize = 256;

/// The server that the clients connect to.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) server: SocketAddr,
    /// The path of the stream.
    pub(super) path: String,
    pub(super) secret: String,
}

impl Target {
    /// Returns the start of a request's head, up to its host.
    pub(super) fn http1(&self, method: &str, path: &str) -> String {
        format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.server)
    }

    fn http2(&self, path: &str) -> [Field; 4] {
        let scheme = "http".to_owned();
        let (authority, path) = (self.server.to_string(), path.to_owned());
        [(":method", "GET".to_owned()), (":scheme", scheme), (":authority", authority), (":path", path)]
    }

    /// Returns the token of the client with this number, which is a user of its own.
    pub(super) fn token(&self, number: usize) -> String {
        token(&user(number), &self.secret)
    }
}

/// The behaviour of hostile clients.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Connect and send nothing
    Silent,
    /// Send one byte that can start an HTTP/2 request, and close the sending side
    Prefix,
    /// Send 60 KiB of a request's head, without its end
    Head,
    /// Send a request byte by byte
    Trickle,
    /// Announce a request body of 4 KiB, and send none of it
    Body,
    /// Request a page and read nothing of it
    Unread,
    /// Open a stream and read none of its events
    Stalled,
    /// Start HTTP/2 and send no request
    Http2Silent,
    /// Start the head of an HTTP/2 request, and never end it
    Http2Head,
    /// Request a page on all streams of an HTTP/2 connection, with closed flow control
    Http2Unread,
    /// Open an event stream with HTTP/2 and closed flow control
    Http2Stalled,
    /// Send HTTP/2 PINGs as fast as possible, and read no answer
    Http2Ping,
    /// Send the first half of the first message of a TLS handshake
    Handshake,
}

/// The protocol layer up to which a connection is established before the client turns hostile.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    Tcp,
    /// TLS if enabled, and HTTP/1.1.
    Http1,
    /// TLS if enabled, and HTTP/2.
    Http2,
}

/// The actions of a hostile client on its connection.
pub(super) struct Plan {
    /// The bytes to send first.
    pub(super) opening: Vec<u8>,
    pub(super) next: Next,
}

pub(super) enum Next {
    /// Hold the connection.
    Hold,
    /// Close the sending side.
    HalfClose,
    /// Send `bytes` repeatedly, a `piece` at each interval.
    Repeat { bytes: Vec<u8>, piece: usize, interval: Duration },
    /// Send this HTTP/2 request on as many streams as the server allows.
    FillStreams(Vec<Field>),
}

impl Kind {
    /// Returns the name on the command line.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    pub(super) fn layer(self) -> Layer {
        match self {
            Self::Silent | Self::Handshake => Layer::Tcp,
            Self::Prefix | Self::Head | Self::Trickle | Self::Body | Self::Unread | Self::Stalled => {
                Layer::Http1
            }
            Self::Http2Silent
            | Self::Http2Head
            | Self::Http2Unread
            | Self::Http2Stalled
            | Self::Http2Ping => Layer::Http2,
        }
    }

    /// Returns whether events are published for the clients' users.
    pub(super) fn takes_events(self) -> bool {
        matches!(self, Self::Stalled)
    }

    /// Returns the plan of the client with this number.
    pub(super) fn plan(self, target: &Target, number: usize) -> Plan {
        let path = &target.path;
        let get = |path: &str| target.http1("GET", path);
        let unfinished_head = || format!("{}x-filler: {}", get(PAGE), "a".repeat(HEAD_BYTES)).into_bytes();
        let hold = |opening: Vec<u8>| Plan { opening, next: Next::Hold };
        match self {
            Self::Silent => hold(Vec::new()),
            Self::Prefix => Plan { opening: b"P".to_vec(), next: Next::HalfClose },
            Self::Head => hold(unfinished_head()),
            Self::Trickle => {
                let next = Next::Repeat { bytes: unfinished_head(), piece: 1, interval: TRICKLE_INTERVAL };
                Plan { opening: Vec::new(), next }
            }
            Self::Body => {
                let head = target.http1("PUT", &format!("{path}/language"));
                let body = format!("content-type: application/json\r\ncontent-length: {BODY_BYTES}\r\n");
                hold(format!("{head}{body}x-access-token: {}\r\n\r\n", target.token(number)).into_bytes())
            }
            Self::Unread => hold((get(PAGE) + "\r\n").into_bytes()),
            Self::Stalled => {
                hold(format!("{}x-access-token: {}\r\n\r\n", get(path), target.token(number)).into_bytes())
            }
            Self::Http2Silent => hold(preface(None)),
            Self::Http2Head => hold([preface(None), unfinished_request(1, &target.http2(PAGE))].concat()),
            Self::Http2Unread => {
                Plan { opening: preface(Some(0)), next: Next::FillStreams(target.http2(PAGE).to_vec()) }
            }
            Self::Http2Stalled => {
                let mut fields = target.http2(path).to_vec();
                fields.push(("x-access-token", target.token(number)));
                hold([preface(Some(0)), request(1, &fields)].concat())
            }
            Self::Http2Ping => {
                let bytes = ping().repeat(PINGS);
                let next = Next::Repeat { piece: bytes.len(), bytes, interval: Duration::ZERO };
                Plan { opening: preface(None), next }
            }
            Self::Handshake => {
                let mut hello = CLIENT_HELLO.to_vec();
                hello.resize(HALF_CLIENT_HELLO_BYTES, 0);
                hold(hello)
            }
        }
    }
}
