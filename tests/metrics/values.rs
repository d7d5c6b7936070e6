//! What each metric counts.

use async_trait::async_trait;
use domain::{
    bookmark::{Bookmark, RequestId},
    keepalive::KeepalivePolicy,
    language::LanguageChoice,
    revocation::AccountChange,
};
use ocis_sse::use_cases::Inspection;
use ports::{
    inbound::Inspect as _,
    outbound::{BookmarkExchange, EndReason, Heard, LanguagePreferences, NotStored},
};
use tokio::sync::mpsc;

use super::*;

const LATENCY: Histogram = Histogram {
    name: "sse_delivery_latency_seconds",
    bounds: &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0],
};
const LAG_EVENTS: Histogram =
    Histogram { name: "sse_stream_lag_events", bounds: &[1.0, 10.0, 100.0, 1000.0, 10_000.0, 100_000.0] };
const LAG_BYTES: Histogram = Histogram {
    name: "sse_stream_lag_bytes",
    bounds: &[1024.0, 8192.0, 65_536.0, 524_288.0, 4_194_304.0, 33_554_432.0],
};
const NOTHING: [&str; 0] = [];

/// So many requests of a user.
fn requests(name: &str, streams: usize) -> impl Iterator<Item = StreamRequest> {
    std::iter::repeat_n(request(name), streams)
}

#[tokio::test(start_paused = true)]
async fn streams_and_users_are_those_that_are_open() {
    let mut service = Service::start(POLICY).await;
    let mut streams = service.open([request("a"), request("a"), request("b")]);
    service.changes(["sse_connections 3", "sse_connections_opened_total 3", "sse_users 2"]);
    streams.remove(0);
    service.changes(["sse_connections 2", r#"sse_connections_closed_total{reason="client"} 1"#]);
    streams.clear();
    service.changes([
        "sse_connections 0",
        r#"sse_connections_closed_total{reason="client"} 3"#,
        "sse_users 0",
    ]);
}

/// Each reason a different number of times. That the streams are dropped afterwards changes nothing.
#[tokio::test(start_paused = true)]
async fn ends_are_counted_once_and_by_their_reason() {
    let mut service = Service::start(StreamPolicy { max_age: Some(s(1000)), ..POLICY }).await;
    let nobody = ["sse_connections 0".to_owned(), "sse_users 0".to_owned()];
    let ended = |reason: &str, times: usize| {
        [&nobody[..], &[format!("sse_connections_closed_total{{reason=\"{reason}\"}} {times}")]].concat()
    };

    let mut streams = service.open(requests("a", 1));
    service.forget();
    streams.clear();
    service.changes(ended("client", 1));

    streams = service.open(requests("a", 2));
    service.forget();
    let (subscriptions, measurements) = (service.subscriptions.clone(), service.metrics.clone());
    assert_eq!(Inspection { subscriptions, measurements }.end_streams_of(&user("a")), 2);
    streams.clear();
    service.changes(ended("administrator", 2));

    let principal = Principal { until: s(10), ..request("a").principal };
    let expiring = StreamRequest { principal, ..request("a") };
    streams = service.open(std::iter::repeat_n(expiring, 3));
    service.forget();
    tokio::time::advance(s(11)).await;
    service.sweep().await;
    streams.clear();
    service.changes(ended("expired", 3));

    streams = service.open(requests("a", 4));
    service.forget();
    tokio::time::advance(s(1001)).await;
    service.sweep().await;
    streams.clear();
    service.changes(ended("old_age", 4));

    streams = service.open(requests("a", 5));
    service.forget();
    for stream in &mut streams {
        stream.close(EndReason::Slow);
    }
    streams.clear();
    service.changes([ended("slow", 5), vec!["sse_queue_evictions_total 5".into()]].concat());

    streams = service.open(requests("a", 6));
    service.forget();
    let disabled = AccountChange { user: user("a"), is_enabled: false, at: s(1000) };
    service.relay.handle(SourceEvent::AccountChanged(disabled));
    streams.clear();
    let changed = r#"sse_events_received_total{outcome="account_changed"} 1"#.to_owned();
    service.changes([ended("revoked", 6), vec![changed]].concat());

    streams = service.open(requests("b", 7));
    service.forget();
    service.publish(&["b"], "backchannel-logout", s(0));
    for stream in &mut streams {
        stream.take();
    }
    streams.clear();
    let delivered =
        [r#"sse_events_received_total{outcome="delivered"} 1"#.to_owned(), "sse_deliveries_total 7".into()];
    let latency = service.histogram(LATENCY, &[0.0]);
    service.changes([&ended("logout", 7)[..], &delivered, &latency].concat());

    // All but the newest of each client's streams are replaced.
    let tab = RequestId::try_new("a tab").expect("a request id");
    streams =
        service.open(requests("b", 9).map(|request| StreamRequest { request: Some(tab.clone()), ..request }));
    service.forget();
    tokio::time::advance(s(6)).await;
    service.sweep().await;
    service.changes(["sse_connections 1", r#"sse_connections_closed_total{reason="replaced"} 8"#]);
    streams.clear();
    service.forget();

    streams = service.open(requests("b", 9));
    service.forget();
    service.subscriptions.drain(s(1)).await;
    streams.clear();
    service.changes(ended("stopping", 9));
}

#[tokio::test(start_paused = true)]
async fn events_are_counted_once_and_by_what_becomes_of_them() {
    let mut service = Service::start(POLICY).await;
    let _streams = service.open([request("a"), request("a"), request("b")]);
    service.forget();
    // Named twice, a user gets it once.
    service.publish(&["a", "b", "a"], "t", s(0));
    service.changes([r#"sse_events_received_total{outcome="delivered"} 1"#, "sse_deliveries_total 3"]);
    service.publish(&["b"], "t", s(0));
    service.changes([r#"sse_events_received_total{outcome="delivered"} 2"#, "sse_deliveries_total 4"]);
    for _ in 0..3 {
        service.publish(&["nobody"], "t", s(0));
    }
    service.changes([r#"sse_events_received_total{outcome="no_subscriber"} 3"#]);
    for made in 1..=4 {
        let language = LanguageTag::try_new("de").ok();
        service.relay.handle(SourceEvent::LanguageChosen(LanguageChoice {
            user: user("nobody"),
            language,
            made: s(made),
        }));
    }
    service.changes([r#"sse_events_received_total{outcome="language_chosen"} 4"#]);
    for _ in 0..5 {
        let enabled = AccountChange { user: user("nobody"), is_enabled: true, at: s(0) };
        service.relay.handle(SourceEvent::AccountChanged(enabled));
    }
    service.changes([r#"sse_events_received_total{outcome="account_changed"} 5"#]);
}

/// From the time at which NATS took an event to the one at which the last of its streams takes it.
#[tokio::test(start_paused = true)]
async fn latency_includes_the_time_on_nats() {
    let mut service = Service::start(POLICY).await;
    let mut streams = service.open([request("a"), request("a"), request("b")]);
    for stream in &mut streams {
        stream.take();
    }
    service.publish(&["a", "b"], "t", s(2));
    service.forget();
    for stream in &mut streams {
        service.changes(NOTHING);
        tokio::time::advance(Duration::from_millis(750)).await;
        stream.take();
    }
    service.changes(service.histogram(LATENCY, &[4.25]));
    // Taken at once, or after a while, or when the last of its streams has ended, and long after the last bound.
    let (mut other, mut one) = (streams.pop().expect("of b"), streams.pop().expect("of a"));
    service.publish(&["b"], "t", s(0));
    other.take();
    service.publish(&["b"], "t", Duration::from_millis(250));
    other.take();
    service.publish(&["a"], "t", s(0));
    one.take();
    tokio::time::advance(s(1)).await;
    drop(streams);
    service.publish(&["b"], "t", s(50));
    other.take();
    service.forget_all_but(LATENCY.name);
    service.changes(service.histogram(LATENCY, &[4.25, 0.0, 0.25, 1.0, 50.0]));
}

#[tokio::test(start_paused = true)]
async fn replays_are_those_events_that_were_missed() {
    let mut service = Service::start(POLICY).await;
    for _ in 0..3 {
        service.publish(&["a"], "t", s(0));
    }
    let mut streams = service.open([after("a", &id(1))]);
    service.forget();
    streams[0].take();
    service.changes(["sse_replayed_events_total 2"]);
    service.publish(&["a"], "t", s(0));
    streams[0].take();
    service.forget_all_but("sse_replayed_events_total");
    service.changes(NOTHING);
}

#[tokio::test(start_paused = true)]
async fn gaps_are_counted_once_for_each_stream_and_by_their_reason() {
    // As much as a few events.
    let log = LogLimits { max_bytes: 4000, ..POLICY.log };
    let mut service = Service::start(StreamPolicy { log, ..POLICY }).await;
    let gap = |reason: &str, times: usize| format!("sse_gaps_total{{reason=\"{reason}\"}} {times}");
    service.publish(&["a"], "t", s(0));
    let takes = |service: &mut Service, last: &str, times: usize| {
        for mut stream in service.open(std::iter::repeat_n(after("a", &last), times)) {
            stream.take();
            stream.take();
        }
        service.forget_all_but("sse_gaps_total");
    };
    takes(&mut service, "no id", 3);
    service.changes([gap("unknown", 3)]);
    for _ in 0..30 {
        service.publish(&["a"], "t", s(0));
    }
    takes(&mut service, "1-1", 2);
    service.changes([gap("limit", 2)]);
    tokio::time::advance(s(61)).await;
    service.sweep().await;
    takes(&mut service, "1-31", 1);
    service.changes(NOTHING);
    takes(&mut service, "1-30", 4);
    service.changes([gap("expired", 4)]);
    // An open stream is told as well.
    let mut streams = service.open([request("a")]);
    streams[0].take();
    service.forget();
    let anew = EventId { incarnation: Incarnation::of(2), sequence: 0 };
    service.relay.handle(SourceEvent::Begins { after: anew });
    streams[0].take();
    service.changes([gap("unknown", 4)]);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_counted_by_the_limit() {
    let limits = StreamLimits { total: 3, per_user: 2 };
    let mut service = Service::start(StreamPolicy { limits, ..POLICY }).await;
    let streams = service.open([request("a"), request("a"), request("b")]);
    service.forget();
    let refused = |service: &Service, name: &str| assert!(service.ask(request(name)).is_err());
    refused(&service, "c");
    service.changes([r#"sse_limit_refusals_total{limit="total"} 1"#]);
    drop(streams);
    let _streams = service.open(requests("a", 2));
    service.forget();
    for _ in 0..2 {
        refused(&service, "a");
    }
    service.changes([r#"sse_limit_refusals_total{limit="user"} 2"#]);
    // When the service stops, that is no limit.
    service.subscriptions.drain(s(0)).await;
    service.forget();
    refused(&service, "c");
    service.changes(NOTHING);
}

/// Of a stream that has taken everything nothing is counted.
#[tokio::test(start_paused = true)]
async fn lag_is_that_of_each_stream_at_each_look() {
    let mut service = Service::start(POLICY).await;
    let mut streams = service.open([request("lags"), request("reads")]);
    for stream in &mut streams {
        stream.take();
    }
    for _ in 0..2 {
        service.publish(&["lags", "reads"], "t", s(0));
    }
    streams[1].take();
    service.forget();
    // An event of 1 byte, of a type of 1 byte. The other user is counted in the log alone.
    let bytes = f64::from(300 + 48 + 4);
    let lags = |service: &Service, looks: usize| {
        let events = service.histogram(LAG_EVENTS, &vec![2.0; looks]);
        [events, service.histogram(LAG_BYTES, &vec![2.0 * bytes; looks])].concat()
    };
    service.sweep().await;
    service.changes(lags(&service, 1));
    service.sweep().await;
    service.changes(lags(&service, 2));
    streams[0].take();
    service.forget();
    service.sweep().await;
    service.changes(NOTHING);
}

#[tokio::test(start_paused = true)]
async fn keepalives_are_those_of_silent_streams() {
    let keepalive = KeepalivePolicy::every(s(30));
    let log = LogLimits { max_age: Duration::ZERO, ..POLICY.log };
    let mut service = Service::start(StreamPolicy { keepalive, log, ..POLICY }).await;
    let mut streams = service.open(requests("a", 3));
    service.forget();
    for stream in &mut streams {
        stream.take();
    }
    tokio::time::advance(s(29)).await;
    service.sweep().await;
    service.changes(NOTHING);
    tokio::time::advance(s(1)).await;
    service.sweep().await;
    service.changes(["sse_keepalives_total 3"]);
    service.sweep().await;
    service.changes(NOTHING);
}

#[tokio::test(start_paused = true)]
async fn what_is_shared_over_nats_is_shown_as_it_is_now() {
    let mut service = Service::before_nats(POLICY);
    service.changes(NOTHING);
    service.relay.handle(SourceEvent::Subscribed);
    service.changes(["sse_bus_connected 1"]);
    service.relay.handle(SourceEvent::Interrupted { reason: "away".into() });
    service.changes(["sse_bus_connected 0"]);

    let unavailable =
        |bucket: &str, value: u8| format!("sse_bucket_unavailable{{bucket=\"{bucket}\"}} {value}");
    let (bookmarks, bucket) = FakeBucket::new();
    tokio::spawn(service.subscriptions.clone().hear(bucket));
    let (languages, preferences) = FakeBucket::new();
    tokio::spawn(LanguageChoices { subscriptions: service.subscriptions.clone(), preferences }.hear());
    bookmarks.send(Heard::Unavailable).expect("heard");
    settle().await;
    service.changes([unavailable("sse-resume", 1)]);
    languages.send(Heard::Unavailable).expect("heard");
    bookmarks.send(Heard::UpToDate).expect("heard");
    settle().await;
    service.changes([unavailable("sse-languages", 1), unavailable("sse-resume", 0)]);
    languages.send(Heard::UpToDate).expect("heard");
    settle().await;
    service.changes([unavailable("sse-languages", 0)]);
}

/// A bucket of which is heard what a test sends.
struct FakeBucket<T>(tokio::sync::Mutex<mpsc::UnboundedReceiver<Heard<T>>>);

impl<T> FakeBucket<T> {
    fn new() -> (mpsc::UnboundedSender<Heard<T>>, Arc<Self>) {
        let (sender, heard) = mpsc::unbounded_channel();
        (sender, Arc::new(Self(heard.into())))
    }

    async fn next(&self) -> Heard<T> {
        match self.0.lock().await.recv().await {
            Some(heard) => heard,
            None => std::future::pending().await,
        }
    }
}

#[async_trait]
impl BookmarkExchange for FakeBucket<Bookmark> {
    fn tell(&self, _: Bookmark) {}

    async fn hear(&self) -> Heard<Bookmark> {
        self.next().await
    }

    async fn close(&self) {}
}

#[async_trait]
impl LanguagePreferences for FakeBucket<LanguageChoice> {
    async fn choose(
        &self,
        _: UserId,
        _: Option<LanguageTag>,
        _: Option<Duration>,
    ) -> Result<LanguageChoice, NotStored> {
        Err(NotStored)
    }

    fn keep(&self, _: LanguageChoice) {}

    async fn hear(&self) -> Heard<LanguageChoice> {
        self.next().await
    }
}
