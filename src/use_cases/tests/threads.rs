//! Streams that are opened, read and closed on other threads than the one that appends events.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::*;

/// The number of published events.
const EVENTS: u64 = 5000;

/// Reads all events with a client that reconnects after `leave_after` turns. Returns the events.
fn read_all(subscriptions: &Subscriptions, leave_after: usize) -> Vec<u64> {
    let mut received = Vec::new();
    let mut last = 0;
    while last < EVENTS {
        let connection = Arc::<FakeConnection>::default();
        let opened = subscriptions.subscribe(after("a", id(last)), connection.clone()).expect("a stream");
        let mut client = Client::new(opened, connection);
        let mut reads = 0;
        while reads < leave_after && last < EVENTS {
            let texts = client.read_turn();
            reads += usize::from(!texts.is_empty());
            for text in texts {
                if let Some(position) = text.strip_prefix("at ") {
                    last = position.parse::<EventId>().expect("an id").sequence;
                } else {
                    last = text.parse().expect("an event, and no gap");
                    received.push(last);
                }
            }
            thread::yield_now();
        }
    }
    received
}

#[test]
fn get_each_event_once_in_order() {
    let subscriptions = Subscriptions::new(
        POLICY,
        LanguageTag::default(),
        Arc::new(PLAIN_FRAMES),
        Arc::new(any_metrics()),
        Arc::new(PausedClock::default()),
        None,
    );
    subscriptions.resync(id(0));
    subscriptions.subscribed();
    subscriptions.languages_up_to_date();
    let (start, is_over) = (Barrier::new(4), AtomicBool::new(false));
    let expected: Vec<_> = (1..=EVENTS).filter(|n| n % 3 > 0 || *n == EVENTS).collect();
    thread::scope(|scope| {
        let clients = [1, 3, usize::MAX].map(|leave_after| {
            let (subscriptions, start) = (&subscriptions, &start);
            scope.spawn(move || {
                start.wait();
                read_all(subscriptions, leave_after)
            })
        });
        // A concurrent query of all streams.
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                subscriptions.streams_of(&user("a"));
                thread::yield_now();
            }
        });
        start.wait();
        for n in 1..=EVENTS {
            let users = if expected.binary_search(&n).is_ok() { ["a", "b"] } else { ["b", "b"] };
            subscriptions.append(notification(n, &users, "t", n.to_string()), now());
            thread::yield_now();
        }
        for client in clients {
            assert_eq!(client.join().expect("no panic"), expected);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(subscriptions.streams_of(&user("a")), []);
}
