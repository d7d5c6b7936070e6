//! What a client gets that comes back.

use domain::{
    bookmark::{Bookmark, RequestId},
    history::GapReason,
};
use ports::outbound::{BookmarkExchange, Heard};

use super::*;

pub(super) fn after(name: &str, last_event_id: impl Into<String>) -> StreamRequest {
    StreamRequest { last_event_id: Some(last_event_id.into()), ..request(name) }
}

fn tab(name: &str, tab: &str) -> StreamRequest {
    StreamRequest { request: Some(RequestId::try_new(tab).expect("a request id")), ..request(name) }
}

fn gap(reason: GapReason, last: &str, position: EventId) -> String {
    format!("{reason:?} after {last}, at {position}")
}

#[tokio::test(start_paused = true)]
async fn it_gets_what_it_missed_in_order_and_then_what_is_new() {
    let mut house = House::with(POLICY).await;
    for content in ["1", "2", "3"] {
        house.publish(&["a"], content);
    }
    house.publish(&["b"], "of b");
    settle().await;
    let outbox = FakeOutbox::new(9);
    let _open = house.ask(after("a", id(1).to_string()), &outbox).expect("a place");
    house.publish(&["a"], "5");
    settle().await;
    // It is told where it stands, for the last event was not its own.
    assert_eq!(outbox.take(), ["2", "3", "at 1-4", "5"]);
}

/// The narrowest moment there is, which only another thread can hit: the event is in the history, and not yet offered.
#[tokio::test(start_paused = true)]
async fn an_event_comes_once_to_a_stream_that_joins_while_it_is_being_delivered() {
    let house = House::with(POLICY).await;
    let now = PausedClock.now();
    let notification = Arc::new(Notification {
        id: id(1),
        recipients: vec![user("a")],
        event_type: EventType::try_new("t").expect("an event type"),
        content: "1".into(),
    });
    let mut editions = editions::Editions::new(&notification, &PlainFrames, now);
    house.subscriptions.record(&notification, now);
    let [returning, new] = [(); 2].map(|()| FakeOutbox::new(9));
    let _open = [house.ask(after("a", id(0).to_string()), &returning), house.ask(request("a"), &new)];
    let mut behind = Vec::new();
    let offered = house.subscriptions.offer(&user("a"), id(1), now, &mut editions, &mut behind);
    house.subscriptions.settle(id(1));
    assert_eq!((offered, behind.len()), (0, 0));
    assert_eq!([returning.take(), new.take()], [["1"], ["1"]]);
}

#[tokio::test(start_paused = true)]
async fn without_an_id_it_gets_what_is_new() {
    let mut house = House::with(POLICY).await;
    house.publish(&["a"], "1");
    settle().await;
    for nothing in [request("a"), after("a", "")] {
        let outbox = FakeOutbox::new(9);
        let _open = house.ask(nothing, &outbox).expect("a place");
        house.publish(&["a"], "2");
        settle().await;
        assert_eq!(outbox.take(), ["2"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_known_is_told_as_a_gap_before_all_else() {
    let history = HistoryLimits { max_age: Duration::from_mins(1), ..POLICY.history };
    let mut house = House::with(StreamPolicy { history, ..POLICY }).await;
    house.publish(&["a"], "1");
    settle().await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    house.publish(&["a"], "2");
    settle().await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    house.publish(&["a"], "3");
    settle().await;
    let check = async |last: &str, expected: &[&str]| {
        let outbox = FakeOutbox::new(9);
        let _open = house.ask(after("a", last), &outbox).expect("never refused");
        settle().await;
        assert_eq!(outbox.take(), expected, "{last:?}");
    };
    check("1-0", &[&gap(GapReason::Expired, "1-0", id(1)), "2", "3"]).await;
    check("1-1", &["2", "3"]).await;
    check("2-1", &[&gap(GapReason::Unknown, "2-1", id(3))]).await;
    check("no id", &[&gap(GapReason::Unknown, "no id", id(3))]).await;
    let long = "ä".repeat(1000);
    check(&long, &[&gap(GapReason::Unknown, &"ä".repeat(100), id(3))]).await;
}

#[tokio::test(start_paused = true)]
async fn too_much_to_hold_is_a_gap_as_well() {
    let history = HistoryLimits { max_bytes: 4000, ..POLICY.history };
    let mut house = House::with(StreamPolicy { history, ..POLICY }).await;
    for content in 0..30 {
        house.publish(&["a"], &content.to_string());
    }
    settle().await;
    let outbox = FakeOutbox::new(99);
    let _open = house.ask(after("a", id(1).to_string()), &outbox).expect("a place");
    let taken = outbox.take();
    assert!(taken[0].starts_with("Limit after 1-1, at "), "{taken:?}");
    assert_eq!(taken.last().expect("an event"), "29");
}

/// Another instance has been quicker: the client knows an event that is still to come here.
#[tokio::test(start_paused = true)]
async fn an_event_that_is_still_to_come_is_waited_for() {
    let mut house = House::with(POLICY).await;
    house.publish(&["a"], "1");
    settle().await;
    let outbox = FakeOutbox::new(9);
    let _open = house.ask(after("a", id(3).to_string()), &outbox).expect("a place");
    for content in ["2", "3", "4"] {
        house.publish(&["a"], content);
    }
    settle().await;
    assert_eq!(outbox.take(), ["4"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_never_comes_is_a_gap_after_which_nothing_is_missing() {
    let mut house = House::with(POLICY).await;
    house.publish(&["a"], "1");
    settle().await;
    let outbox = FakeOutbox::new(9);
    let _open = house.ask(after("a", id(1_000_000).to_string()), &outbox).expect("a place");
    house.publish(&["a"], "2");
    // While the bus is away nobody can know.
    house.say(SourceEvent::Interrupted { reason: "away".into() });
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(outbox.take(), Vec::<String>::new());
    house.say(SourceEvent::Subscribed);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(outbox.take(), [&gap(GapReason::Unknown, "1-1000000", id(1)), "2"]);
}

#[tokio::test(start_paused = true)]
async fn before_the_bus_is_there_streams_wait_and_miss_nothing() {
    let mut house = House::before_the_bus(POLICY, any_metrics(), PlainFrames);
    let [new, returning] = [(); 2].map(|()| FakeOutbox::new(9));
    tokio::time::sleep(Duration::from_mins(1)).await;
    let _open =
        [house.open("a", &new), house.ask(after("a", id(1).to_string()), &returning).expect("a place")];
    tokio::time::sleep(Duration::from_secs(20)).await;
    house.say(SourceEvent::Begins { after: id(0) });
    for (content, age) in [("1", 90), ("2", 40), ("3", 10)] {
        house.publish_of(&["a"], "t", content, Duration::from_secs(age));
    }
    settle().await;
    assert_eq!([new.take(), returning.take()], [Vec::<String>::new(), Vec::new()]);
    house.say(SourceEvent::Subscribed);
    house.publish(&["a"], "4");
    settle().await;
    assert_eq!(new.take(), ["3", "4"], "what was published since it was opened");
    assert_eq!(returning.take(), ["2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_bus_has_lost_is_told_to_open_streams_and_they_go_on() {
    let mut house = House::with(POLICY).await;
    let [idle, busy, other] = [(); 3].map(|()| FakeOutbox::new(9));
    let _open = [house.open("a", &idle), house.open("b", &busy), house.open("c", &other)];
    house.publish(&["b"], "1");
    settle().await;
    assert_eq!(busy.take(), ["1"]);
    // Purged before they were read.
    house.say(SourceEvent::Begins { after: id(5) });
    house.sequence = 5;
    house.publish(&["a"], "6");
    settle().await;
    assert_eq!(idle.take(), [&gap(GapReason::Expired, "1-0", id(5)), "6"]);
    assert_eq!(busy.take(), [gap(GapReason::Expired, "1-1", id(5))]);
    // Deleted and made again.
    let anew = EventId { incarnation: Incarnation::of(2), sequence: 0 };
    house.say(SourceEvent::Begins { after: anew });
    settle().await;
    assert_eq!(idle.take(), [gap(GapReason::Unknown, "1-6", anew)]);
    assert_eq!([idle.ended(), busy.ended(), other.ended()], [None; 3]);
    // Its end was lost: sequences come again, with other events.
    house.say(SourceEvent::Begins { after: id(3) });
    house.say(SourceEvent::Begins { after: id(2) });
    house.sequence = 2;
    house.publish(&["c"], "another 3");
    settle().await;
    assert_eq!(other.take().last().expect("an event"), "another 3");
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_about_to_be_forgotten_is_replaced() {
    let mut house = House::with(POLICY).await;
    tokio::spawn(house.subscriptions.clone().look_after());
    let quiet = FakeOutbox::new(99);
    let open = house.open("quiet", &quiet);
    // For an hour others are busy.
    for _ in 0..3600 {
        house.publish(&["busy"], "x");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    drop(open);
    let told = quiet.take();
    let told = told.last().and_then(|last| last.strip_prefix("at ")).expect("an id");
    for _ in 0..200 {
        house.publish(&["busy"], "x");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    house.publish(&["quiet"], "at last");
    settle().await;
    let outbox = FakeOutbox::new(9);
    let _open = house.ask(after("quiet", told), &outbox).expect("a place");
    assert_eq!(outbox.take(), ["at last"], "no gap, although nothing of all that is remembered");
}

#[tokio::test(start_paused = true)]
async fn a_tab_that_cannot_say_what_it_had_is_known_by_its_request_id() {
    let mut house = House::with(POLICY).await;
    let outbox = FakeOutbox::new(9);
    let open = house.ask(tab("a", "tab"), &outbox).expect("a place");
    house.publish(&["a"], "long ago");
    settle().await;
    tokio::time::sleep(Duration::from_secs(90)).await;
    house.publish(&["a"], "perhaps arrived");
    settle().await;
    assert_eq!(outbox.take(), ["long ago", "perhaps arrived"]);
    tokio::time::sleep(Duration::from_secs(10)).await;
    drop(open);
    house.publish(&["a"], "missed");
    settle().await;
    let back = async |request: StreamRequest| {
        let outbox = FakeOutbox::new(9);
        let _open = house.ask(request, &outbox).expect("a place");
        outbox.take()
    };
    assert_eq!(back(tab("b", "tab")).await, Vec::<String>::new(), "another user's is nobody's business");
    assert_eq!(back(tab("a", "other tab")).await, Vec::<String>::new());
    let named = StreamRequest { last_event_id: Some(id(3).to_string()), ..tab("a", "yet another") };
    assert_eq!(back(named).await, Vec::<String>::new());
    assert_eq!(back(tab("a", "tab")).await, ["perhaps arrived", "missed"]);
}

#[tokio::test(start_paused = true)]
async fn a_tab_is_known_again_while_its_old_line_is_not_yet_known_to_be_dead() {
    let mut house = House::with(POLICY).await;
    let dead = FakeOutbox::new(9);
    let _dead = house.ask(tab("a", "tab"), &dead).expect("a place");
    house.publish(&["a"], "1");
    settle().await;
    let outbox = FakeOutbox::new(9);
    let _open = house.ask(tab("a", "tab"), &outbox).expect("a place");
    house.publish(&["a"], "2");
    settle().await;
    assert_eq!(outbox.take(), ["1", "2"]);
}

/// What other instances tell, and what they are told.
struct FakeExchange {
    others: tokio::sync::Mutex<mpsc::UnboundedReceiver<Heard>>,
    told: Mutex<Vec<Bookmark>>,
}

#[async_trait]
impl BookmarkExchange for FakeExchange {
    fn tell(&self, bookmark: Bookmark) {
        self.told.lock().push(bookmark);
    }

    async fn hear(&self) -> Heard {
        self.others.lock().await.recv().await.expect("others")
    }

    async fn close(&self) {}
}

#[tokio::test(start_paused = true)]
async fn a_tab_is_known_on_every_instance() {
    let (others, heard) = mpsc::unbounded_channel();
    let exchange = Arc::new(FakeExchange { others: heard.into(), told: Mutex::default() });
    let mut house = House::among_others(exchange.clone()).await;
    let hearing = tokio::spawn(house.subscriptions.clone().hear(exchange.clone()));
    house.publish(&["a"], "1");
    house.publish(&["a"], "2");
    settle().await;
    let outbox = FakeOutbox::new(9);
    let open = house.ask(tab("a", "tab"), &outbox).expect("a place");
    settle().await;
    assert_eq!(outbox.take(), Vec::<String>::new(), "it has not been heard yet what others remember");
    let bookmark = |position| {
        let StreamRequest { principal, request, .. } = tab("a", "tab");
        Bookmark { user: principal.user, request: request.expect("chosen"), position }
    };
    others.send(Heard::Bookmark(bookmark(id(1)))).expect("heard");
    others.send(Heard::UpToDate).expect("heard");
    settle().await;
    assert_eq!(outbox.take(), ["2"]);
    outbox.end(EndReason::Client, None);
    drop(open);
    assert_eq!(*exchange.told.lock(), [bookmark(id(1))], "what was written just now may not have arrived");
    hearing.abort();
}

#[tokio::test(start_paused = true)]
async fn what_never_left_the_queue_is_not_taken_for_read() {
    let mut house = House::with(POLICY).await;
    let outbox = FakeOutbox::new(9);
    let open = house.ask(tab("a", "tab"), &outbox).expect("a place");
    house.publish(&["a"], "1");
    settle().await;
    // Far longer than what the kernel has may take to arrive.
    tokio::time::sleep(Duration::from_secs(200)).await;
    drop(open);
    let again = FakeOutbox::new(9);
    let _open = house.ask(tab("a", "tab"), &again).expect("a place");
    assert_eq!(again.take(), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn a_whole_history_reaches_a_slow_reader_and_nobody_else_waits_for_it() {
    let mut house = House::with(POLICY).await;
    let expected: Vec<_> = (0..500).map(|n| n.to_string()).collect();
    for content in &expected {
        house.publish(&["slow"], content);
    }
    settle().await;
    let (slow, live) = (FakeOutbox::new(4), FakeOutbox::new(4));
    let _open =
        [house.ask(after("slow", id(0).to_string()), &slow).expect("a place"), house.open("live", &live)];
    slow.read_every(Duration::from_millis(100));
    live.read_every(Duration::from_millis(1));
    for _ in 0..10 {
        house.publish(&["live"], "now");
        settle().await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(live.read().len(), 10);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(slow.ended(), None);
    let read = slow.read();
    assert_eq!(read[..500], expected);
    assert_eq!(read[500..], ["at 1-510"]);
}
