//! Metrics of events: outcome, latency, replays and gaps.

use domain::{language::LanguageChoice, revocation::AccountChange};

use super::*;

#[tokio::test(start_paused = true)]
async fn events_are_counted_once_by_outcome() {
    let mut service = Service::start(POLICY).await;
    let _streams = service.open([request("a"), request("a"), request("b")]);
    service.forget();
    // A user that is named twice gets the event once.
    service.publish(&["a", "b", "a"], "t", s(0));
    service.changes([r#"sse_events_received_total{outcome="delivered"} 1"#, "sse_deliveries_total 3"]);
    service.publish(&["b"], "t", s(0));
    service.changes([r#"sse_events_received_total{outcome="delivered"} 2"#, "sse_deliveries_total 4"]);
    for _ in 0..3 {
        service.publish(&["offline"], "t", s(0));
    }
    service.changes([r#"sse_events_received_total{outcome="no_subscriber"} 3"#]);
    for chosen_at in 1..=4 {
        let language = LanguageTag::try_new("de").ok();
        service.relay.handle(SourceEvent::LanguageChosen(LanguageChoice {
            user: user("offline"),
            language,
            chosen_at: s(chosen_at),
        }));
    }
    service.changes([r#"sse_events_received_total{outcome="language_chosen"} 4"#]);
    for _ in 0..5 {
        let enabled = AccountChange { user: user("offline"), is_enabled: true, changed_at: s(0) };
        service.relay.handle(SourceEvent::AccountChanged(enabled));
    }
    service.changes([r#"sse_events_received_total{outcome="account_changed"} 5"#]);
}

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
    // Read at once, later, at the end of the last stream, and long after the last bound.
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
async fn replays_count_missed_events() {
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
async fn gaps_are_counted_once_per_stream_by_reason() {
    // Room for a few events.
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
    // An open stream gets a gap as well.
    let mut streams = service.open([request("a")]);
    streams[0].take();
    service.forget();
    let recreated = EventId { incarnation: Incarnation::of(2), sequence: 0 };
    service.relay.handle(SourceEvent::Resync { after: recreated });
    streams[0].take();
    service.changes([gap("unknown", 4)]);
}
