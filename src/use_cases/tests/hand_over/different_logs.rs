//! Processes whose logs differ: one is behind, starts later or keeps no history.

use super::*;

/// The new process reads NATS later than the old one.
#[tokio::test(start_paused = true)]
async fn new_process_behind_delivers_no_event_twice() {
    let mut processes = Processes::start(POLICY).await;
    tokio::spawn(processes.new.subscriptions.clone().maintain());
    let mut client = processes.old.open_named("a", request("a"));
    processes.old.publish(&["a"], "1");
    processes.old.publish(&["b"], "of b");
    run_until_idle().await;
    assert_eq!(client.read(), ["1"]);
    let mut continued = only(processes.hand_over().await);
    tokio::time::sleep(s(5)).await;
    assert_eq!(continued.read(), NOTHING);
    processes.new.publish(&["a"], "1");
    processes.new.publish(&["b"], "of b");
    processes.publish(&["a"], "3").await;
    assert_eq!(continued.read(), ["3"]);
    processes.stop().await;
}

/// The new process does not get the events that the client already has, because NATS fails meanwhile.
#[tokio::test(start_paused = true)]
async fn new_process_that_stays_behind_reports_no_gap() {
    let mut processes = Processes::start(POLICY).await;
    tokio::spawn(processes.new.subscriptions.clone().maintain());
    let mut client = processes.old.open_named("a", request("a"));
    processes.old.publish(&["a"], "1");
    run_until_idle().await;
    assert_eq!(client.read(), ["1"]);
    let mut continued = only(processes.hand_over().await);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(continued.read(), NOTHING);
    processes.new.publish(&["a"], "1");
    processes.publish(&["a"], "2").await;
    assert_eq!(continued.read(), ["2"]);
    processes.stop().await;
}

#[tokio::test(start_paused = true)]
async fn shorter_log_causes_a_gap_for_lost_events_only() {
    let old = Service::start(POLICY).await;
    let new = Service::before_nats(POLICY, any_metrics(), PLAIN_FRAMES);
    let mut processes = Processes { old, new };
    let mut reads = processes.old.open_named("reads", request("a"));
    let lags = processes.old.open_named("lags", request("b"));
    processes.old.publish(&["a", "b"], "1");
    run_until_idle().await;
    assert_eq!(reads.read(), ["1"]);
    // The log of the new process starts here.
    processes.new.sequence = 1;
    processes.new.receive(SourceEvent::Resync { after: id(1) });
    processes.new.receive(SourceEvent::Subscribed);
    run_until_idle().await;
    let mut clients = processes.hand_over().await;
    drop((reads, lags));
    processes.publish(&["a", "b"], "2").await;
    assert_eq!(clients.get_mut("reads").expect("handed over").read(), ["2"]);
    let of_lagging = clients.get_mut("lags").expect("handed over").read();
    assert_eq!(of_lagging, [gap(GapReason::Expired, id(0), id(1)), "2".into()]);
    processes.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_history_each_event_arrives_once() {
    let mut processes = Processes::start(HISTORY_OFF).await;
    let (mut lags, mut reads) =
        (processes.old.open_named("lags", request("b")), processes.old.open_named("reads", request("a")));
    lags.read();
    processes.publish(&["a"], "1").await;
    assert_eq!(reads.read(), ["1"]);
    let mut clients = processes.hand_over().await;
    processes.publish(&["a", "b"], "2").await;
    for (name, client) in &mut clients {
        assert_eq!(client.read(), ["2"], "{name}");
    }
    processes.stop().await;
}

/// Without a history the new process keeps no event for a stream that it does not have yet.
#[tokio::test(start_paused = true)]
async fn without_a_history_events_meanwhile_are_a_gap() {
    let mut processes = Processes::start(HISTORY_OFF).await;
    let mut client = processes.old.open_named("a", request("a"));
    processes.publish(&["a"], "1").await;
    assert_eq!(client.read(), ["1"]);
    let (_hand_over, batch) = HandOver::of_all(&processes).await;
    processes.publish(&["a"], "2").await;
    let mut continued = only(processes.new.adopt(batch.confirm()));
    processes.publish(&["a"], "3").await;
    assert_eq!(continued.read(), [gap(GapReason::Expired, id(1), id(2)), "3".into()]);
    processes.stop().await;
}
