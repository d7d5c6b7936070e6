//! The messages of a take-over, as JSON.
//!
//! `Request`, `Offer`, `Refused`, `Ready`, `Proceed` and `Aborted` never change except for new fields, so that any two versions can agree.
//! `Streams` may change with [`FORMAT`].

use std::{fmt, io, str::FromStr, time::Duration};

use bytes::Bytes;
use domain::{
    bookmark::RequestId,
    gap::{Gap, GapReason},
    identity::{IssuedAt, SessionId, UserId},
    language::{LanguagePriorityList, LanguageTag},
    log::{Continuation, LateState, Note, ResumableState},
    session::{SessionEnd, SessionState},
    type_filter::TypeFilter,
};
use ports::inbound::{ContinuedStream, SuspendedConnection};
use serde::{Deserialize, Serialize};

use super::channel::{Parcel, invalid};

/// The format of `Streams`. Processes with different formats hand over listening sockets only.
pub(super) const FORMAT: u32 = 1;

#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(super) enum Message {
    /// The successor asks to take over.
    Request { format: u32, version: String },
    /// The predecessor agrees. The descriptors are listening sockets with these names.
    Offer { version: String, token: String, sockets: Vec<String> },
    /// The predecessor does not agree.
    Refused { reason: String },
    /// The successor can accept connections and continue `room` streams. `reason` says why if it continues none.
    Ready { room: usize, reason: Option<String> },
    /// The predecessor accepts no connection any more.
    Proceed,
    /// The predecessor continues alone.
    Aborted { reason: String },
    /// Streams. The descriptors are their sockets, and the data is their unsent bytes.
    Streams(Vec<StreamMessage>),
    /// The successor continues the streams.
    Confirmed,
}

/// A stream with its connection.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct StreamMessage {
    user: String,
    types: Option<String>,
    position: String,
    gap: Option<GapMessage>,
    notes: Vec<NoteMessage>,
    silence: Duration,
    end: Option<Duration>,
    #[serde(with = "SessionEndMessage")]
    end_reason: SessionEnd,
    resumable: Option<ResumableMessage>,
    accept_language: Option<String>,
    language: Option<String>,
    /// Seconds since 1970.
    issued_at: u64,
    session_id: Option<String>,
    unsent_bytes: usize,
    is_chunked: bool,
    excess_bytes: u32,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct GapMessage {
    last_event_id: Option<String>,
    #[serde(with = "GapReasonMessage")]
    reason: GapReason,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct ResumableMessage {
    request: String,
    age: Duration,
    start_after: Option<String>,
    logged_out: Option<String>,
    late: Option<LateMessage>,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct LateMessage {
    after: String,
    since_last_taken: Duration,
    checkpoint: String,
    since_checkpoint: Duration,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct NoteMessage(#[serde(with = "NoteName")] Note);

#[derive(Deserialize, Serialize)]
#[serde(remote = "Note")]
enum NoteName {
    Opening,
    Language,
    Keepalive,
    Position,
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "GapReason")]
enum GapReasonMessage {
    Expired,
    Limit,
    Unknown,
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "SessionEnd")]
enum SessionEndMessage {
    TokenExpired,
    MaxAge,
}

/// Returns the message with these streams.
pub(super) fn streams_parcel(streams: Vec<(ContinuedStream, SuspendedConnection)>) -> Parcel {
    let (mut messages, mut data, mut descriptors) = (Vec::new(), Vec::new(), Vec::new());
    for (stream, SuspendedConnection { socket, unsent, is_chunked, excess_bytes }) in streams {
        messages.push(StreamMessage::new(stream, unsent.len(), is_chunked, excess_bytes));
        data.extend_from_slice(&unsent);
        descriptors.push(socket);
    }
    Parcel { message: Message::Streams(messages), data, descriptors }
}

/// Returns the streams of a message.
///
/// # Errors
///
/// The message is not valid.
pub(super) fn streams_of(
    messages: Vec<StreamMessage>,
    Parcel { data, descriptors, .. }: Parcel,
) -> io::Result<Vec<(ContinuedStream, SuspendedConnection)>> {
    if messages.len() != descriptors.len() {
        return Err(invalid("the streams have another number of sockets"));
    }
    let mut data = Bytes::from(data);
    let streams = messages.into_iter().zip(descriptors).map(|(message, socket)| {
        let StreamMessage { unsent_bytes, is_chunked, excess_bytes, .. } = message;
        if unsent_bytes > data.len() {
            return Err(invalid("unsent bytes are missing"));
        }
        let unsent = data.split_to(unsent_bytes);
        Ok((message.stream()?, SuspendedConnection { socket, unsent, is_chunked, excess_bytes }))
    });
    streams.collect()
}

impl StreamMessage {
    fn new(stream: ContinuedStream, unsent_bytes: usize, is_chunked: bool, excess_bytes: u32) -> Self {
        let ContinuedStream { user, types, continuation } = stream;
        let Continuation {
            position,
            gap,
            notes,
            session,
            resumable,
            requested,
            language,
            issued_at,
            session_id,
        } = continuation;
        let SessionState { silence, end, reason } = session;
        Self {
            user: user.as_str().to_owned(),
            types: text(types),
            position: position.to_string(),
            gap: gap.map(|Gap { last_event_id, reason }| GapMessage { last_event_id, reason }),
            notes: notes.into_iter().map(NoteMessage).collect(),
            silence,
            end,
            end_reason: reason,
            resumable: resumable.map(ResumableMessage::new),
            accept_language: text(requested),
            language: text(language),
            issued_at: issued_at.unix_time().as_secs(),
            session_id: session_id.map(|id| id.as_str().to_owned()),
            unsent_bytes,
            is_chunked,
            excess_bytes,
        }
    }

    fn stream(self) -> io::Result<ContinuedStream> {
        let list = |field: String| {
            LanguagePriorityList::from_accept_language(&field).ok_or_else(|| unusable("accept_language"))
        };
        let types = |types: String| TypeFilter::parse(&types).map_err(|_| unusable("types"));
        let language = |tag: String| LanguageTag::try_new(&tag).map_err(|_| unusable("language"));
        let session = |id: String| SessionId::of(&id).map(Box::new).ok_or_else(|| unusable("session_id"));
        let continuation = Continuation {
            position: parsed(&self.position, "position")?,
            gap: self.gap.map(|GapMessage { last_event_id, reason }| Gap { last_event_id, reason }),
            notes: self.notes.into_iter().map(|NoteMessage(note)| note).collect(),
            session: SessionState { silence: self.silence, end: self.end, reason: self.end_reason },
            resumable: self.resumable.map(ResumableMessage::state).transpose()?,
            requested: self.accept_language.map(list).transpose()?,
            language: self.language.map(language).transpose()?,
            issued_at: IssuedAt::new(Duration::from_secs(self.issued_at)),
            session_id: self.session_id.map(session).transpose()?,
        };
        Ok(ContinuedStream {
            user: UserId::try_new(&self.user).map_err(|_| unusable("user"))?,
            types: self.types.map(types).transpose()?,
            continuation,
        })
    }
}

impl ResumableMessage {
    fn new(ResumableState { request, age, start_after, logged_out, late }: ResumableState) -> Self {
        Self {
            request: request.as_str().to_owned(),
            age,
            start_after: text(start_after),
            logged_out: text(logged_out),
            late: late.map(LateMessage::new),
        }
    }

    fn state(self) -> io::Result<ResumableState> {
        let id = |id: Option<String>, field| id.map(|id| parsed(&id, field)).transpose();
        Ok(ResumableState {
            request: RequestId::try_new(&self.request).map_err(|_| unusable("request"))?,
            age: self.age,
            start_after: id(self.start_after, "start_after")?,
            logged_out: id(self.logged_out, "logged_out")?,
            late: self.late.map(LateMessage::state).transpose()?,
        })
    }
}

impl LateMessage {
    fn new(LateState { after, since_last_taken, checkpoint, since_checkpoint }: LateState) -> Self {
        Self {
            after: after.to_string(),
            since_last_taken,
            checkpoint: checkpoint.to_string(),
            since_checkpoint,
        }
    }

    fn state(self) -> io::Result<LateState> {
        Ok(LateState {
            after: parsed(&self.after, "after")?,
            since_last_taken: self.since_last_taken,
            checkpoint: parsed(&self.checkpoint, "checkpoint")?,
            since_checkpoint: self.since_checkpoint,
        })
    }
}

fn text(value: Option<impl fmt::Display>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn parsed<T: FromStr>(text: &str, field: &str) -> io::Result<T> {
    text.parse().map_err(|_| unusable(field))
}

/// Returns the error for an invalid field. It does not repeat the value, which may be a user's.
fn unusable(field: &str) -> io::Error {
    invalid(&format!("{field} of a stream is not valid"))
}

#[cfg(test)]
mod tests;
