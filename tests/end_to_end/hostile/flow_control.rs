//! HTTP/2 streams that end while their window is closed. Their clients read, but never open the window.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use hyper::Method;
use serde_json::json;

use super::instance::{DRAIN_TIMEOUT, LEEWAY, WRITE_TIMEOUT, within};
use crate::{
    client,
    frames::{self, ACK, Client, DATA, DEFAULT_WINDOW, Frame, PING, RST_STREAM},
    nats::{Nats, Publisher},
    service::{Service, token, token_with},
};

pub(super) const SETTINGS: [(&str, &str); 2] =
    [("SSE_WRITE_TIMEOUT", "2s"), ("SSE_DEBUG_TOKEN", "let me in")];
const DEBUG_TOKEN: (&str, &str) = ("authorization", "Bearer let me in");
/// The lifetime of a short token, and of a stream with `SSE_MAX_STREAM_AGE`.
const TOKEN_LASTS: Duration = Duration::from_secs(4);
/// The write timeout of services whose streams end for another reason, which comes first.
const LONG_WRITE_TIMEOUT: Duration = Duration::from_secs(8);
/// The leeway of an expired token.
const TOKEN_LEEWAY: Duration = Duration::from_secs(5);

const STALLED: u32 = 1;
const NEIGHBOUR: u32 = 3;
const NEWCOMER: u32 = 5;
const WIDE: usize = 1 << 20;

/// A placeholder for the end of the connection.
const LAST: Frame = Frame { kind: frames::GOAWAY, flags: 0, stream: 0, payload: Vec::new() };

/// The size of the stalled stream's window.
#[derive(Clone, Copy, Debug)]
enum Window {
    Nothing,
    OneByte,
    /// The first block of a stream fits exactly.
    OpeningBlock,
    ClosingComment,
    Event,
    /// The stream's window is wide; the connection's window ends within an event.
    Connection,
}

const WINDOWS: [Window; 6] = [
    Window::Nothing,
    Window::OneByte,
    Window::OpeningBlock,
    Window::ClosingComment,
    Window::Event,
    Window::Connection,
];

/// The reason why the stalled stream ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reason {
    WriteTimeout,
    Logout,
    Expiry,
    Administrator,
    Age,
    Drain,
}

/// A connection with one stream whose window is closed and one whose window is open.
struct Connection {
    client: Client,
    window: Window,
    reason: Reason,
    user: String,
    /// Bytes received on each stream.
    stalled: usize,
    neighbour: Vec<u8>,
    /// Whether the server has closed the connection.
    is_over: bool,
}

impl Connection {
    async fn open(service: &Service, publisher: &Publisher, window: Window, reason: Reason) -> Self {
        let opening = opening_block(service).await;
        let bytes = match window {
            Window::Nothing => 0,
            Window::OneByte => 1,
            Window::OpeningBlock => opening,
            Window::ClosingComment => opening + 5,
            Window::Event => opening + 20,
            Window::Connection => WIDE,
        };
        let mut client = Client::connect_with(service.http, &frames::initial_window(bytes)).await;
        let user = format!("{window:?}-{reason:?}");
        let token = if reason == Reason::Expiry { short_token(&user) } else { token(&user) };
        client.get(STALLED, "/sse", &[("x-access-token", &token)]).await;
        client.follow(NEIGHBOUR, &neighbour(&user)).await;
        client.allow(NEIGHBOUR, WIDE).await;
        let mut this =
            Self { client, window, reason, user, stalled: 0, neighbour: Vec::new(), is_over: false };
        this.until("the neighbour's stream", |_, this| !this.neighbour.is_empty()).await.expect("in time");
        let large = "x".repeat(DEFAULT_WINDOW - 1000);
        match window {
            Window::Event => publisher.event(&[&this.user], "t", &large).await,
            Window::Connection => {
                publisher.events(&[&this.user], "t", [large.clone(), large].into_iter()).await;
            }
            _ => {}
        }
        let full = |this: &Self| match window {
            Window::Connection => this.stalled + this.neighbour.len() == DEFAULT_WINDOW,
            // An id becomes a digit longer from time to time.
            Window::ClosingComment => this.stalled >= opening,
            _ => this.stalled == bytes,
        };
        // The window can already be full.
        if !full(&this) {
            this.until("a closed window", |_, this| full(this)).await.expect("in time");
        }
        if !matches!(window, Window::Connection) {
            this.client.allow(0, WIDE).await;
        }
        this
    }

    /// Returns whether the neighbour stays open: neither its age nor a shared window ends it.
    fn neighbour_stays(&self) -> bool {
        !matches!((self.window, self.reason), (Window::Connection, _) | (_, Reason::Age | Reason::Drain))
    }

    /// Reads until `found`, answers pings and opens only the neighbour's window.
    async fn until(
        &mut self,
        what: &str,
        mut found: impl FnMut(&Frame, &Self) -> bool,
    ) -> Result<(), String> {
        let limit = match self.reason {
            Reason::WriteTimeout | Reason::Drain => 2 * WRITE_TIMEOUT,
            _ => LONG_WRITE_TIMEOUT + TOKEN_LASTS,
        };
        let read = async {
            loop {
                let Some(frame) = self.client.next().await else {
                    self.is_over = true;
                    return if found(&LAST, self) { Ok(()) } else { Err(format!("{what}: an end")) };
                };
                match (frame.kind, frame.stream) {
                    (PING, _) if frame.flags & ACK == 0 => {
                        self.client.send(PING, ACK, 0, &frame.payload).await;
                    }
                    (DATA, STALLED) => self.stalled += frame.payload.len(),
                    (DATA, _) => self.neighbour.extend(&frame.payload),
                    (RST_STREAM, NEIGHBOUR) if self.neighbour_stays() => {
                        return Err(format!("{what}: the neighbour was reset"));
                    }
                    _ => {}
                }
                if found(&frame, self) {
                    return Ok(());
                }
            }
        };
        within(what, limit + LEEWAY, read).await.flatten()
    }

    /// Checks that the stalled stream ends on the wire and that its neighbour goes on.
    async fn ends(mut self, service: &Service, publisher: &Publisher) -> Result<(), String> {
        let what = format!("the end of {:?} × {:?}", self.window, self.reason);
        let (reason, user) = (self.reason, self.user.clone());
        let cause = async {
            end(reason, &user, service, publisher).await;
            std::future::pending().await
        };
        let ended =
            self.until(&what, |frame, this| frame.stream == STALLED && frame.ends_stream() || this.is_over);
        tokio::select! {
            never = cause => return never,
            ended = ended => ended?,
        }
        if reason == Reason::Drain {
            return self.until(&what, |_, this| this.is_over).await;
        }
        if self.is_over {
            return Err(format!("{what}: the connection has ended as well"));
        }
        self.neighbour.clear();
        if let Window::Connection = self.window {
            self.client.allow(0, WIDE).await;
        }
        let neighbour = neighbour(&user);
        if !self.neighbour_stays() {
            self.client.follow(NEWCOMER, &neighbour).await;
            self.client.allow(NEWCOMER, WIDE).await;
            self.until("a new stream", |frame, _| frame.kind == DATA && frame.stream == NEWCOMER).await?;
        }
        publisher.event(&[&neighbour], "t", "still there").await;
        let event = b"data: still there\n";
        self.until(&format!("{what}: the neighbour's event"), |_, this| {
            this.neighbour.windows(event.len()).any(|bytes| bytes == event)
        })
        .await
    }
}

/// Makes the service end the streams of `user`, unless the passing time does.
async fn end(reason: Reason, user: &str, service: &Service, publisher: &Publisher) {
    match reason {
        Reason::WriteTimeout => loop {
            publisher.event(&[user], "t", "one more").await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        },
        Reason::Logout => publisher.event(&[user], "backchannel-logout", "{}").await,
        Reason::Administrator => end_by_administrator(service, user).await,
        Reason::Drain => service.stop(),
        Reason::Expiry | Reason::Age => {}
    }
}

pub(super) async fn end_by_administrator(service: &Service, user: &str) {
    let headers = [DEBUG_TOKEN, ("content-type", "application/json")];
    let (path, body) = ("/inspect/streams/end", json!({ "user": user }).to_string());
    let answer = client::request_with(service.debug, Method::POST, path, &headers, body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn neighbour(user: &str) -> String {
    format!("neighbour of {user}")
}

/// Returns a token whose leeway ends soon.
fn short_token(user: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "a token's time is the wall clock's")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let expires = (now + TOKEN_LASTS).saturating_sub(TOKEN_LEEWAY);
    token_with(&json!({
        "aud": ["reva"], "exp": expires.as_secs(),
        "user": { "id": { "opaque_id": user } }, "scope": { "user": {} },
    }))
}

/// Returns the size of the first block of a stream, in bytes.
async fn opening_block(service: &Service) -> usize {
    let mut client = Client::connect(service.http).await;
    client.follow(STALLED, "probe").await;
    loop {
        let frame = client.next().await.expect("no end");
        if frame.kind == DATA {
            return frame.payload.len();
        }
    }
}

#[tokio::test]
async fn every_ended_stream_ends_on_the_wire() {
    let nats = Nats::start().await;
    let publisher = nats.publisher().await;
    let patient = [&SETTINGS[..], &[("SSE_WRITE_TIMEOUT", "8s")]].concat();
    let aging = [&patient[..], &[("SSE_MAX_STREAM_AGE", "4s")]].concat();
    let (impatient, patient, aging) = (
        Service::start(&nats, &SETTINGS).await,
        Service::start(&nats, &patient).await,
        Service::start(&nats, &aging).await,
    );
    let reasons = [Reason::WriteTimeout, Reason::Logout, Reason::Expiry, Reason::Administrator, Reason::Age];
    let cases = reasons.iter().flat_map(|reason| WINDOWS.map(|window| (window, *reason)));
    let cases = cases.map(async |(window, reason)| {
        let service = match reason {
            Reason::WriteTimeout => &impatient,
            Reason::Age => &aging,
            _ => &patient,
        };
        Connection::open(service, &publisher, window, reason).await.ends(service, &publisher).await
    });
    let mut failures: Vec<_> = join_all(cases).await.into_iter().filter_map(Result::err).collect();
    let counted = [
        (&impatient, "write_timeout", WINDOWS.len()),
        (&patient, "logout", WINDOWS.len()),
        (&patient, "expired", WINDOWS.len()),
        (&patient, "administrator", WINDOWS.len()),
        // The neighbours age too.
        (&aging, "old_age", 2 * WINDOWS.len()),
    ];
    for (service, reason, streams) in counted {
        let metrics = client::get(service.debug, "/metrics", &[DEBUG_TOKEN]).await.body;
        let metric = format!("sse_connections_closed_total{{reason=\"{reason}\"}} ");
        let ended = metrics.lines().find_map(|line| line.strip_prefix(&metric)?.parse().ok()).unwrap_or(0);
        if ended < streams {
            failures.push(format!("{ended} instead of {streams} streams ended with the reason {reason}"));
        }
    }

    let mut stopping = Service::start(&nats, &SETTINGS).await;
    let mut connections = Vec::new();
    for window in WINDOWS {
        connections.push(Connection::open(&stopping, &publisher, window, Reason::Drain).await);
    }
    let ends = connections.into_iter().map(|connection| connection.ends(&stopping, &publisher));
    failures.extend(join_all(ends).await.into_iter().filter_map(Result::err));
    let stopped = within("the end of the service", DRAIN_TIMEOUT + WRITE_TIMEOUT, stopping.stopped());
    failures.extend(stopped.await.err());
    assert!(failures.is_empty(), "{failures:#?}");
}
