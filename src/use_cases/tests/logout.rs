//! Logouts and the streams that they end.

use domain::bookmark::{Bookmark, ResumePoint};

use super::*;

impl Service {
    fn log_out(&mut self, name: &str) {
        self.publish_of(&[name], "backchannel-logout", "bye", Duration::ZERO);
    }

    /// Logs out one session.
    pub(super) fn log_out_of(&mut self, name: &str, session: &str) {
        self.sequence += 1;
        let notification = notification(self.sequence, &[name], "backchannel-logout", "bye");
        let notification = Notification { session_id: session_id(session), ..notification };
        let (age, metadata) = (Duration::ZERO, MessageMetadata::default());
        self.receive(SourceEvent::Notification { notification, age, metadata });
    }
}

fn session_id(session: &str) -> Option<Box<SessionId>> {
    SessionId::of(session).map(Box::new)
}

/// Returns `request` from this session.
fn in_session(session: &str, request: StreamRequest) -> StreamRequest {
    let principal = Principal { session_id: session_id(session), ..request.principal };
    StreamRequest { principal, ..request }
}

#[tokio::test(start_paused = true)]
async fn logout_of_a_session_spares_other_sessions() {
    let mut service = Service::start(POLICY).await;
    let requests = [in_session("1", request("a")), in_session("2", request("a")), request("a")];
    let mut clients = requests.map(|request| service.try_open(request).expect("a stream"));
    service.log_out_of("a", "1");
    run_until_idle().await;
    let expected: [&[&str]; 3] = [&["bye", "Logout"], &["bye"], &["bye", "Logout"]];
    assert_eq!(clients.each_mut().map(Client::read), expected);
    assert_eq!(clients.each_ref().map(|client| client.ended().is_some()), [true, false, true]);
    service.log_out("a");
    run_until_idle().await;
    assert_eq!(clients[1].read(), ["bye", "Logout"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn missed_logout_of_another_session_ends_no_stream() {
    let mut service = Service::start(POLICY).await;
    service.log_out_of("a", "1");
    service.publish(&["a"], "2");
    run_until_idle().await;
    let open = |session| service.try_open(in_session(session, after("a", id(0)))).expect("a stream");
    let (mut same, mut other) = (open("1"), open("2"));
    assert_eq!((same.read(), same.ended()), (["bye", "Logout"].map(Into::into).to_vec(), Some("Logout")));
    assert_eq!((other.read(), other.ended()), (["bye", "2"].map(Into::into).to_vec(), None));
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn is_delivered_and_ends_streams_of_user() {
    for (close_on_logout, expected) in [(true, &["bye", "Logout"][..]), (false, &["bye"])] {
        let mut service = Service::start(StreamPolicy { close_on_logout, ..POLICY }).await;
        let mut clients = ["a", "a", "b"].map(|name| service.open(name));
        // One waits for events, one was not read yet.
        clients[0].read();
        service.log_out("a");
        run_until_idle().await;
        assert_eq!(clients.each_ref().map(Client::is_finishing), [close_on_logout, close_on_logout, false]);
        assert_eq!(clients.each_mut().map(Client::read), [expected, expected, &[]]);
        assert_eq!(clients[0].ended(), close_on_logout.then_some("Logout"));
        assert_eq!(clients[2].ended(), None);
        service.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn logout_of_everyone_ends_all_streams() {
    let mut service = Service::start(POLICY).await;
    let mut clients = ["a", "b"].map(|name| service.open(name));
    service.log_out("everyone");
    run_until_idle().await;
    assert!(clients.iter().all(Client::is_finishing), "also when they do not read");
    assert_eq!(clients.each_mut().map(Client::read), [["bye", "Logout"]; 2]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn missed_logout_ends_stream() {
    let mut service = Service::start(POLICY).await;
    service.publish(&["a"], "1");
    service.log_out("a");
    service.publish(&["a"], "3");
    run_until_idle().await;
    let mut client = service.try_open(after("a", id(0))).expect("a stream");
    assert_eq!(client.read(), ["1", "bye", "Logout"]);
    assert_eq!((client.ended(), client.is_finishing()), (Some("Logout"), true));
    // A client that returns with the id of the logout continues after it.
    let mut client = service.try_open(after("a", id(2))).expect("a stream");
    assert_eq!((client.read(), client.ended()), (vec!["3".to_owned()], None));
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn missed_logout_ends_no_stream_if_turned_off() {
    let mut service = Service::start(StreamPolicy { close_on_logout: false, ..POLICY }).await;
    service.log_out("a");
    service.log_out("a");
    service.publish(&["a"], "3");
    run_until_idle().await;
    let mut client = service.try_open(after("a", id(0))).expect("a stream");
    assert_eq!((client.read(), client.ended()), (["bye", "bye", "3"].map(Into::into).to_vec(), None));
    service.publish(&["a"], "4");
    run_until_idle().await;
    assert_eq!(client.read(), ["4"]);
    service.stop().await;
}

/// The logout was published while the stream replayed missed events.
#[tokio::test(start_paused = true)]
async fn ends_stream_that_still_replays() {
    let mut service = Service::start(POLICY).await;
    service.publish(&["a"], "1");
    run_until_idle().await;
    let mut client = service.try_open(after("a", id(0))).expect("a stream");
    service.log_out("a");
    service.publish(&["a"], "3");
    run_until_idle().await;
    assert_eq!(client.read(), ["1", "bye", "Logout"]);
    assert_eq!((client.ended(), client.is_finishing()), (Some("Logout"), true));
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn missed_logout_is_last_event() {
    let mut service = Service::start(POLICY).await;
    service.publish(&["a"], "1");
    service.log_out("a");
    run_until_idle().await;
    let mut client = service.try_open(after("a", id(0))).expect("a stream");
    service.publish(&["a"], "3");
    run_until_idle().await;
    assert_eq!(client.read(), ["1", "bye", "Logout"]);
    service.stop().await;
}

/// The events published before the logout come first.
#[tokio::test(start_paused = true)]
async fn reaches_a_slow_client() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.open("a");
    for content in ["1", "2"] {
        service.publish(&["a"], &large(content));
    }
    service.log_out("a");
    service.publish(&["a"], "4");
    run_until_idle().await;
    assert_eq!(client.read_turn(), ["1"]);
    assert_eq!(client.read(), ["2", "bye", "Logout"]);
    service.stop().await;
}

/// A stream that has not started yet reaches the logout by its position in the log.
#[tokio::test(start_paused = true)]
async fn ends_stream_opened_before_nats() {
    let mut service = Service::before_nats(POLICY, any_metrics(), PLAIN_FRAMES);
    let mut client = service.open("a");
    assert_eq!(client.read(), NOTHING);
    service.receive(SourceEvent::Resync { after: id(0) });
    service.log_out("a");
    service.receive(SourceEvent::Subscribed);
    run_until_idle().await;
    assert_eq!(client.read(), ["at 1-0", "bye", "Logout"]);
    service.stop().await;
}

/// A client that repeats its request id gets the logout again, because it may not have arrived.
#[tokio::test(start_paused = true)]
async fn ends_streams_of_client_once() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.try_open(tab("a", "tab")).expect("a stream");
    service.log_out("a");
    run_until_idle().await;
    assert_eq!((client.read(), client.ended()), (["bye", "Logout"].map(Into::into).to_vec(), Some("Logout")));
    // The following streams stay open, whether the previous stream has ended or still seems open.
    let mut others = Vec::new();
    for content in ["2", "3", "4"] {
        drop(client);
        client = service.try_open(tab("a", "tab")).expect("a stream");
        let read = client.read();
        assert_eq!((read[0].as_str(), client.ended()), ("bye", None), "{read:?}");
        service.publish(&["a"], content);
        run_until_idle().await;
        assert_eq!(client.read(), [content]);
        tokio::time::sleep(s(5)).await;
        others.push(service.try_open(tab("a", "tab")).expect("a stream"));
    }
    service.log_out("a");
    run_until_idle().await;
    assert_eq!((client.read(), client.ended()), (["bye", "Logout"].map(Into::into).to_vec(), Some("Logout")));
    service.stop().await;
}

/// Another instance has read the logout earlier and ended the client's stream there.
#[tokio::test(start_paused = true)]
async fn ends_streams_of_client_once_across_instances() {
    let exchange = Arc::<FakeExchange>::default();
    let mut service = Service::with_exchange(POLICY, any_metrics(), PLAIN_FRAMES, Some(exchange.clone()));
    service.connect_nats().await;
    let following = tokio::spawn(service.subscriptions.clone().follow(exchange.clone()));
    let StreamRequest { principal, request, .. } = tab("a", "tab");
    let point = ResumePoint { position: id(0), logged_out: Some(id(1)) };
    exchange.another().publish(Bookmark { user: principal.user, request: request.expect("chosen"), point });
    run_until_idle().await;
    let mut client = service.try_open(tab("a", "tab")).expect("a stream");
    assert_eq!(client.read(), NOTHING);
    service.log_out("a");
    run_until_idle().await;
    assert_eq!((client.read(), client.ended()), (vec!["bye".to_owned()], None));
    service.log_out("a");
    run_until_idle().await;
    assert_eq!((client.read(), client.ended()), (["bye", "Logout"].map(Into::into).to_vec(), Some("Logout")));
    following.abort();
    service.stop().await;
}
