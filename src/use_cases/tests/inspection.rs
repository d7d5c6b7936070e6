//! What an administrator sees, and may end.

use domain::bookmark::RequestId;
use ports::{
    inbound::{Inspect as _, OpenStream, RecentEvent},
    outbound::MockMeasurements,
};

use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn look_into(house: &House) -> Inspection {
    Inspection { subscriptions: house.subscriptions.clone(), measurements: Arc::new(MockMeasurements::new()) }
}

fn event(sequence: u64, event_type: &str, recipients: usize, age: Duration) -> RecentEvent {
    let event_type = EventType::try_new(event_type).expect("an event type");
    RecentEvent { id: id(sequence), event_type, recipients, age }
}

#[tokio::test(start_paused = true)]
async fn recent_events_are_told_once_each_and_the_oldest_first() {
    let mut house = House::with(POLICY).await;
    let inspection = look_into(&house);
    assert_eq!(inspection.recent_events(None), []);
    house.publish_of(&["a", "b"], "one", "secret", Duration::ZERO);
    settle().await;
    tokio::time::sleep(s(3)).await;
    house.publish_of(&["a"], "two", "secret", Duration::ZERO);
    settle().await;
    let (one, two) = (event(1, "one", 2, s(3)), event(2, "two", 1, s(0)));
    assert_eq!(inspection.recent_events(None), [one, two.clone()]);
    assert_eq!(inspection.recent_events(Some(id(1))), [two]);
    assert_eq!(inspection.recent_events(Some(id(2))), []);
    // Of another making of the bus's stream nothing is known here.
    let elsewhere = EventId { incarnation: Incarnation::of(7), sequence: 1 };
    assert_eq!(inspection.recent_events(Some(elsewhere)).len(), 2);
    for _ in 0..100 {
        house.publish(&["a"], "x");
    }
    settle().await;
    let shown: Vec<_> = inspection.recent_events(Some(id(1))).into_iter().map(|event| event.id).collect();
    assert_eq!(shown, (53..=102).map(id).collect::<Vec<_>>(), "the last ones");
}

#[tokio::test(start_paused = true)]
async fn a_user_s_streams_are_seen_as_they_are_and_nobody_else_s() {
    let mut house = House::with(POLICY).await;
    let inspection = look_into(&house);
    let (outbox, other) = (FakeOutbox::new(9), FakeOutbox::new(9));
    let tab = RequestId::try_new("tab").expect("an id");
    let principal = Principal { user: user("a"), until: s(1000) };
    let _a = house.ask(StreamRequest { principal, request: Some(tab.clone()), ..request("a") }, &outbox);
    let _b = house.open("b", &other);
    house.publish(&["a"], "1");
    settle().await;
    tokio::time::sleep(s(5)).await;
    let expected = OpenStream {
        request: Some(tab),
        position: Some(id(1)),
        silent: s(5),
        stalled: s(5),
        // The first of all streams has its whole time.
        remaining: Some(s(995)),
    };
    assert_eq!(inspection.streams_of(&user("a")), [expected]);
    assert_eq!(inspection.streams_of(&user("nobody")), []);
}

#[tokio::test(start_paused = true)]
async fn all_of_a_user_s_streams_are_ended_and_nobody_else_s() {
    let mut metrics = MockMetrics::new();
    metrics.expect_bus_connected().return_const(());
    metrics.expect_stream_opened().times(3).return_const(());
    metrics
        .expect_stream_closed()
        .times(2)
        .with(eq(EndReason::Administrator), mockall::predicate::always(), mockall::predicate::always())
        .return_const(());
    metrics.expect_stream_closed().once().with(eq(EndReason::Client), eq(0), eq(0)).return_const(());
    let house = House::new(metrics, PlainFrames).await;
    let inspection = look_into(&house);
    let (tabs, other) = ([(); 2].map(|()| FakeOutbox::new(9)), FakeOutbox::new(9));
    let open = [house.open("a", &tabs[0]), house.open("a", &tabs[1]), house.open("b", &other)];
    assert_eq!(inspection.end_streams_of(&user("a")), 2);
    for tab in &tabs {
        assert_eq!(tab.ended(), Some(EndReason::Administrator));
        assert_eq!(tab.take().last().map(String::as_str), Some("Administrator"));
    }
    assert_eq!((other.ended(), inspection.streams_of(&user("b")).len()), (None, 1));
    assert_eq!(inspection.end_streams_of(&user("a")), 0);
    drop(open);
    house.close().await;
}
