//! Clients that return with their request id to the process that has taken over.

use super::*;

#[tokio::test(start_paused = true)]
async fn returning_client_gets_only_unacknowledged_events_again() {
    let mut processes = Processes::start(POLICY).await;
    let mut client = processes.old.open_named("a", tab("a", "tab"));
    processes.publish(&["a"], "long ago").await;
    assert_eq!(client.read(), ["long ago"]);
    tokio::time::sleep(s(90)).await;
    processes.publish(&["a"], "perhaps arrived").await;
    assert_eq!(client.read(), ["perhaps arrived"]);
    tokio::time::sleep(s(10)).await;
    let continued = only(processes.hand_over().await);
    drop(client);
    tokio::time::sleep(s(10)).await;
    drop(continued);
    processes.publish(&["a"], "missed").await;
    let mut returned = processes.new.try_open(tab("a", "tab")).expect("a stream");
    assert_eq!(returned.read(), ["perhaps arrived", "missed"]);
    processes.stop().await;
}

/// Events that were taken late in the old process may not have arrived.
#[tokio::test(start_paused = true)]
async fn returning_client_gets_late_events_again() {
    let mut processes = Processes::start(POLICY).await;
    let mut client = processes.old.open_named("a", tab("a", "tab"));
    processes.publish(&["a"], "1").await;
    tokio::time::sleep(s(200)).await;
    assert_eq!(client.read(), ["1"]);
    drop(only(processes.hand_over().await));
    drop(client);
    let mut returned = processes.new.try_open(tab("a", "tab")).expect("a stream");
    assert_eq!(returned.read(), ["1"]);
    processes.stop().await;
}

/// The new process finds the old stream, which it continues and whose end it has not noticed.
#[tokio::test(start_paused = true)]
async fn returning_client_continues_its_open_stream() {
    let mut processes = Processes::start(POLICY).await;
    let mut client = processes.old.open_named("a", tab("a", "tab"));
    client.read();
    let _dead = only(processes.hand_over().await);
    drop(client);
    processes.publish(&["a"], "1").await;
    let mut returned = processes.new.try_open(tab("a", "tab")).expect("a stream");
    assert_eq!(returned.read(), ["1"]);
    processes.stop().await;
}

/// A gap that was not taken in the old process is still reported after a return.
#[tokio::test(start_paused = true)]
async fn returning_client_gets_the_gap_that_it_missed() {
    let mut processes = Processes::start(POLICY).await;
    let unknown = StreamRequest { last_event_id: Some("what?".into()), ..tab("a", "tab") };
    let client = processes.old.open_named("a", unknown);
    let mut continued = only(processes.hand_over().await);
    drop(client);
    assert_eq!(continued.read(), [gap(GapReason::Unknown, "what?", id(0))]);
    processes.publish(&["a"], "1").await;
    drop(continued);
    let mut returned = processes.new.try_open(tab("a", "tab")).expect("a stream");
    assert_eq!(returned.read(), ["1"]);
    processes.stop().await;
}

/// The old process publishes no bookmark of a stream that continues: a later one of the new process would compete with it.
#[tokio::test(start_paused = true)]
async fn stream_that_continues_leaves_no_bookmark() {
    let exchange = FakeExchange::default();
    let service = |exchange: FakeExchange| {
        let exchange = Arc::new(exchange);
        let service = Service::with_exchange(POLICY, any_metrics(), PLAIN_FRAMES, Some(exchange.clone()));
        tokio::spawn(service.subscriptions.clone().follow(exchange));
        service
    };
    let processes = Processes { old: service(exchange.another()), new: service(exchange.another()) };
    processes.old.connect_nats().await;
    processes.new.connect_nats().await;
    let client = processes.old.open_named("a", tab("a", "tab"));
    let continued = only(processes.hand_over().await);
    drop(client);
    run_until_idle().await;
    assert!(exchange.published().is_empty());
    drop(continued);
    assert_eq!(exchange.published().len(), 1);
    processes.stop().await;
}

/// Without a history the new process has no event from before the hand-over, so it cannot send again what may not have arrived.
#[tokio::test(start_paused = true)]
async fn without_a_history_unacknowledged_events_are_a_gap() {
    for is_handed_over in [false, true] {
        let mut processes = Processes {
            old: Service::start(HISTORY_OFF).await,
            new: Service::before_nats(HISTORY_OFF, any_metrics(), PLAIN_FRAMES),
        };
        tokio::spawn(processes.old.subscriptions.clone().maintain());
        let mut client = processes.old.open_named("a", tab("a", "tab"));
        processes.old.publish(&["a"], "perhaps arrived");
        run_until_idle().await;
        assert_eq!(client.read(), ["perhaps arrived"]);
        processes.new.sequence = 1;
        processes.new.receive(SourceEvent::Resync { after: id(1) });
        processes.new.receive(SourceEvent::Subscribed);
        tokio::time::sleep(s(3)).await;
        let mut at = &processes.old;
        if is_handed_over {
            only(processes.hand_over().await);
            at = &processes.new;
        }
        drop(client);
        let mut returned = at.try_open(tab("a", "tab")).expect("a stream");
        assert_eq!(returned.read(), [gap(GapReason::Expired, id(0), id(1))], "{is_handed_over}");
        processes.stop().await;
    }
}
