//! The messages of a hostile client: every protocol of the service, and arbitrary bytes.

use std::{fmt, io::Cursor};

use proptest::{collection::vec, prelude::*, sample::select};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::{
    frames::{self, encode},
    service::token,
};

/// The user in the token of hostile clients.
pub(super) const USER: &str = "hostile";
const LANGUAGE: &str = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse/language";

/// A sequence of messages in one protocol.
#[derive(Clone, Debug)]
pub(super) enum Script {
    /// Pipelined requests.
    Http1(Vec<Request>),
    /// The preface followed by frames.
    Http2(Vec<Frame>),
    /// A `ClientHello` of rustls, with or without TLS on the server.
    ClientHello,
    Garbage(Garbage),
}

/// Bytes that are printed as text.
#[derive(Clone)]
pub(super) struct Garbage(Vec<u8>);

impl fmt::Debug for Garbage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "b\"{}\"", self.0.escape_ascii())
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Request {
    Stream,
    StreamWithoutToken,
    Stream10,
    Health,
    Metrics,
    Page,
    PutLanguage,
    PutLanguageInChunks,
    ExpectContinue,
    UpgradeToHttp2,
    Close,
}

#[derive(Clone, Debug)]
pub(super) enum Frame {
    Settings { initial_window: u32 },
    Get { stream: u32, path: &'static str },
    Put { stream: u32 },
    UnfinishedHeaders { stream: u32 },
    Continuation { stream: u32, ends: bool },
    Data { stream: u32, bytes: usize, ends: bool },
    WindowUpdate { stream: u32, bytes: u32 },
    Reset { stream: u32 },
    Ping { ack: bool },
    GoAway,
    Other { kind: u8, flags: u8, stream: u32, bytes: usize },
}

const REQUESTS: [Request; 11] = [
    Request::Stream,
    Request::StreamWithoutToken,
    Request::Stream10,
    Request::Health,
    Request::Metrics,
    Request::Page,
    Request::PutLanguage,
    Request::PutLanguageInChunks,
    Request::ExpectContinue,
    Request::UpgradeToHttp2,
    Request::Close,
];

pub(super) fn script() -> impl Strategy<Value = Script> {
    prop_oneof![
        4 => vec(select(&REQUESTS[..]), 1..5).prop_map(Script::Http1),
        5 => vec(frame(), 0..9).prop_map(Script::Http2),
        1 => Just(Script::ClientHello),
        1 => vec(any::<u8>(), 0..300).prop_map(|bytes| Script::Garbage(Garbage(bytes))),
    ]
}

/// Most frames are for the first streams that a client would open.
fn frame() -> impl Strategy<Value = Frame> {
    let stream = || prop_oneof![8 => select(&[1_u32, 3, 5][..]), 1 => 0..10_u32, 1 => 0..=u32::MAX >> 1];
    let window = || prop_oneof![Just(0), Just(1), 0..100_000_u32, Just((1 << 31) - 1), any::<u32>()];
    let path = select(&["/sse", "/docs", "/healthz", "/metrics"][..]);
    prop_oneof![
        window().prop_map(|initial_window| Frame::Settings { initial_window }),
        (stream(), path).prop_map(|(stream, path)| Frame::Get { stream, path }),
        stream().prop_map(|stream| Frame::Put { stream }),
        stream().prop_map(|stream| Frame::UnfinishedHeaders { stream }),
        (stream(), any::<bool>()).prop_map(|(stream, ends)| Frame::Continuation { stream, ends }),
        (stream(), 0..2000_usize, any::<bool>()).prop_map(|(stream, bytes, ends)| Frame::Data {
            stream,
            bytes,
            ends
        }),
        (stream(), window()).prop_map(|(stream, bytes)| Frame::WindowUpdate { stream, bytes }),
        stream().prop_map(|stream| Frame::Reset { stream }),
        any::<bool>().prop_map(|ack| Frame::Ping { ack }),
        Just(Frame::GoAway),
        (any::<u8>(), any::<u8>(), stream(), 0..100_usize)
            .prop_map(|(kind, flags, stream, bytes)| Frame::Other { kind, flags, stream, bytes }),
    ]
}

impl Script {
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Http1(requests) => requests.iter().flat_map(|request| request.bytes()).collect(),
            Self::Http2(sent) => {
                let frames = sent.iter().flat_map(Frame::bytes);
                frames::PREFACE.iter().copied().chain(frames).collect()
            }
            Self::ClientHello => client_hello(),
            Self::Garbage(Garbage(bytes)) => bytes.clone(),
        }
    }

    pub(super) fn is_http_2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }
}

/// Returns the first flight of a TLS handshake.
fn client_hello() -> Vec<u8> {
    let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let name = "localhost".try_into().expect("a name");
    let mut connection = ClientConnection::new(config.into(), name).expect("a client");
    let mut flight = Cursor::new(Vec::new());
    connection.write_tls(&mut flight).expect("written");
    flight.into_inner()
}

impl Request {
    fn bytes(self) -> Vec<u8> {
        let token = token(USER);
        let put = format!(
            "PUT {LANGUAGE} HTTP/1.1\r\nhost: a\r\nx-access-token: {token}\r\ncontent-type: application/json\r\n"
        );
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n");
        match self {
            Self::Stream => format!("{}x-access-token: {token}\r\n\r\n", get("/sse")),
            Self::StreamWithoutToken => format!("{}\r\n", get("/sse")),
            Self::Stream10 => format!("GET /sse HTTP/1.0\r\nx-access-token: {token}\r\n\r\n"),
            Self::Health => format!("{}\r\n", get("/healthz")),
            Self::Metrics => format!("{}\r\n", get("/metrics")),
            Self::Page => format!("{}\r\n", get("/docs")),
            Self::PutLanguage => format!("{put}content-length: 17\r\n\r\n{{\"language\":\"de\"}}"),
            Self::PutLanguageInChunks => format!(
                "{put}transfer-encoding: chunked\r\n\r\n5\r\n{{\"lan\r\nc\r\nguage\":\"de\"}}\r\n0\r\n\r\n"
            ),
            Self::ExpectContinue => {
                format!("{put}expect: 100-continue\r\ncontent-length: 17\r\n\r\n{{\"language\":\"de\"}}")
            }
            Self::UpgradeToHttp2 => {
                format!("{}connection: upgrade, http2-settings\r\nupgrade: h2c\r\n\r\n", get("/sse"))
            }
            Self::Close => format!("{}connection: close\r\n\r\n", get("/sse")),
        }
        .into_bytes()
    }
}

impl Frame {
    fn bytes(&self) -> Vec<u8> {
        let token = token(USER);
        let with_token = [("x-access-token", &*token)];
        match *self {
            Self::Settings { initial_window } => {
                let settings = [&4_u16.to_be_bytes()[..], &initial_window.to_be_bytes()].concat();
                encode(frames::SETTINGS, 0, 0, &settings)
            }
            Self::Get { stream, path } => {
                let flags = frames::END_STREAM | frames::END_HEADERS;
                encode(frames::HEADERS, flags, stream, &frames::get(path, &with_token))
            }
            Self::Put { stream } => {
                let fields = [with_token[0], ("content-type", "application/json")];
                let head = frames::request("PUT", LANGUAGE, &fields);
                encode(frames::HEADERS, frames::END_HEADERS, stream, &head)
            }
            Self::UnfinishedHeaders { stream } => {
                encode(frames::HEADERS, frames::END_STREAM, stream, &frames::get("/sse", &with_token))
            }
            Self::Continuation { stream, ends } => {
                let flags = if ends { frames::END_HEADERS } else { 0 };
                encode(frames::CONTINUATION, flags, stream, &[])
            }
            Self::Data { stream, bytes, ends } => {
                let flags = if ends { frames::END_STREAM } else { 0 };
                encode(frames::DATA, flags, stream, &vec![b'x'; bytes])
            }
            Self::WindowUpdate { stream, bytes } => {
                encode(frames::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
            }
            Self::Reset { stream } => encode(frames::RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
            Self::Ping { ack } => encode(frames::PING, u8::from(ack), 0, &[0; 8]),
            Self::GoAway => encode(frames::GOAWAY, 0, 0, &[0; 8]),
            Self::Other { kind, flags, stream, bytes } => encode(kind, flags, stream, &vec![0; bytes]),
        }
    }
}
