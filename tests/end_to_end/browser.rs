//! A client that reconnects like a browser and records the events it receives.

use std::{sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Full};
use hyper::{Method, body::Incoming};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use uuid::Uuid;

use crate::{
    eventually,
    ledger::{Entry, Ledger},
    requests::{Requests, request_to},
    service::token,
    transport::Server,
};

/// The path at which the platform's clients open their stream.
pub(crate) const PATH: &str = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse";

/// How a client tells the service its position when it reconnects.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResumeBy {
    /// With `Last-Event-ID`, like an `EventSource`.
    LastEventId,
    /// With the same `X-Request-ID`, like the platform's web client.
    RequestId,
}

/// The request header that has the client's token.
pub(crate) type Credential = (&'static str, String);

/// Returns the credential of a client that has the platform's token of `user`.
pub(crate) fn platform_token(user: &str) -> Credential {
    ("x-access-token", token(user))
}

/// One tab of a user, which reads its stream until it is dropped.
pub(crate) struct Browser {
    seen: Arc<Mutex<Seen>>,
    following: JoinHandle<()>,
}

/// The record of a tab.
#[derive(Default)]
struct Seen {
    ledger: Ledger,
    opened: usize,
    ended: usize,
}

impl Browser {
    /// Opens a tab with the platform's token of `user`.
    pub(crate) fn open(service: impl Into<Server>, user: &str, resume_by: ResumeBy) -> Self {
        Self::open_with(service, platform_token(user), resume_by)
    }

    pub(crate) fn open_with(service: impl Into<Server>, credential: Credential, resume_by: ResumeBy) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let tab = Tab {
            service: service.into(),
            credential,
            resume_by,
            request_id: Uuid::new_v4().to_string(),
            last_event_id: String::new(),
            seen: seen.clone(),
        };
        Self { seen, following: tokio::spawn(tab.follow()) }
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.seen.lock().ledger.clone()
    }

    /// Returns how many of its streams have ended, cleanly or not.
    pub(crate) fn ended(&self) -> usize {
        self.seen.lock().ended
    }

    pub(crate) fn is_open(&self) -> bool {
        let seen = self.seen.lock();
        seen.opened > seen.ended
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.following.abort();
    }
}

struct Tab {
    service: Server,
    credential: Credential,
    resume_by: ResumeBy,
    request_id: String,
    last_event_id: String,
    seen: Arc<Mutex<Seen>>,
}

impl Tab {
    async fn follow(mut self) {
        loop {
            if let Some(body) = self.connect().await {
                self.seen.lock().opened += 1;
                self.read(body).await;
                self.seen.lock().ended += 1;
            }
            // A browser waits for seconds; a short pause finds more faults in the same time.
            tokio::time::sleep(Duration::from_millis(rand::random_range(5..50))).await;
        }
    }

    /// Opens a stream; `None` if the service is unreachable or rejects the request temporarily.
    async fn connect(&self) -> Option<Incoming> {
        let mut requests = Requests::connect(self.service).await?;
        let mut request = request_to(self.service, Method::GET, PATH)
            .header(self.credential.0, &self.credential.1)
            .header("x-request-id", &self.request_id);
        if self.resume_by == ResumeBy::LastEventId && !self.last_event_id.is_empty() {
            request = request.header("last-event-id", &self.last_event_id);
        }
        let request = request.body(Full::default()).expect("a request");
        let response = requests.send(request).await.ok()?;
        match response.status().as_u16() {
            200 => Some(response.into_body()),
            502..=504 => None,
            other => {
                self.seen.lock().ledger.entries.push(Entry::Unexpected(format!("status {other}")));
                None
            }
        }
    }

    /// Reads a stream to its end, clean or not.
    async fn read(&mut self, mut body: Incoming) {
        let mut reader = Reader::default();
        while let Some(Ok(frame)) = body.frame().await {
            let events = reader.read(frame.data_ref().map_or(&[], |data| data), &mut self.last_event_id);
            self.seen.lock().ledger.entries.extend(events.into_iter().map(entry));
        }
    }
}

fn entry(Event { event_type, data }: Event) -> Entry {
    let number = data.split(' ').next().and_then(|number| number.parse().ok());
    match (&*event_type, number) {
        ("stream-gap", _) => Entry::Gap(data),
        (_, Some(number)) => Entry::Event(number),
        _ => Entry::Unexpected(format!("{event_type}: {data}")),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Event {
    event_type: String,
    data: String,
}

/// A parser of one stream (WHATWG HTML, 9.2.6), for lines that end with LF.
#[derive(Default)]
struct Reader {
    line: Vec<u8>,
    id: String,
    event_type: String,
    data: Option<String>,
}

impl Reader {
    /// Returns the events that `bytes` complete. An id takes effect at its empty line, with or without an event; the id
    /// of an unfinished block is ignored.
    fn read(&mut self, bytes: &[u8], last_event_id: &mut String) -> Vec<Event> {
        let mut events = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.pop_if(|byte| *byte == b'\n').is_none() {
                break;
            }
            let line = std::mem::take(&mut self.line);
            if line.is_empty() {
                last_event_id.clone_from(&self.id);
                let event_type = std::mem::take(&mut self.event_type);
                events.extend(self.data.take().map(|data| Event { event_type, data }));
            } else {
                self.field(&String::from_utf8_lossy(&line));
            }
        }
        events
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => self.event_type = value.into(),
            "id" => self.id = value.into(),
            "data" => match &mut self.data {
                Some(data) => *data = format!("{data}\n{value}"),
                None => self.data = Some(value.into()),
            },
            // A comment has an empty name.
            _ => {}
        }
    }
}

#[test]
fn stream_is_parsed_like_in_a_browser() {
    let check = |stream: &str, expected: &[(&str, &str)], last_event_id: &str| {
        // The result must not depend on how the bytes are split.
        for length in [1, 2, 7, stream.len()] {
            let (mut reader, mut id) = (Reader::default(), "before".to_owned());
            let pieces = stream.as_bytes().chunks(length);
            let events: Vec<_> = pieces.flat_map(|piece| reader.read(piece, &mut id)).collect();
            let expected = expected
                .iter()
                .map(|(event_type, data)| Event { event_type: (*event_type).into(), data: (*data).into() });
            assert_eq!(events, expected.collect::<Vec<_>>(), "{stream:?}");
            assert_eq!(id, last_event_id, "{stream:?}");
        }
    };
    check("retry: 3000\nid: a-1\n\n", &[], "a-1");
    check("id: a-1\ndata: x\nevent: t\n\n", &[("t", "x")], "a-1");
    check("id: a-1\n\ndata: x\ndata:y\n\n: keepalive\n\nid: a-2\n\n", &[("", "x\ny")], "a-2");
    check("id: a-1\n\nid: a-2\ndata: unfinished\n", &[], "a-1");
    check("id: a-2\ndata", &[], "before");
    check("event: t\n\ndata\n\n", &[("", "")], "");
}

/// Answers the next request, and returns the lines of its head.
async fn answer(service: &TcpListener, head: &str, body: &str) -> Vec<String> {
    let (mut stream, _) = service.accept().await.expect("a connection");
    let mut request = vec![0; 4096];
    let length = stream.read(&mut request).await.expect("a request");
    let answer = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.expect("sent");
    String::from_utf8_lossy(&request[..length]).lines().map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn reconnects_with_its_last_event_id() {
    let check = async |resume_by: ResumeBy, remembered: Option<&str>| {
        let service = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let browser = Browser::open(service.local_addr().expect("bound"), "a", resume_by);
        let line = |request: &[String], name: &str| {
            request.iter().find_map(|line| line.strip_prefix(name)).map(ToOwned::to_owned)
        };
        let first = answer(&service, "200 OK", "id: a-7\n\nid: a-8\ndata: 1\n\nid: a-9\n").await;
        assert_eq!(line(&first, "last-event-id: "), None);
        let rejected = answer(&service, "503 Service Unavailable", "").await;
        let again = answer(&service, "200 OK", "event: stream-gap\ndata: {}\n\n").await;
        for request in [&rejected, &again] {
            assert_eq!(line(request, "last-event-id: ").as_deref(), remembered);
            assert_eq!(line(request, "x-request-id: "), line(&first, "x-request-id: "));
        }
        answer(&service, "401 Unauthorized", "").await;
        let expected = [Entry::Event(1), Entry::Gap("{}".into()), Entry::Unexpected("status 401".into())];
        eventually("all in the ledger", async || browser.ledger().entries == expected).await;
        assert_eq!(browser.ended(), 2);
    };
    check(ResumeBy::LastEventId, Some("a-8")).await;
    check(ResumeBy::RequestId, None).await;
}
