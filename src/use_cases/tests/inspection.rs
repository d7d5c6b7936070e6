//! The view and the actions of an administrator.

use domain::log::Lag;
use ports::{
    inbound::{Inspect as _, OpenStream, RecentEvent},
    outbound::MockMeasurements,
};

use super::*;

fn inspection(service: &Service) -> Inspection {
    Inspection {
        subscriptions: service.subscriptions.clone(),
        measurements: Arc::new(MockMeasurements::new()),
    }
}

fn event(sequence: u64, event_type: &str, recipients: usize, age: Duration) -> RecentEvent {
    let event_type = EventType::try_new(event_type).expect("an event type");
    RecentEvent { id: id(sequence), event_type, recipients: Some(recipients), age }
}

#[tokio::test(start_paused = true)]
async fn shows_recent_events_in_order() {
    let mut service = Service::start(POLICY).await;
    let inspection = inspection(&service);
    assert_eq!(inspection.recent_events(None), []);
    service.publish_of(&["a", "b"], "one", "secret", Duration::ZERO);
    run_until_idle().await;
    tokio::time::sleep(s(3)).await;
    service.publish_of(&["a"], "two", "secret", Duration::ZERO);
    run_until_idle().await;
    let (one, two) = (event(1, "one", 2, s(3)), event(2, "two", 1, s(0)));
    assert_eq!(inspection.recent_events(None), [one, two.clone()]);
    assert_eq!(inspection.recent_events(Some(id(1))), [two]);
    assert_eq!(inspection.recent_events(Some(id(2))), []);
    // An id of another incarnation is ignored.
    let elsewhere = EventId { incarnation: Incarnation::of(7), sequence: 1 };
    assert_eq!(inspection.recent_events(Some(elsewhere)).len(), 2);
    for _ in 0..100 {
        service.publish(&["a"], "x");
    }
    run_until_idle().await;
    let shown: Vec<_> = inspection.recent_events(Some(id(1))).into_iter().map(|event| event.id).collect();
    assert_eq!(shown, (53..=102).map(id).collect::<Vec<_>>(), "the last ones");
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn shows_streams_of_user() {
    let mut service = Service::start(POLICY).await;
    let inspection = inspection(&service);
    let principal = Principal { expires_at: s(1000), ..request("a").principal };
    let mut client = service.try_open(StreamRequest { principal, ..tab("a", "tab") }).expect("a stream");
    let _other = service.open("b");
    service.publish(&["a"], "1");
    run_until_idle().await;
    tokio::time::sleep(s(5)).await;
    // An event of 1 byte, of a type of 1 byte, to a user of 1 byte.
    let lag = Lag { events: 1, bytes: 300 + 48 + 4 };
    let unread = OpenStream {
        request: tab("a", "tab").request,
        position: Some(id(0)),
        since_last_write: s(5),
        lag,
        // The first of all streams has its whole time.
        remaining: Some(s(995)),
    };
    assert_eq!(inspection.streams_of(&user("a")), std::slice::from_ref(&unread));
    assert_eq!(client.read(), ["1"]);
    let read = OpenStream { position: Some(id(1)), lag: Lag::default(), ..unread };
    assert_eq!(inspection.streams_of(&user("a")), [read]);
    assert_eq!(inspection.streams_of(&user("nobody")), []);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ends_all_streams_of_user() {
    let mut metrics = plain_metrics();
    metrics
        .expect_stream_closed()
        .times(2)
        .with(eq(EndReason::Administrator), mockall::predicate::always(), mockall::predicate::always())
        .return_const(());
    metrics.expect_stream_closed().once().with(eq(EndReason::Client), eq(0), eq(0)).return_const(());
    let service = Service::start_with(POLICY, metrics, PLAIN_FRAMES).await;
    let inspection = inspection(&service);
    let mut tabs = [(); 2].map(|()| service.open("a"));
    let mut other = service.open("b");
    // One waits for events, one was not read yet.
    assert_eq!([tabs[0].read(), other.read()], [NOTHING; 2]);
    assert_eq!(inspection.end_streams_of(&user("a")), 2);
    assert_eq!(inspection.streams_of(&user("a")), []);
    for tab in &mut tabs {
        assert!(tab.is_finishing());
        assert_eq!(tab.read(), ["Administrator"]);
        assert_eq!(tab.ended(), Some("Administrator"));
    }
    assert_eq!((other.read(), other.is_finishing()), (vec![], false));
    assert_eq!(inspection.streams_of(&user("b")).len(), 1);
    assert_eq!(inspection.end_streams_of(&user("a")), 0);
    drop((tabs, other));
    service.stop().await;
}
