//! The way of one event within the process: encoded once, and offered to the queues of many streams.

use std::{
    hint::black_box,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use adapters::{
    http_server::ConnectionHandle,
    inbound::http::{EventFrames, Queue, QueueLimits, QueueReader, Queues},
    outbound::{
        clock::SystemClock, embedded::EmbeddedPreferences, otlp::TraceContext, prometheus::PrometheusMetrics,
    },
};
use criterion::{BatchSize, Bencher, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use domain::{
    content::{Content, Translation, Version},
    fanout::StreamLimits,
    history::HistoryLimits,
    identity::{Principal, UserId},
    keepalive::KeepalivePolicy,
    language::{LanguagePriorityList, LanguageTag},
    notification::{EventId, EventType, Incarnation, Notification},
    patience::Patience,
};
use ocis_sse::use_cases::{LanguageChoices, Relay, Status, StreamPolicy, Subscriptions};
use ports::{
    inbound::{StreamRequest, Subscribe as _, Subscription},
    outbound::{Clock as _, Frames as _, SourceEvent},
};
use tokio::{
    runtime::{Builder, Runtime},
    task::yield_now,
};

const LIMITS: QueueLimits = QueueLimits { max_events: 256, max_bytes: 1 << 20, total_max_bytes: 256 << 20 };

const fn id(sequence: u64) -> EventId {
    EventId { incarnation: Incarnation::of(0x019a_b4cf_02d1), sequence }
}

/// The defaults of the service.
const POLICY: StreamPolicy = StreamPolicy {
    limits: StreamLimits { total: 20_000, per_user: 64 },
    history: HistoryLimits { max_age: Duration::from_mins(5), max_bytes: 64 << 20 },
    resume_window: Duration::from_mins(2),
    doubt: Duration::from_mins(1),
    keepalive: KeepalivePolicy::every(Duration::from_secs(30)),
    max_age: None,
    reconnection_time: Some(Duration::from_secs(3)),
    close_on_logout: true,
};

/// As the platform's are: a few hundred bytes of JSON.
fn text(language: &str) -> String {
    format!("{{\"itemid\":\"{}\",\"etag\":\"\\\"x\\\"\",\"in\":\"{language}\"}}", "a".repeat(230))
}

fn notification(content: Content, recipients: Vec<UserId>) -> Notification {
    let event_type = EventType::try_new("postprocessing-finished").expect("an event type");
    Notification { id: id(0), recipients, event_type, content }
}

/// In as many languages as there are here.
fn content(languages: &[&str]) -> Content {
    let tag = |language: &&str| LanguageTag::try_new(language).expect("a language tag");
    let translated = languages.iter().skip(1);
    let translations =
        translated.map(|language| Translation { language: tag(language), text: text(language) }).collect();
    Content::new(languages.first().map(|language| text(language)), languages.first().map(tag), translations)
}

fn encode(criterion: &mut Criterion) {
    let (clock, metrics) = (Arc::new(SystemClock), Arc::new(PrometheusMetrics::new("bench")));
    let frames = EventFrames::new(metrics, clock.clone());
    let notification = notification(content(&["en"]), Vec::new());
    let now = clock.now();
    criterion.bench_function("encode one event", |bencher| {
        bencher.iter(|| frames.event(black_box(&notification), Version::FALLBACK, Some(now)));
    });
}

fn user(n: usize) -> UserId {
    UserId::try_new(&format!("user-{n}")).expect("a user id")
}

/// The service between the bus and the sockets, with streams of as many users. One after the other asks for one of the
/// `wishes`.
struct House {
    runtime: Runtime,
    relay: Relay,
    open: Vec<(QueueReader, Subscription)>,
}

impl House {
    fn with(streams: usize, wishes: &[&str]) -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let (clock, metrics) = (Arc::new(SystemClock), Arc::new(PrometheusMetrics::new("bench")));
        let frames = EventFrames::new(metrics.clone(), clock.clone());
        let shared_frames = Arc::new(frames.clone());
        let subscriptions = Subscriptions::new(
            POLICY,
            LanguageTag::default(),
            shared_frames.clone(),
            metrics.clone(),
            clock.clone(),
            None,
        );
        let preferences = Arc::new(EmbeddedPreferences::new(clock.clone()));
        let languages = LanguageChoices { subscriptions: subscriptions.clone(), preferences };
        runtime.spawn(languages.clone().hear());
        let mut relay = Relay {
            subscriptions: subscriptions.clone(),
            languages,
            frames: shared_frames,
            metrics,
            patience: Patience::new(Duration::from_millis(250), clock.now()),
            clock: clock.clone(),
            status: Arc::new(Status::default()),
            traces: Arc::new(TraceContext),
        };
        runtime.block_on(relay.handle(SourceEvent::Begins { after: id(0) }));
        runtime.block_on(relay.handle(SourceEvent::Subscribed));
        runtime.block_on(yield_now());
        let queues = Arc::new(Queues { limits: LIMITS, frames });
        let open = (0..streams).map(|n| {
            let queue = Arc::new(Queue::new(Arc::clone(&queues), ConnectionHandle::default()));
            let request = StreamRequest {
                principal: Principal { user: user(n), until: Duration::MAX },
                last_event_id: None,
                request: None,
                accept_language: LanguagePriorityList::from_accept_language(wishes[n % wishes.len()]),
            };
            let subscription = subscriptions.subscribe(request, queue.clone()).expect("a place");
            (QueueReader::new(queue), subscription)
        });
        let open = open.collect();
        Self { runtime, relay, open }
    }

    /// One event to all streams, from the bus to their queues.
    fn deliver(&mut self, bencher: &mut Bencher<'_>, content: &Content) {
        let Self { runtime, relay, open } = self;
        let mut notification = notification(content.clone(), (0..open.len()).map(user).collect());
        bencher.iter_batched(
            || {
                drain(open);
                notification.id.sequence += 1;
                SourceEvent::Notification {
                    notification: notification.clone(),
                    age: Duration::ZERO,
                    trace_parent: Box::default(),
                }
            },
            |event| runtime.block_on(relay.handle(event)),
            BatchSize::PerIteration,
        );
    }
}

/// What the connections do between two events.
fn drain(open: &[(QueueReader, Subscription)]) {
    let mut context = Context::from_waker(Waker::noop());
    for (reader, _) in open {
        while let Poll::Ready(Some(_)) = reader.poll_next(&mut context) {}
    }
}

fn offer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode one event and offer it to");
    for streams in [1, 100, 10_000] {
        let mut house = House::with(streams, &["en"]);
        group.throughput(Throughput::Elements(streams as u64));
        group.bench_function(BenchmarkId::from_parameter(streams), |bencher| {
            house.deliver(bencher, &content(&["en"]));
        });
    }
}

/// As browsers ask for them.
const WISHES: [&str; 5] = [
    "en-US,en;q=0.5",
    "de-CH,de;q=0.9,en-US;q=0.8,en;q=0.7",
    "fr-FR,fr;q=0.8,en-US;q=0.5,en;q=0.3",
    "it,en-US;q=0.7,en;q=0.3",
    "es-419,es;q=0.9,en;q=0.8",
];

fn offer_in_languages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("offer to 10,000 streams an event in");
    let in_five = content(&["en", "de", "fr", "it", "es"]);
    for (name, wishes, content) in
        [("one language", &WISHES[..], content(&["en"])), ("five languages", &WISHES[..], in_five)]
    {
        let mut house = House::with(10_000, wishes);
        group.throughput(Throughput::Elements(10_000));
        group.bench_function(name, |bencher| house.deliver(bencher, &content));
    }
}

criterion_group!(benches, encode, offer, offer_in_languages);
criterion_main!(benches);
