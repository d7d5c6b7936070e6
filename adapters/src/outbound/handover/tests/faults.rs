//! Peers that send something invalid, nothing, or half of a message, or that close at any step.
#![expect(clippy::disallowed_methods, reason = "reads the runtime's paused clock")]

use std::io::ErrorKind;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::Instant,
};

use super::*;

/// A time by which every side has given up.
const GIVEN_UP: Duration = Duration::from_mins(2);

/// What a peer does in place of its next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Closes,
    IsSilent,
    SendsHalf,
    /// Sends half of a message and closes.
    ClosesAfterHalf,
    /// Sends a message that does not belong there.
    SendsAnother,
    SendsGarbage,
    SendsTooMuch,
    /// Sends a message that announces a descriptor which does not come.
    SendsNoDescriptor,
}

const FAULTS: [Fault; 8] = [
    Fault::Closes,
    Fault::IsSilent,
    Fault::SendsHalf,
    Fault::ClosesAfterHalf,
    Fault::SendsAnother,
    Fault::SendsGarbage,
    Fault::SendsTooMuch,
    Fault::SendsNoDescriptor,
];

fn frame(text: &[u8], data: u32, descriptors: u32) -> Vec<u8> {
    let lengths = [u32::try_from(text.len()).expect("short"), data, descriptors];
    lengths.into_iter().flat_map(u32::to_be_bytes).chain(text.iter().copied()).collect()
}

impl Fault {
    /// Returns the connection if it stays open.
    async fn happen(self, mut socket: UnixStream) -> Option<UnixStream> {
        let half = &frame(br#"{"Aborted":{"reason":"x"}}"#, 0, 0)[..20];
        let bytes = match self {
            Self::Closes | Self::IsSilent => Vec::new(),
            Self::SendsHalf | Self::ClosesAfterHalf => half.to_vec(),
            Self::SendsAnother => frame(br#"{"Refused":{"reason":"private"}}"#, 0, 0),
            Self::SendsGarbage => frame(b"{\"private\": ", 0, 0),
            Self::SendsTooMuch => frame(b"x", u32::MAX, 0),
            Self::SendsNoDescriptor => frame(br#""Proceed""#, 0, 1),
        };
        socket.write_all(&bytes).await.expect("sent");
        (!matches!(self, Self::Closes | Self::ClosesAfterHalf)).then_some(socket)
    }
}

/// Returns the outcome of `future`, which must not take longer than everybody's patience.
async fn in_time<T>(fault: Fault, future: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let outcome = tokio::time::timeout(GIVEN_UP, future).await.unwrap_or_else(|_| panic!("{fault:?} hangs"));
    let waits = matches!(fault, Fault::IsSilent | Fault::SendsHalf);
    assert_eq!(start.elapsed() > SOON, waits, "{fault:?} after {:?}", start.elapsed());
    outcome
}

#[tokio::test(start_paused = true)]
async fn unusable_offer_is_an_error() {
    for fault in FAULTS {
        let (_directory, path) = place();
        let listener = tokio::net::UnixListener::bind(&path).expect("bound");
        let peer = async {
            let (socket, _) = listener.accept().await.expect("accepted");
            fault.happen(socket).await
        };
        let (asked, _peer) = tokio::join!(in_time(fault, Predecessor::ask(&path, "2.0")), peer);
        let error = asked.err().unwrap_or_else(|| panic!("{fault:?} is an offer"));
        let is_refused = matches!(&error, TakeOverFailed::Refused(reason) if reason == "private");
        assert_eq!(is_refused, fault == Fault::SendsAnother, "{error:?}");
        assert!(is_refused || !format!("{error:?}").contains("private"), "{error:?}");
    }
}

/// A successor has asked, and got an offer.
async fn asked() -> (UnixStream, SuccessorProcess) {
    let (_directory, path) = place();
    let listener = TakeOverListener::bind(&path, false).expect("bound");
    let mut socket = UnixStream::connect(&path).await.expect("connected");
    let request = format!(r#"{{"Request":{{"format":{FORMAT},"version":"2.0"}}}}"#);
    socket.write_all(&frame(request.as_bytes(), 0, 0)).await.expect("sent");
    let successor = listener.accept().await;
    (socket, successor)
}

#[tokio::test(start_paused = true)]
async fn successor_that_does_not_become_ready_is_lost() {
    for fault in FAULTS {
        let (socket, successor) = asked().await;
        let _peer = fault.happen(socket).await;
        let offered = in_time(fault, successor.offer("1.0", String::new(), Vec::new())).await;
        let cause = offered.expect_err("lost").cause;
        let expected = match fault {
            Fault::Closes | Fault::ClosesAfterHalf => "it has ended",
            Fault::IsSilent | Fault::SendsHalf => "it has not answered in time",
            Fault::SendsAnother => "it has sent another message than expected",
            Fault::SendsGarbage => "a message cannot be read: Data error",
            Fault::SendsTooMuch => "a message is too large",
            Fault::SendsNoDescriptor => "descriptors are missing",
        };
        assert_eq!(cause, expected, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn successor_that_does_not_confirm_gets_no_stream() {
    for fault in FAULTS {
        let (socket, successor) = asked().await;
        let mut peer = fault.happen(socket).await;
        let streams = || vec![(stream("a"), connection(null(), &b"unsent"[..]))];
        let outcome = in_time(fault, successor.hand_over(streams())).await;
        assert!(outcome.is_err(), "{fault:?}");
        // The streams belong to the predecessor: the successor cannot confirm them later.
        if let Some(socket) = &mut peer {
            let confirmed = socket.write_all(&frame(br#""Confirmed""#, 0, 0)).await;
            assert!(confirmed.is_err(), "{fault:?}");
        }
        assert!(successor.hand_over(streams()).await.is_err(), "a later call fails too: {fault:?}");
    }
}

/// A successor that reads nothing gets a part of the streams only, and neither the rest nor another message afterwards.
#[tokio::test(start_paused = true)]
async fn half_sent_streams_stay_incomplete() {
    let (mut socket, successor) = asked().await;
    let streams = vec![(stream("a"), connection(null(), vec![b'x'; 5 << 20]))];
    let outcome = tokio::time::timeout(GIVEN_UP, successor.hand_over(streams)).await.expect("in time");
    assert_eq!(outcome.expect_err("lost").cause, "it has not answered in time");
    assert!(socket.write_all(&frame(br#""Confirmed""#, 0, 0)).await.is_err(), "nothing can be confirmed");
    // There is room for another message now.
    let mut received = Vec::new();
    while matches!(socket.try_read_buf(&mut received), Ok(1..)) {}
    assert!(received.len() > 1024 && received.len() < 5 << 20, "{}", received.len());
    successor.abort("a test").await;
    drop(successor);
    socket.read_to_end(&mut received).await.expect("the end");
    assert!(received.iter().rev().take(1024).all(|byte| *byte == b'x'), "only what belongs to the streams");
}

/// The predecessor has to say that it stops accepting, or to end.
#[tokio::test(start_paused = true)]
async fn ready_process_waits_for_its_predecessor() {
    for fault in FAULTS {
        let (_directory, path) = place();
        let listener = tokio::net::UnixListener::bind(&path).expect("bound");
        let offering = async {
            let (mut socket, _) = listener.accept().await.expect("accepted");
            let offer = br#"{"Offer":{"version":"1.0","token":"","sockets":[]}}"#;
            socket.write_all(&frame(offer, 0, 0)).await.expect("sent");
            socket
        };
        let (asked, socket) = tokio::join!(Predecessor::ask(&path, "2.0"), offering);
        let (mut predecessor, _) = asked.expect("asked").expect("a process");
        let _peer = fault.happen(socket).await;
        let ready = in_time(fault, predecessor.ready(1, None)).await;
        // Only the end of the predecessor lets this process go on alone.
        assert_eq!(ready.is_ok(), matches!(fault, Fault::Closes | Fault::ClosesAfterHalf), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn invalid_streams_are_an_error() {
    for fault in FAULTS {
        let (successor, mut predecessor) = channels_in_use().await;
        let peer = fault.happen(successor).await;
        let received = tokio::time::timeout(GIVEN_UP, predecessor.streams()).await;
        match fault {
            // There is no deadline between two batches: the end of the predecessor ends the wait.
            Fault::IsSilent | Fault::SendsHalf => {
                assert!(received.is_err(), "{fault:?}");
                drop(peer);
                assert!(predecessor.streams().await.expect("the end").is_none());
            }
            Fault::Closes | Fault::ClosesAfterHalf => {
                assert!(received.expect("in time").expect("the end").is_none(), "{fault:?}");
            }
            _ => {
                let error = received.expect("in time").err().unwrap_or_else(|| panic!("{fault:?} is valid"));
                assert!(!format!("{error:?}").contains("private"), "{error:?}");
            }
        }
    }
}

/// Returns a socket in place of the predecessor, and the successor's side of it.
async fn channels_in_use() -> (UnixStream, Predecessor) {
    let (_directory, path) = place();
    let listener = tokio::net::UnixListener::bind(&path).expect("bound");
    let proceeding = async {
        let (mut socket, _) = listener.accept().await.expect("accepted");
        let offer = br#"{"Offer":{"version":"1.0","token":"","sockets":[]}}"#;
        let proceed = frame(br#""Proceed""#, 0, 0);
        socket.write_all(&[frame(offer, 0, 0), proceed].concat()).await.expect("sent");
        socket
    };
    let successor = async {
        let (mut predecessor, _) = Predecessor::ask(&path, "2.0").await.expect("asked").expect("a process");
        predecessor.ready(1, None).await.expect("proceeds");
        predecessor
    };
    tokio::join!(proceeding, successor)
}

/// The reason of the predecessor arrives at each step.
#[tokio::test(start_paused = true)]
async fn reason_of_the_predecessor_arrives() {
    let (successor, mut predecessor) = take_over().await;
    successor.abort("the reason").await;
    drop(successor);
    let Err(TakeOverFailed::Refused(reason)) = predecessor.streams().await else { panic!("not refused") };
    assert_eq!(reason, "the reason");
}

/// The predecessor was lost, or has given up, before this process confirms.
#[tokio::test(start_paused = true)]
async fn streams_cannot_be_confirmed_too_late() {
    let (successor, mut predecessor) = take_over().await;
    let streams = vec![(stream("a"), connection(null(), Bytes::new()))];
    let outcome = successor.hand_over(streams).await;
    assert_eq!(outcome.expect_err("lost").cause, "it has not answered in time");
    assert_eq!(predecessor.streams().await.expect("received").expect("streams").len(), 1);
    assert!(predecessor.confirm().await.is_err());
    successor.abort("it was too slow").await;
    assert!(matches!(predecessor.streams().await, Err(TakeOverFailed::Refused(_))));
}

/// A process that asks for nothing does not keep others from taking over.
#[tokio::test(start_paused = true)]
async fn faulty_request_does_not_stop_the_listener() {
    for fault in FAULTS {
        let (_directory, path) = place();
        let listener = TakeOverListener::bind(&path, false).expect("bound");
        let _peer = fault.happen(UnixStream::connect(&path).await.expect("connected")).await;
        let second = async {
            let asked = Predecessor::ask(&path, "2.0").await;
            assert!(matches!(asked, Err(TakeOverFailed::Refused(reason)) if reason == "a test"), "{fault:?}");
        };
        let listening = async { listener.accept().await.refuse("a test").await };
        let start = Instant::now();
        tokio::join!(second, listening);
        assert!(start.elapsed() < Duration::from_secs(8), "{fault:?}");
    }
}

/// Any two parts of a message arrive as one.
#[tokio::test(start_paused = true)]
async fn message_may_arrive_in_parts() {
    let message = frame(br#"{"Aborted":{"reason":"x"}}"#, 0, 0);
    for length in 1..message.len() {
        let (mut peer, socket) = UnixStream::pair().expect("connected");
        let mut channel = Channel::new(socket).expect("the same user");
        peer.write_all(&message[..length]).await.expect("sent");
        let error = channel.receive(SOON).await.err().expect("incomplete");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        peer.write_all(&[&message[length..], &message].concat()).await.expect("sent");
        for _ in 0..2 {
            let Parcel { message, .. } = channel.receive(SOON).await.expect("complete");
            assert_eq!(message, Message::Aborted { reason: "x".into() });
        }
    }
}

/// The descriptors of several messages stay apart.
#[tokio::test(start_paused = true)]
async fn each_message_has_its_descriptors() {
    let (mut first, mut second) = channels();
    for count in [2, 0, 3] {
        let descriptors = (0..count).map(|_| null()).collect();
        let parcel = Parcel { message: Message::Proceed, data: vec![b'x'; count], descriptors };
        first.send(&parcel, SOON).await.expect("sent");
    }
    for count in [2, 0, 3] {
        let parcel = second.receive(SOON).await.expect("received");
        assert_eq!((parcel.descriptors.len(), parcel.data.len()), (count, count));
    }
}
