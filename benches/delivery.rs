//! The path of one event within the process: appended once, and taken by many connections.

use std::{hint::black_box, sync::Arc, thread, time::Duration};

use adapters::{
    inbound::http::EventFrames,
    outbound::{
        clock::SystemClock,
        embedded::{EmbeddedPreferences, EmbeddedStore},
        otlp::TraceContext,
        prometheus::PrometheusMetrics,
    },
};
use criterion::{BatchSize, Bencher, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use domain::{
    content::{Content, Translation, TranslationIndex},
    identity::{IssuedAt, Principal, UserId},
    keepalive::KeepalivePolicy,
    language::{LanguagePriorityList, LanguageTag},
    log::{LogLimits, StreamLimits},
    notification::{EventId, EventType, Incarnation, Notification, Recipients},
};
use ocis_sse::use_cases::{LanguageChoices, Relay, Status, StreamPolicy, Subscriptions};
use ports::{
    inbound::{Connection, EventStream, OnSuspended, StreamRequest, Subscribe as _},
    outbound::{Frames as _, MessageMetadata, SourceEvent},
};
use tokio::{
    runtime::{Builder, Runtime},
    task::yield_now,
};

const fn id(sequence: u64) -> EventId {
    EventId { incarnation: Incarnation::of(0x019a_b4cf_02d1), sequence }
}

/// The default policy of the service.
const POLICY: StreamPolicy = StreamPolicy {
    limits: StreamLimits { total: 20_000, per_user: 64 },
    log: LogLimits { max_age: Duration::from_mins(5), max_bytes: 256 << 20 },
    resume_window: Duration::from_mins(2),
    unacknowledged: Duration::from_mins(1),
    keepalive: KeepalivePolicy::every(Duration::from_secs(30)),
    max_age: None,
    reconnection_time: Some(Duration::from_secs(3)),
    drain_rate: None,
    close_on_logout: true,
    replace_streams: false,
};

/// Returns a text like those of the platform: a few hundred bytes of JSON.
fn text(language: &str) -> String {
    format!("{{\"itemid\":\"{}\",\"etag\":\"\\\"x\\\"\",\"in\":\"{language}\"}}", "a".repeat(230))
}

fn notification(content: Content, recipients: Vec<UserId>) -> Notification {
    let event_type = EventType::try_new("postprocessing-finished").expect("an event type");
    Notification {
        id: id(0),
        recipients: Recipients::Users(recipients),
        event_type,
        content,
        session_id: None,
    }
}

/// Returns content in these languages, the first of which is the fallback.
fn content(languages: &[&str]) -> Content {
    let tag = |language: &&str| LanguageTag::try_new(language).expect("a language tag");
    let translated = languages.iter().skip(1);
    let translations =
        translated.map(|language| Translation { language: tag(language), text: text(language) }).collect();
    Content::new(languages.first().map(|language| text(language)), languages.first().map(tag), translations)
}

fn encode(criterion: &mut Criterion) {
    let notification = notification(content(&["en"]), Vec::new());
    criterion.bench_function("encode one event", |bencher| {
        bencher.iter(|| EventFrames.event(black_box(&notification), TranslationIndex::FALLBACK));
    });
}

fn user(n: usize) -> UserId {
    UserId::try_new(&format!("user-{n}")).expect("a user id")
}

/// A connection that needs no wakeup: the benchmark takes from all streams.
struct NoConnection;

impl Connection for NoConnection {
    fn wake(&self) -> bool {
        true
    }

    fn finish(&self) {}

    fn suspend(self: Arc<Self>, on_suspended: OnSuspended) {
        on_suspended(None);
    }

    fn resume(&self) {}

    fn release(self: Arc<Self>) {}
}

/// The service between NATS and the sockets, with one stream for each user. The streams request the languages of
/// `accept_language` in turn.
struct Service {
    /// Runs the tasks that the service has spawned.
    _runtime: Runtime,
    relay: Relay,
    open: Vec<Box<dyn EventStream>>,
}

impl Service {
    fn with(streams: usize, accept_language: &[&str]) -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let (clock, metrics) = (Arc::new(SystemClock), Arc::new(PrometheusMetrics::new("bench")));
        let subscriptions = Subscriptions::new(
            POLICY,
            LanguageTag::default(),
            Arc::new(EventFrames),
            metrics.clone(),
            clock.clone(),
            None,
        );
        let preferences = Arc::new(EmbeddedPreferences::new(EmbeddedStore::default(), clock.clone()));
        let languages = LanguageChoices { subscriptions: subscriptions.clone(), preferences };
        runtime.spawn(languages.clone().follow());
        let relay = Relay {
            subscriptions: subscriptions.clone(),
            languages,
            metrics,
            clock,
            status: Arc::new(Status::default()),
            traces: Arc::new(TraceContext),
        };
        relay.handle(SourceEvent::Resync { after: id(0) });
        relay.handle(SourceEvent::Subscribed);
        runtime.block_on(yield_now());
        let open = (0..streams).map(|n| {
            let request = StreamRequest {
                principal: Principal {
                    user: user(n),
                    issued_at: IssuedAt::UNKNOWN,
                    expires_at: Duration::MAX,
                    session_id: None,
                },
                last_event_id: None,
                request: None,
                accept_language: LanguagePriorityList::from_accept_language(
                    accept_language[n % accept_language.len()],
                ),
                types: None,
            };
            subscriptions.subscribe(request, Arc::new(NoConnection)).expect("a stream").stream
        });
        let open = open.collect();
        Self { _runtime: runtime, relay, open }
    }

    /// Measures the delivery of one event to all streams by this number of threads, from NATS until each stream is
    /// taken.
    fn deliver(&mut self, bencher: &mut Bencher<'_>, content: &Content, threads: usize) {
        let Self { relay, open, .. } = self;
        take(open);
        let mut notification = notification(content.clone(), (0..open.len()).map(user).collect());
        bencher.iter_batched(
            || {
                notification.id.sequence += 1;
                SourceEvent::Notification {
                    notification: notification.clone(),
                    age: Duration::ZERO,
                    metadata: MessageMetadata::default(),
                }
            },
            |event| {
                relay.handle(event);
                let part = open.len().div_ceil(threads);
                let (first, rest) = open.split_at_mut(part);
                thread::scope(|scope| {
                    for part in rest.chunks_mut(part) {
                        scope.spawn(|| take(part));
                    }
                    take(first);
                });
            },
            BatchSize::PerIteration,
        );
    }
}

/// Takes all frames of the streams, as connections do when they are woken.
fn take(open: &mut [Box<dyn EventStream>]) {
    for stream in open {
        while black_box(stream.take()).first.is_some() {}
    }
}

fn deliver(criterion: &mut Criterion) {
    for threads in [1, 2] {
        let mut group =
            criterion.benchmark_group(format!("append one event and have {threads} threads take it for"));
        for streams in [1, 5_000, 19_000] {
            let mut service = Service::with(streams, &["en"]);
            group.throughput(Throughput::Elements(streams as u64));
            group.bench_function(BenchmarkId::from_parameter(streams), |bencher| {
                service.deliver(bencher, &content(&["en"]), threads);
            });
        }
    }
}

/// Values of `Accept-Language` like those of browsers.
const ACCEPT_LANGUAGE: [&str; 5] = [
    "en-US,en;q=0.5",
    "de-CH,de;q=0.9,en-US;q=0.8,en;q=0.7",
    "fr-FR,fr;q=0.8,en-US;q=0.5,en;q=0.3",
    "it,en-US;q=0.7,en;q=0.3",
    "es-419,es;q=0.9,en;q=0.8",
];

fn deliver_in_languages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("deliver to 10,000 streams an event in");
    let in_five = content(&["en", "de", "fr", "it", "es"]);
    for (name, accept_language, content) in [
        ("one language", &ACCEPT_LANGUAGE[..], content(&["en"])),
        ("five languages", &ACCEPT_LANGUAGE[..], in_five),
    ] {
        let mut service = Service::with(10_000, accept_language);
        group.throughput(Throughput::Elements(10_000));
        group.bench_function(name, |bencher| service.deliver(bencher, &content, 1));
    }
}

criterion_group!(benches, encode, deliver, deliver_in_languages);
criterion_main!(benches);
