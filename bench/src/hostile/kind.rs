//! What hostile clients send, and what they do next.

use std::{net::SocketAddr, time::Duration};

use clap::ValueEnum;

use super::frames::{Field, begun_request, ping, preface, request};
use crate::run::{token, user};

/// The largest ordinary page of the service.
const PAGE: &str = "/docs";
/// Of a head that does not end; a service accepts somewhat more.
const HEAD_BYTES: usize = 60 * 1024;
/// Of a body that does not come.
const BODY_BYTES: usize = 4096;
const TRICKLE_INTERVAL: Duration = Duration::from_millis(200);
/// PINGs in one write.
const PINGS: usize = 1000;
/// A TLS record of 512 bytes that holds a `ClientHello` of 508, both up to the version (RFC 8446, 5.1 and 4.1.2).
const CLIENT_HELLO: [u8; 11] = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
const HALF_CLIENT_HELLO_BYTES: usize = 256;

/// Whom the clients connect to.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) server: SocketAddr,
    /// The path of the stream.
    pub(super) path: String,
    pub(super) secret: String,
}

impl Target {
    /// The begin of a request's head, up to its host.
    pub(super) fn http1(&self, method: &str, path: &str) -> String {
        format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.server)
    }

    fn http2(&self, path: &str) -> [Field; 4] {
        let scheme = "http".to_owned();
        let (authority, path) = (self.server.to_string(), path.to_owned());
        [(":method", "GET".to_owned()), (":scheme", scheme), (":authority", authority), (":path", path)]
    }

    /// The token of the client with this number, which is a user of its own.
    pub(super) fn token(&self, number: usize) -> String {
        token(&user(number), &self.secret)
    }
}

/// What hostile clients do.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Connect and say nothing
    Silent,
    /// Send one byte that may begin a request of HTTP/2, and close the sending side
    Prefix,
    /// Send 60 KiB of a request's head, and not its end
    Head,
    /// Send a request byte by byte
    Trickle,
    /// Announce 4 KiB of a request's body, and send none of it
    Body,
    /// Ask for a page and read nothing of it
    Unread,
    /// Open a stream and read nothing of its events
    Stalled,
    /// Begin HTTP/2 and ask for nothing
    Http2Silent,
    /// Begin the head of a request with HTTP/2, and never end it
    Http2Head,
    /// Ask for a page on all streams of HTTP/2 at once, with closed flow control
    Http2Unread,
    /// Open an event stream with HTTP/2 with closed flow control
    Http2Stalled,
    /// Send PINGs with HTTP/2 as fast as possible, and read no answer
    Http2Ping,
    /// Send the first half of a TLS handshake's first message
    Handshake,
}

/// Up to which layer a connection is established before the client turns hostile.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    Tcp,
    /// TLS if the server speaks it, and HTTP/1.1.
    Http1,
    /// TLS if the server speaks it, and HTTP/2.
    Http2,
}

/// What a hostile client does on its connection.
pub(super) struct Plan {
    /// It sends this first.
    pub(super) opening: Vec<u8>,
    pub(super) next: Next,
}

pub(super) enum Next {
    /// It holds the connection.
    Hold,
    /// It closes its sending side.
    HalfClose,
    /// It sends `bytes` again and again, a `piece` at an interval.
    Repeat { bytes: Vec<u8>, piece: usize, interval: Duration },
    /// It sends this request of HTTP/2 on as many streams as the server allows.
    FillStreams(Vec<Field>),
}

impl Kind {
    /// As it is named on the command line.
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

    /// Whether events are published to the clients' users.
    pub(super) fn takes_events(self) -> bool {
        matches!(self, Self::Stalled)
    }

    /// The plan of the client with this number.
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
            Self::Http2Head => hold([preface(None), begun_request(1, &target.http2(PAGE))].concat()),
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
