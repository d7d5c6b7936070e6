//! Tests of a session with a client of rustls.

use std::{io::Write as _, sync::LazyLock};

use proptest::prelude::*;
use tokio_rustls::rustls::{ClientConnection, HandshakeKind};

use super::{
    super::test_client::{Peers, deliver, send, written},
    *,
};

static PEERS: LazyLock<Peers> = LazyLock::new(Peers::new);

/// Gives `bytes` to the session in pieces of these lengths, one after the other and from the start again. Returns what has arrived and
/// the records of the session.
fn receive_in_pieces(session: &mut Session, bytes: &[u8], lengths: &[usize]) -> (Vec<u8>, Vec<u8>) {
    let (mut received, mut records, mut rest) = (Received::default(), Vec::new(), bytes.to_vec());
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let next = rest.split_off(rest.len().min(*length));
        session.receive(&mut rest, &mut received, &mut records).expect("valid records");
        rest = next;
    }
    (received.plaintext, records)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn input_may_arrive_in_any_pieces(
        lengths in prop::collection::vec(1_usize..700, 1..8),
        text in prop::collection::vec(any::<u8>(), 1..40_000),
    ) {
        let (mut session, mut client) = PEERS.pair();
        while session.is_handshaking() || client.is_handshaking() {
            let (plaintext, records) = receive_in_pieces(&mut session, &written(&mut client), &lengths);
            prop_assert_eq!(plaintext, b"");
            deliver(&records, &mut client);
        }
        client.writer().write_all(&text).expect("buffered");
        let (plaintext, records) = receive_in_pieces(&mut session, &written(&mut client), &lengths);
        prop_assert!(plaintext == text && records.is_empty());
        prop_assert_eq!(session.partial.capacity(), 0, "nothing is kept between records");
    }
}

#[test]
fn plaintext_of_any_length_is_encrypted() {
    let (mut session, mut client) = PEERS.connected();
    for length in [0, 1, 16_384, 16_385, 200_000] {
        let (text, mut records) = (vec![b'x'; length], b"before".to_vec());
        session.encrypt(&text, &mut records).expect("an open session");
        assert_eq!(&records[..6], b"before");
        assert!(deliver(&records[6..], &mut client) == text, "{length}");
    }
}

/// Sends `text` to the client.
fn is_delivered(session: &mut Session, client: &mut ClientConnection, text: &[u8]) -> bool {
    let mut records = Vec::new();
    session.encrypt(text, &mut records).expect("an open session");
    deliver(&records, client) == text
}

#[test]
fn client_may_ask_for_new_keys() {
    let (mut session, mut client) = PEERS.connected();
    for _ in 0..20 {
        client.refresh_traffic_keys().expect("TLS 1.3");
        send(&mut client, &mut session).expect("a valid message");
        assert!(is_delivered(&mut session, &mut client, b"with the next keys"));
        client.writer().write_all(b"!").expect("buffered");
        assert_eq!(send(&mut client, &mut session).expect("valid").0.plaintext, b"!");
    }
}

#[test]
fn client_without_tls_gets_an_alert() {
    const ALERT: u8 = 21;
    let (mut session, _) = PEERS.pair();
    let (mut received, mut records) = (Received::default(), Vec::new());
    let mut request = *b"GET / HTTP/1.1\r\n\r\n";
    let received = session.receive(&mut request, &mut received, &mut records);
    assert_eq!(received.expect_err("not TLS").kind(), io::ErrorKind::InvalidData);
    assert_eq!(records.first(), Some(&ALERT));
    session.encrypt(b"text", &mut records).expect_err("there is no session");
    session.close(&mut records);
}

/// The client's message of this type is not expected.
const FINISHED: [u8; 4] = [20, 0, 0, 0];

/// rustls finds both messages before it processes the first one.
#[test]
fn message_after_an_invalid_one_is_not_processed() {
    let (mut session, _) = PEERS.pair();
    let (mut received, mut records) = (Received::default(), Vec::new());
    let mut record = [&[22, 3, 1, 0, 8][..], &FINISHED, &FINISHED].concat();
    session.receive(&mut record, &mut received, &mut records).expect_err("no ClientHello");
    session.receive(&mut record, &mut received, &mut records).expect_err("it has failed");
    session.encrypt(b"text", &mut records).expect_err("it has failed");
    session.close(&mut records);
}

#[test]
fn session_may_end_within_a_message() {
    let (mut session, _) = PEERS.pair();
    let (mut received, mut records) = (Received::default(), Vec::new());
    let mut start_of_a_hello = [22, 3, 1, 0, 5, 1, 0, 1, 0, 0];
    session.receive(&mut start_of_a_hello, &mut received, &mut records).expect("valid so far");
    session.encrypt(b"text", &mut records).expect_err("during the handshake");
    session.close(&mut records);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever a client sends at any time, the session reports an error or goes on.
    #[test]
    fn hostile_input_does_no_harm(
        honest_flights in 0_usize..4,
        position in any::<prop::sample::Index>(),
        forged in prop::collection::vec(prop_oneof![
            any::<u8>(),
            // Types of content and of handshake messages, versions and small lengths.
            prop::sample::select(vec![0_u8, 1, 2, 3, 4, 5, 8, 11, 20, 21, 22, 23, 24]),
        ], 0..40),
        cut in any::<bool>(),
        length in 1_usize..200,
    ) {
        let (mut session, mut client) = PEERS.pair();
        let (mut received, mut records) = (Received::default(), Vec::new());
        for flight in 0..=honest_flights {
            client.writer().write_all(b"text").expect("buffered");
            let mut bytes = written(&mut client);
            if flight == honest_flights {
                let at = position.index(bytes.len() + 1);
                let rest = bytes.split_off(at);
                bytes.extend_from_slice(&forged);
                if !cut {
                    bytes.extend_from_slice(&rest);
                }
            }
            for piece in bytes.chunks_mut(length) {
                session.receive(piece, &mut received, &mut records).ok();
                session.encrypt(b"text", &mut records).ok();
            }
            if flight < honest_flights {
                deliver(&mem::take(&mut records), &mut client);
            }
        }
        session.close(&mut records);
    }
}

#[test]
fn forged_record_ends_the_session() {
    let (mut session, mut client) = PEERS.connected();
    client.writer().write_all(b"text").expect("buffered");
    let mut forged = written(&mut client);
    *forged.last_mut().expect("a record") ^= 1;
    let (mut received, mut records) = (Received::default(), Vec::new());
    session.receive(&mut forged, &mut received, &mut records).expect_err("another tag");
    assert_eq!((&received.plaintext[..], records.is_empty()), (&b""[..], false));
}

/// A client may send a handshake message byte by byte. Its records take six times as much, and all are kept until the last one.
#[test]
fn incomplete_message_is_limited() {
    let (mut session, _) = PEERS.pair();
    // A ClientHello of 65,535 bytes.
    let message = [1, 0, 0xff, 0xff].into_iter().chain(std::iter::repeat(0));
    let (mut received, mut records, mut sent) = (Received::default(), Vec::new(), 0);
    for byte in message.take(0xffff) {
        let mut record = [22, 3, 1, 0, 1, byte];
        sent += record.len();
        if session.receive(&mut record, &mut received, &mut records).is_err() {
            break;
        }
        assert!(session.partial.len() <= MAX_MESSAGE_BYTES);
    }
    assert!(sent <= MAX_MESSAGE_BYTES + 6, "{sent} bytes");
}

/// A client may keep a stream open for days after the start of a record.
#[test]
fn incomplete_record_takes_no_more_than_its_bytes() {
    let (mut session, mut client) = PEERS.connected();
    client.writer().write_all(&vec![b'x'; 60_000]).expect("buffered");
    let mut records = written(&mut client);
    records.truncate(records.len() - 1);
    let (mut received, mut answers) = (Received::default(), Vec::new());
    for piece in records.chunks_mut(4096) {
        session.receive(piece, &mut received, &mut answers).expect("valid so far");
        assert!(session.partial.capacity() <= MAX_RECORD_BYTES);
    }
    assert_eq!(received.plaintext.len(), 3 * 16_384);
}

#[test]
fn input_after_the_end_is_ignored() {
    let (mut session, mut client) = PEERS.connected();
    client.send_close_notify();
    let mut bytes = written(&mut client);
    bytes.extend_from_slice(&[b'x'; 4096]);
    let (mut received, mut records) = (Received::default(), Vec::new());
    for _ in 0..100 {
        session.receive(&mut bytes.clone(), &mut received, &mut records).expect("ignored");
    }
    assert_eq!((received.is_closed, session.partial.capacity()), (true, 0));
}

#[test]
fn end_of_a_session_is_told() {
    let (mut session, mut client) = PEERS.connected();
    let mut records = Vec::new();
    session.close(&mut records);
    deliver(&records, &mut client);
    assert!(client.process_new_packets().expect("valid").peer_has_closed());
    records.clear();
    session.close(&mut records);
    assert_eq!(records, b"", "it is told once");

    let (mut session, mut client) = PEERS.connected();
    client.writer().write_all(b"last").expect("buffered");
    client.send_close_notify();
    let (received, _) = send(&mut client, &mut session).expect("valid");
    assert_eq!((&received.plaintext[..], received.is_closed), (&b"last"[..], true));
    assert!(is_delivered(&mut session, &mut client, b"the other direction is open"));
}

/// After an interruption many clients return, each with its own ticket.
#[test]
fn any_number_of_clients_resume_their_sessions() {
    let peers = Peers::new();
    let clients: Vec<_> = (0..600).map(|_| peers.with_another_client()).collect();
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        for client in &clients {
            assert_eq!(client.connected().1.handshake_kind(), Some(expected));
        }
    }
}
