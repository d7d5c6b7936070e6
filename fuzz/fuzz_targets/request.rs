//! A request through the whole HTTP API. The input has the form of HTTP/1.1: the method and the path, the header
//! fields, an empty line, the body. `{token}` in a field that can carry a token stands for the valid one.

#![no_main]

use std::{
    cell::RefCell,
    io,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use adapters::{
    http_server::App,
    inbound::http::{AuditPolicy, CrossOrigin, HttpApi},
    outbound::{clock::SystemClock, jwt::JwtTickets},
};
use domain::{
    bookmark::RequestId,
    identity::{IssuedAt, Principal, UserId},
    language::{LanguagePriorityList, LanguageTag},
    origin::AllowedOrigin,
};
use libfuzzer_sys::fuzz_target;
use poem::{
    Body, Request,
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
};
use ports::{
    inbound::{
        MockChooseLanguage, MockEventStream, MockSubscribe, StreamRequest, Subscription, Taken, UserLanguage,
    },
    outbound::{MockMetrics, MockTokenVerifier, MockTraces, TokenRejected},
};
use serde_json::Value;
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
};

/// The only valid token. No other part of a request, a response or the log contains it.
const TOKEN: &str = "hunter2.hunter2.hunter2";
const MAY_CARRY_A_TOKEN: [&str; 4] = ["authorization", "x-access-token", "x-sse-ticket", "cookie"];
const LISTED_ORIGIN: &str = "https://a.example";

static APP: LazyLock<App> = LazyLock::new(app);
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));
/// The stream that the last request has opened.
static OPENED: Mutex<Option<StreamRequest>> = Mutex::new(None);

thread_local! {
    /// The log of the last request.
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fuzz_target!(init: log_everything(), |data: &[u8]| {
    let Some((request, fields)) = parse(data) else { return };
    let has_body = request.method() != Method::HEAD;
    LOG.take();
    OPENED.lock().expect("no panic").take();
    let response = RUNTIME.block_on(APP.answer(request));
    let opened = OPENED.lock().expect("no panic").take();
    let status = response.status();
    assert!(!status.is_server_error(), "{status}");
    assert!(response.headers().get_all(header::VARY).iter().any(|names| names == "Origin"));
    assert_eq!(status == StatusCode::OK && response.content_type() == Some("text/event-stream"), opened.is_some());
    if let Some(opened) = opened {
        fields.check(&opened);
    }
    let headers = format!("{:?}", response.headers());
    if status.is_client_error() && has_body {
        assert_eq!(response.content_type(), Some("application/problem+json"), "{status}");
        let body = RUNTIME.block_on(response.into_body().into_vec()).expect("a body");
        let problem: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(problem["status"], status.as_u16());
        assert!(!problem.to_string().contains(TOKEN));
    }
    let log = LOG.take();
    assert!(!headers.contains(TOKEN) && !String::from_utf8_lossy(&log).contains(TOKEN));
});

fn log_everything() {
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(|| Log)
        .init();
}

/// The fields of a request, for a naive check.
struct Fields {
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Fields {
    fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_bytes())
    }

    fn first_text(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.all(name).next()?).ok()
    }

    /// Checks that the request may open a stream, and that the stream has the requested parameters.
    fn check(&self, opened: &StreamRequest) {
        assert_eq!(self.all("x-sse-ticket").next(), None, "a ticket from no address opens no stream");
        let carries_token = |name| self.all(name).any(|value| String::from_utf8_lossy(value).contains(TOKEN));
        let in_header = carries_token("authorization") || carries_token("x-access-token");
        let from_own_origin = self.first_text("sec-fetch-site") == Some("same-origin");
        let from_listed_origin =
            self.first_text("origin").is_some_and(|origin| origin.eq_ignore_ascii_case(LISTED_ORIGIN));
        assert!(
            in_header || carries_token("cookie") && (from_own_origin || from_listed_origin),
            "the request has no accepted token"
        );
        if let Some(id) = self.all("last-event-id").next() {
            assert_eq!(opened.last_event_id.as_deref(), Some(&*String::from_utf8_lossy(id)));
        }
        let request_id =
            self.first_text("x-request-id").filter(|id| (1..=200).contains(&id.len()) && id.is_ascii());
        assert_eq!(opened.request.as_ref().map(RequestId::as_str), request_id);
        let languages: Vec<_> = self.all("accept-language").filter(|line| line.is_ascii()).collect();
        let languages = String::from_utf8(languages.join(&b','));
        assert_eq!(
            opened.accept_language,
            LanguagePriorityList::from_accept_language(&languages.expect("ASCII"))
        );
    }
}

/// Returns the request and a copy of its header fields; `None` if hyper would reject it.
fn parse(data: &[u8]) -> Option<(Request, Fields)> {
    let mut rest = data;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        line.strip_suffix(b"\r").unwrap_or(line)
    };
    let start = str::from_utf8(line()).ok()?;
    let (method, path) = start.split_once(' ')?;
    let mut request =
        Request::builder().method(method.parse::<Method>().ok()?).uri(path.parse::<Uri>().ok()?);
    let mut fields = Vec::new();
    loop {
        let field = line();
        if field.is_empty() {
            break;
        }
        let colon = field.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&field[..colon]).ok()?;
        let mut value = field[colon + 1..].trim_ascii().to_vec();
        if MAY_CARRY_A_TOKEN.contains(&name.as_str()) {
            value = String::from_utf8_lossy(&value).replace("{token}", TOKEN).into_bytes();
        }
        let value = HeaderValue::from_bytes(&value).ok()?;
        request = request.header(name.clone(), value.clone());
        fields.push((name, value));
    }
    Some((request.body(Body::from_bytes(rest.to_vec().into())), Fields { fields }))
}

fn app() -> App {
    let user = UserId::try_new("einstein").expect("a user id");
    let mut verifier = MockTokenVerifier::new();
    verifier.expect_verify().returning(move |token| match token {
        TOKEN => Ok(Principal {
            user: user.clone(),
            issued_at: IssuedAt::UNKNOWN,
            expires_at: Duration::MAX,
            session_id: None,
        }),
        "expired" => Err(TokenRejected::Expired),
        "nobody" => Err(TokenRejected::NoUser),
        "share" => Err(TokenRejected::Scope),
        _ => Err(TokenRejected::Invalid),
    });
    let mut subscribe = MockSubscribe::new();
    subscribe.expect_subscribe().returning(|request, _| {
        *OPENED.lock().expect("no panic") = Some(request);
        let mut stream = MockEventStream::new();
        stream.expect_take().returning(Taken::default);
        stream.expect_close().returning(Some);
        Ok(Subscription { language: LanguageTag::default(), stream: Box::new(stream) })
    });
    let mut choose_language = MockChooseLanguage::new();
    choose_language.expect_choose().returning(|_, _| Ok(()));
    choose_language.expect_language().returning(|_, requested| {
        let effective = requested.as_ref().and_then(LanguagePriorityList::first).unwrap_or_default();
        UserLanguage { chosen: None, effective }
    });
    let mut metrics = MockMetrics::new();
    metrics.expect_authentication_failed().return_const(());
    metrics.expect_ticket_issued().return_const(());
    let mut traces = MockTraces::new();
    traces.expect_continue_from().return_const(());
    let (_, cross_origin) = watch::channel(CrossOrigin {
        allow_origins: [LISTED_ORIGIN, "https://*.b.example"]
            .map(|origin| AllowedOrigin::try_new(origin).expect("an origin"))
            .into(),
        allow_methods: vec!["GET".into()],
        allow_headers: vec!["Authorization".into()],
        allow_credentials: true,
        token_cookie: Some("token".into()),
    });
    let (_, audit) = watch::channel(AuditPolicy { enabled: true, trusted_proxies: Vec::new() });
    // The requests of this target come from no address.
    let (_, ticket_clients) = watch::channel(vec!["0.0.0.0/0".parse().expect("a network")]);
    let http = HttpApi {
        subscribe: Arc::new(subscribe),
        choose_language: Arc::new(choose_language),
        verifier: Arc::new(verifier),
        tickets: Arc::new(JwtTickets::new(
            "a secret of at least thirty-two bytes",
            None,
            Arc::new(SystemClock),
        )),
        ticket_clients,
        metrics: Arc::new(metrics),
        clock: Arc::new(SystemClock),
        traces: Arc::new(traces),
        cross_origin,
        audit,
        root: "/".into(),
        version: "0",
    };
    http.app(|routes| routes)
}

/// Writes to [`LOG`].
struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
