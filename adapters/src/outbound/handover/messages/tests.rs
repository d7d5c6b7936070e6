//! Streams that are written to a message and read again.

use domain::notification::{EventId, Incarnation};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{Index, subsequence},
};

use super::*;

fn id() -> impl Strategy<Value = EventId> {
    (any::<u32>(), any::<u64>()).prop_map(|(incarnation, sequence)| EventId {
        incarnation: Incarnation::of(incarnation.into()),
        sequence,
    })
}

fn time() -> impl Strategy<Value = Duration> {
    (any::<u64>(), 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds))
}

/// Any text from which a value can be created.
fn valid<T: fmt::Debug>(text: &'static str, create: fn(&str) -> Option<T>) -> impl Strategy<Value = T> {
    text.prop_filter_map("not valid", move |text: String| create(&text))
}

fn session() -> impl Strategy<Value = SessionState> {
    let reason = prop_oneof![Just(SessionEnd::TokenExpired), Just(SessionEnd::MaxAge)];
    (time(), option::of(time()), reason).prop_map(|(silence, end, reason)| SessionState {
        silence,
        end,
        reason,
    })
}

fn gap() -> impl Strategy<Value = Gap> {
    let reason = prop_oneof![Just(GapReason::Expired), Just(GapReason::Limit), Just(GapReason::Unknown)];
    (option::of(any::<String>()), reason).prop_map(|(last_event_id, reason)| Gap { last_event_id, reason })
}

fn late() -> impl Strategy<Value = LateState> {
    (id(), time(), id(), time()).prop_map(|(after, since_last_taken, checkpoint, since_checkpoint)| {
        LateState { after, since_last_taken, checkpoint, since_checkpoint }
    })
}

fn resumable() -> impl Strategy<Value = ResumableState> {
    let request = valid("\\PC{1,80}", |text| RequestId::try_new(text).ok());
    (request, time(), option::of(id()), option::of(id()), option::of(late())).prop_map(
        |(request, age, start_after, logged_out, late)| ResumableState {
            request,
            age,
            start_after,
            logged_out,
            late,
        },
    )
}

fn continuation() -> impl Strategy<Value = Continuation> {
    let notes = vec![Note::Opening, Note::Language, Note::Keepalive, Note::Position];
    let requested =
        valid("[a-zA-Z*]{1,3}(-[a-z0-9]{2,4})?(;q=0(\\.[0-9])?)?(, ?[a-z]{2}(;q=0(\\.[0-9])?)?){0,5}", {
            LanguagePriorityList::from_accept_language
        });
    let language = valid("[a-z]{2}(-[A-Z]{2})?", |text| LanguageTag::try_new(text).ok());
    let preferences = (option::of(requested), option::of(language));
    (
        id(),
        option::of(gap()),
        subsequence(notes, 0..=4),
        session(),
        option::of(resumable()),
        preferences,
        (any::<u32>(), option::of(valid("\\PC{1,40}", SessionId::of))),
    )
        .prop_map(|(position, gap, notes, session, resumable, preferences, (issued_at, session_id))| {
            let (requested, language) = preferences;
            let issued_at = IssuedAt::new(Duration::from_secs(issued_at.into()));
            let session_id = session_id.map(Box::new);
            Continuation {
                position,
                gap,
                notes,
                session,
                resumable,
                requested,
                language,
                issued_at,
                session_id,
            }
        })
}

fn stream() -> impl Strategy<Value = ContinuedStream> {
    let user = valid("\\PC{1,40}", |text| UserId::try_new(text).ok());
    let types = valid("[a-z-]{1,9}\\*?(,[a-zA-Z.]{1,9}\\*?){0,4}", |text| TypeFilter::parse(text).ok());
    (user, option::of(types), continuation()).prop_map(|(user, types, continuation)| ContinuedStream {
        user,
        types,
        continuation,
    })
}

fn connection() -> impl Strategy<Value = (Vec<u8>, bool, u32)> {
    (vec(any::<u8>(), 0..200), any::<bool>(), any::<u32>())
}

fn suspended((unsent, is_chunked, excess_bytes): &(Vec<u8>, bool, u32)) -> SuspendedConnection {
    let socket = std::fs::File::open("/dev/null").expect("opened").into();
    SuspendedConnection {
        socket,
        unsent: unsent.clone().into(),
        is_chunked: *is_chunked,
        excess_bytes: *excess_bytes,
    }
}

/// Writes the message of a parcel as text, and reads it again.
fn read_again(parcel: Parcel) -> io::Result<Vec<(ContinuedStream, SuspendedConnection)>> {
    let text = serde_json::to_vec(&parcel.message).expect("a text");
    match serde_json::from_slice(&text).expect("the same message") {
        Message::Streams(messages) => streams_of(messages, parcel),
        message => panic!("{message:?}"),
    }
}

proptest! {
    #[test]
    fn streams_are_read_as_they_were_written(streams in vec((stream(), connection()), 0..5)) {
        let written = streams.iter().map(|(stream, connection)| (stream.clone(), suspended(connection)));
        let read = read_again(streams_parcel(written.collect())).expect("valid");
        let read: Vec<_> = read
            .into_iter()
            .map(|(stream, SuspendedConnection { unsent, is_chunked, excess_bytes, .. })| {
                (stream, (unsent.to_vec(), is_chunked, excess_bytes))
            })
            .collect();
        prop_assert_eq!(read, streams);
    }

    /// A message with a missing or another field is read as other streams, or is an error that does not repeat the value.
    #[test]
    fn changed_fields_are_errors_without_their_value(stream in stream(), field in any::<Index>()) {
        let parcel = streams_parcel(vec![(stream, suspended(&(Vec::new(), false, 0)))]);
        let Message::Streams(messages) = &parcel.message else { panic!("streams") };
        let mut message = serde_json::to_value(&messages[0]).expect("a value");
        let fields = message.as_object_mut().expect("fields");
        let name = fields.keys().nth(field.index(fields.len())).expect("a field").clone();
        fields.insert(name, "private\n".into());
        if let Ok(message) = serde_json::from_value::<StreamMessage>(message)
            && let Err(error) = message.stream()
        {
            prop_assert!(!error.to_string().contains("private"), "{}", error);
        }
    }
}

#[test]
fn sockets_and_unsent_bytes_have_to_be_complete() {
    let stream = || {
        let continuation = Continuation {
            position: EventId { incarnation: Incarnation::of(1), sequence: 1 },
            gap: None,
            notes: Vec::new(),
            session: SessionState { silence: Duration::ZERO, end: None, reason: SessionEnd::MaxAge },
            resumable: None,
            requested: None,
            language: None,
            issued_at: IssuedAt::UNKNOWN,
            session_id: None,
        };
        ContinuedStream { user: UserId::try_new("a").expect("a user id"), types: None, continuation }
    };
    let parcel = || {
        let connection = || suspended(&(b"bytes".to_vec(), true, 0));
        streams_parcel(vec![(stream(), connection()), (stream(), connection())])
    };
    let error = |parcel| read_again(parcel).expect_err("not valid").to_string();
    assert!(read_again(parcel()).is_ok());
    let mut without_socket = parcel();
    without_socket.descriptors.pop();
    assert_eq!(error(without_socket), "the streams have another number of sockets");
    let mut without_bytes = parcel();
    without_bytes.data.pop();
    assert_eq!(error(without_bytes), "unsent bytes are missing");
}
