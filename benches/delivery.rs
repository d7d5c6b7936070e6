//! The way of one event within the process: encoded once, and offered to the queues of many streams.

use std::{
    hint::black_box,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use adapters::{
    inbound::{
        http::{EventFrames, Queue, QueueLimits, QueueReader, Queues},
        server::Line,
    },
    outbound::{clock::SystemClock, otlp::TraceContext, prometheus::PrometheusMetrics},
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use domain::{
    fanout::StreamLimits,
    history::HistoryLimits,
    identity::{Principal, UserId},
    keepalive::KeepalivePolicy,
    notification::{EventId, EventType, Incarnation, Notification},
    patience::Patience,
};
use ocis_sse::use_cases::{Relay, Status, StreamPolicy, Subscriptions};
use ports::{
    inbound::{StreamRequest, Subscribe as _, Subscription},
    outbound::{Clock as _, Frames as _, SourceEvent},
};

const LIMITS: QueueLimits = QueueLimits { max_events: 256, max_bytes: 1 << 20, total_max_bytes: 256 << 20 };

const fn id(sequence: u64) -> EventId {
    EventId { incarnation: Incarnation(0x019a_b4cf_02d1), sequence }
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
    write_timeout: Duration::from_secs(30),
    close_on_logout: true,
};

/// As the platform's are: a few hundred bytes of JSON.
fn notification(sequence: u64, recipients: Vec<UserId>) -> Notification {
    Notification {
        id: id(sequence),
        recipients,
        event_type: EventType::try_new("postprocessing-finished").expect("an event type"),
        content: format!("{{\"itemid\":\"{}\",\"etag\":\"\\\"x\\\"\"}}", "a".repeat(230)),
    }
}

fn encode(criterion: &mut Criterion) {
    let (clock, metrics) = (Arc::new(SystemClock), Arc::new(PrometheusMetrics::new("bench")));
    let frames = EventFrames::new(metrics, clock.clone());
    let notification = notification(5123, Vec::new());
    let now = clock.now();
    criterion.bench_function("encode one event", |bencher| {
        bencher.iter(|| frames.event(black_box(&notification), Some(now)));
    });
}

fn user(n: usize) -> UserId {
    UserId::try_new(&format!("user-{n}")).expect("a user id")
}

fn offer(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let mut group = criterion.benchmark_group("encode one event and offer it to");
    for streams in [1, 100, 10_000] {
        let (clock, metrics) = (Arc::new(SystemClock), Arc::new(PrometheusMetrics::new("bench")));
        let frames = EventFrames::new(metrics.clone(), clock.clone());
        let subscriptions =
            Subscriptions::new(POLICY, Arc::new(frames.clone()), metrics.clone(), clock.clone(), None);
        let mut relay = Relay {
            subscriptions: subscriptions.clone(),
            frames: Arc::new(frames.clone()),
            metrics,
            patience: Patience::new(Duration::from_millis(250), clock.now()),
            clock: clock.clone(),
            status: Arc::new(Status::default()),
            traces: Arc::new(TraceContext),
        };
        runtime.block_on(relay.handle(SourceEvent::Begins { after: id(0) }));
        runtime.block_on(relay.handle(SourceEvent::Subscribed));
        let queues = Arc::new(Queues { limits: LIMITS, frames });
        let open: Vec<(QueueReader, Subscription)> = (0..streams)
            .map(|n| {
                let queue = Arc::new(Queue::new(Arc::clone(&queues), Line::default()));
                let principal = Principal { user: user(n), until: Duration::MAX };
                let request = StreamRequest { principal, last_event_id: None, request: None };
                let subscription = subscriptions.subscribe(request, queue.clone()).expect("a place");
                (QueueReader::new(queue), subscription)
            })
            .collect();
        let mut notification = notification(0, (0..streams).map(user).collect());
        group.throughput(Throughput::Elements(streams as u64));
        group.bench_function(BenchmarkId::from_parameter(streams), |bencher| {
            bencher.iter_batched(
                || {
                    drain(&open);
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
        });
    }
}

/// What the connections do between two events.
fn drain(open: &[(QueueReader, Subscription)]) {
    let mut context = Context::from_waker(Waker::noop());
    for (reader, _) in open {
        while let Poll::Ready(Some(_)) = reader.poll_next(&mut context) {}
    }
}

criterion_group!(benches, encode, offer);
criterion_main!(benches);
