//! The NATS event source meets its port, with a real nats-server and a connection that can be cut.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use adapters::outbound::{clock::SystemClock, nats::JetStreamSource};
use async_nats::jetstream::stream;
use async_trait::async_trait;
use domain::notification::{EventId, Incarnation};
use ports::{
    obligations::event_source::{self, EventBus, FailingEventBus, Message},
    outbound::{Clock as _, EventSource, MockMetrics, Outcome},
};
use serde_json::json;

use crate::{
    DEADLINE,
    buckets::connection_to,
    nats::{Nats, Publisher, envelope, send_sse},
    proxy::Proxy,
};

/// The source reaches NATS through a proxy; publishers connect directly.
struct JetStreamBus {
    _nats: Nats,
    publisher: Publisher,
    proxy: Proxy,
    metrics: Arc<MockMetrics>,
}

impl JetStreamBus {
    async fn start(metrics: MockMetrics) -> Self {
        let nats = Nats::start().await;
        let publisher = nats.publisher().await;
        let proxy = Proxy::to(nats.address().parse().expect("an address")).await;
        let nats = Self { _nats: nats, publisher, proxy, metrics: Arc::new(metrics) };
        nats.create_stream().await;
        nats
    }

    async fn create_stream(&self) -> stream::Stream {
        let config = stream::Config {
            name: "main-queue".into(),
            subjects: vec!["main-queue".into()],
            ..stream::Config::default()
        };
        self.publisher.jetstream.get_or_create_stream(config).await.expect("made")
    }
}

#[async_trait(?Send)]
impl EventBus for JetStreamBus {
    async fn source(&self) -> Box<dyn EventSource> {
        let connection = connection_to(&self.proxy.address.to_string());
        let (metrics, clock) = (self.metrics.clone(), Arc::new(SystemClock));
        Box::new(JetStreamSource::new(&connection, metrics, clock, Duration::from_mins(1)))
    }

    async fn publish(&self, message: Message<'_>) -> Option<EventId> {
        let changed = |feature: &str, value: &str| {
            let features = json!([{ "Name": feature, "Value": value }]);
            envelope("events.UserFeatureChanged", &json!({ "UserID": "a", "Features": features }))
        };
        let message = match message {
            Message::Event(content) => send_sse(&["a"], "t", content),
            Message::LanguageChosen => changed("preferredLanguage", "de"),
            Message::AccountDisabled => changed("accountEnabled", "false"),
            Message::OfAnotherService => envelope("events.FileUploaded", &json!({})),
            Message::Unreadable => "no envelope".into(),
        };
        let created = self.create_stream().await.cached_info().created;
        let made = u64::try_from(created.unix_timestamp_nanos() / 1_000_000).expect("after 1970");
        let stored = self.publisher.jetstream.publish("main-queue", message.into()).await.expect("published");
        let sequence = stored.await.expect("stored").sequence;
        Some(EventId { incarnation: Incarnation::of(made), sequence })
    }

    fn now(&self) -> Instant {
        SystemClock.now()
    }
}

#[async_trait(?Send)]
impl FailingEventBus for JetStreamBus {
    async fn interrupt(&self) {
        self.proxy.blackhole(true);
        self.proxy.cut();
    }

    async fn restore(&self) {
        self.proxy.blackhole(false);
    }

    async fn purge(&self) {
        self.create_stream().await.purge().await.expect("purged");
    }

    async fn recreate(&self) {
        self.publisher.jetstream.delete_stream("main-queue").await.expect("deleted");
        self.create_stream().await;
    }
}

async fn meets(metrics: MockMetrics, obligation: impl AsyncFn(&JetStreamBus)) {
    let nats = JetStreamBus::start(metrics).await;
    tokio::time::timeout(DEADLINE, obligation(&nats)).await.expect("in time");
}

/// Returns metrics that expect one message for another service and one that cannot be decoded.
fn two_skipped() -> MockMetrics {
    let mut metrics = MockMetrics::new();
    for skipped in [Outcome::OtherType, Outcome::Unreadable] {
        let counted = mockall::predicate::eq(skipped);
        metrics.expect_event_received().once().with(counted).return_const(());
    }
    metrics
}

#[tokio::test]
async fn returns_everything_in_order() {
    meets(two_skipped(), event_source::returns_everything_in_order).await;
}

#[tokio::test]
async fn reports_lag() {
    meets(two_skipped(), event_source::reports_lag).await;
}

#[tokio::test]
async fn resumes_after_an_interruption() {
    meets(MockMetrics::new(), event_source::resumes_after_an_interruption).await;
}

#[tokio::test]
async fn reports_events_lost_by_nats() {
    meets(MockMetrics::new(), event_source::reports_lost_events).await;
}

#[tokio::test]
async fn limits_read_ahead() {
    meets(MockMetrics::new(), event_source::limits_read_ahead).await;
}

#[tokio::test]
async fn closes_without_nats() {
    meets(MockMetrics::new(), event_source::closes_while_interrupted).await;
}
