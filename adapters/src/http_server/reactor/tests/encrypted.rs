//! Tests with connections over TLS.

use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use super::{super::super::tls::test_client::Peers, *};

/// A reactor with one connection over TLS.
struct Fixture {
    client: StreamOwned<ClientConnection, TcpStream>,
    body: mpsc::UnboundedSender<Bytes>,
    handle: ConnectionHandle,
}

impl Fixture {
    fn new() -> Self {
        let connections = Connections::new(1000, Arc::<Counts>::default());
        connections.enter().hand_over();
        let reactor = Reactor::new(connections, WRITE_TIMEOUT).expect("a reactor");
        let (body, receiver) = mpsc::unbounded_channel();
        let (session, client) = Peers::new().connected();
        let body_of = |_: &ConnectionHandle| BoxBody::new(ChannelBody(receiver));
        let (socket, handle) = hand_off_with(&reactor.inbox(), Some(Box::new(session)), body_of, false);
        tokio::spawn(reactor.run());
        Self { client: StreamOwned::new(client, socket), body, handle }
    }

    fn send(&self, text: &str) {
        self.body.send(Bytes::copy_from_slice(text.as_bytes())).expect("taken");
    }

    fn expect_bytes(&mut self, expected: &str) {
        let mut read = vec![0; expected.len()];
        self.client.read_exact(&mut read).expect("so much");
        assert_eq!(String::from_utf8_lossy(&read), expected);
    }

    /// Waits until the body is dropped.
    async fn is_closed(&self) {
        tokio::time::timeout(Duration::from_mins(1), self.body.closed()).await.expect("in time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn body_arrives_and_its_end_is_told() {
    let mut fixture = Fixture::new();
    for text in ["one", "two"] {
        fixture.send(text);
        fixture.expect_bytes(text);
    }
    let Fixture { mut client, body, .. } = fixture;
    drop(body);
    let mut rest = String::new();
    // Without the alert that ends the session the client reports an error.
    client.read_to_string(&mut rest).expect("a clean end");
    assert_eq!(rest, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn blocked_records_are_written_later_in_order() {
    const LINES: u32 = 10_000;
    let fixture = Fixture::new();
    let mut expected = String::new();
    for n in 0..LINES {
        let line = format!("{n:0>1000}");
        fixture.send(&line);
        expected += &line;
    }
    while !fixture.handle.is_blocked() {
        tokio::task::yield_now().await;
    }
    let Fixture { mut client, body, .. } = fixture;
    drop(body);
    let mut input = String::new();
    client.read_to_string(&mut input).expect("a clean end");
    assert!(input == expected);
}

/// The client asks for the server's next key, also while records of the present one still wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn keys_may_change() {
    let mut fixture = Fixture::new();
    for round in 0..10 {
        for _ in 0..100 {
            fixture.send(&"x".repeat(10_000));
        }
        fixture.client.conn.refresh_traffic_keys().expect("TLS 1.3");
        fixture.client.flush().expect("sent");
        fixture.send("last");
        let mut input = Vec::new();
        while !input.ends_with(b"last") {
            let mut piece = [0; 4096];
            let length = fixture.client.read(&mut piece).expect("valid records");
            assert_ne!(length, 0, "an end in round {round}");
            input.extend_from_slice(&piece[..length]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_may_send_a_little_and_close() {
    let mut fixture = Fixture::new();
    fixture.client.write_all(b"unexpected input").expect("sent");
    fixture.send("one");
    fixture.expect_bytes("one");
    fixture.client.conn.send_close_notify();
    fixture.client.flush().expect("sent");
    fixture.is_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_that_sends_too_much_is_reset() {
    let mut fixture = Fixture::new();
    let is_reset = (0..100_000).any(|_| fixture.client.write_all(&[b'x'; 4096]).is_err());
    assert!(is_reset, "after 400 MB");
    fixture.is_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_input_ends_the_connection() {
    let mut fixture = Fixture::new();
    fixture
        .client
        .sock
        .write_all(&[23, 3, 3, 0, 20].into_iter().chain([0; 20]).collect::<Vec<_>>())
        .expect("sent");
    fixture.is_closed().await;
    assert!(fixture.client.read(&mut [0]).is_err(), "no clean end");
}

#[tokio::test(flavor = "multi_thread")]
async fn session_is_not_handed_over() {
    let mut fixture = Fixture::new();
    let (sender, receiver) = std::sync::mpsc::channel();
    fixture.handle.connection().suspend(Box::new(move |suspended| {
        sender.send(suspended.is_none()).expect("awaited");
    }));
    assert!(receiver.recv().expect("an answer"));
    fixture.send("one");
    fixture.expect_bytes("one");
}
