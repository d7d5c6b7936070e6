//! The side of the new process: it takes over from its predecessor.

use std::{io, os::fd::OwnedFd, path::Path, time::Duration};

use ports::inbound::{ContinuedStream, SuspendedConnection};
use tokio::net::UnixStream;

use super::{
    channel::{Channel, Parcel},
    messages::{FORMAT, Message, streams_of},
};

/// Time in which the predecessor answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The process from which this one takes over.
pub struct Predecessor {
    channel: Channel,
}

/// The offer of the predecessor.
pub struct Offer {
    /// Its version.
    pub version: String,
    /// A token that it accepts.
    pub token: String,
    /// Its listening sockets, with their names.
    pub sockets: Vec<(String, OwnedFd)>,
}

impl Predecessor {
    /// Asks the process that listens at `path` to hand over. Returns none if no process listens there.
    ///
    /// # Errors
    ///
    /// The other process does not hand over to this one.
    pub async fn ask(path: &Path, version: &str) -> Result<Option<(Self, Offer)>, TakeOverFailed> {
        let socket = match UnixStream::connect(path).await {
            Ok(socket) => socket,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(TakeOverFailed::Connection(error)),
        };
        let mut channel = Channel::new(socket).map_err(TakeOverFailed::Connection)?;
        let request = Message::Request { format: FORMAT, version: version.into() };
        channel.send(&request.into(), ANSWER_TIMEOUT).await.map_err(TakeOverFailed::Connection)?;
        let Parcel { message, descriptors, .. } =
            channel.receive(ANSWER_TIMEOUT).await.map_err(TakeOverFailed::Connection)?;
        match message {
            Message::Offer { version, token, sockets } => {
                let sockets = sockets.into_iter().zip(descriptors).collect();
                Ok(Some((Self { channel }, Offer { version, token, sockets })))
            }
            Message::Refused { reason } => Err(TakeOverFailed::Refused(reason)),
            _ => Err(TakeOverFailed::Unexpected),
        }
    }

    /// Says that this process is ready, with room for so many streams, or with the `reason` why it continues none. Returns when this process
    /// shall accept connections: the predecessor has stopped to accept them, or has ended.
    ///
    /// # Errors
    ///
    /// The predecessor continues alone.
    pub async fn ready(&mut self, room: usize, reason: Option<String>) -> Result<(), TakeOverFailed> {
        // If the predecessor does not receive it, what it has sent before says why.
        self.channel.send(&Message::Ready { room, reason }.into(), ANSWER_TIMEOUT).await.ok();
        match self.channel.receive(ANSWER_TIMEOUT).await {
            Ok(Parcel { message: Message::Proceed, .. }) => Ok(()),
            Ok(Parcel { message: Message::Aborted { reason }, .. }) => Err(TakeOverFailed::Refused(reason)),
            Ok(_) => Err(TakeOverFailed::Unexpected),
            // Only a process that has ended closes the connection without a message.
            Err(error) if is_end(&error) => Ok(()),
            Err(error) => Err(TakeOverFailed::Connection(error)),
        }
    }

    /// Receives streams, which still belong to the predecessor. Returns none when it hands over no more.
    ///
    /// # Errors
    ///
    /// The predecessor continues alone, or has sent something that is not valid.
    pub async fn streams(
        &mut self,
    ) -> Result<Option<Vec<(ContinuedStream, SuspendedConnection)>>, TakeOverFailed> {
        let mut parcel = match self.channel.receive_next().await {
            Ok(parcel) => parcel,
            Err(error) if is_end(&error) => return Ok(None),
            Err(error) => return Err(TakeOverFailed::Connection(error)),
        };
        match std::mem::replace(&mut parcel.message, Message::Proceed) {
            Message::Streams(messages) => {
                streams_of(messages, parcel).map(Some).map_err(TakeOverFailed::Connection)
            }
            Message::Aborted { reason } => Err(TakeOverFailed::Refused(reason)),
            _ => Err(TakeOverFailed::Unexpected),
        }
    }

    /// Confirms the received streams. From now on they belong to this process.
    ///
    /// # Errors
    ///
    /// The streams do not belong to this process: the predecessor continues them, or has ended.
    pub async fn confirm(&mut self) -> Result<(), TakeOverFailed> {
        self.channel
            .send(&Message::Confirmed.into(), ANSWER_TIMEOUT)
            .await
            .map_err(TakeOverFailed::Connection)
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}

/// Why this process does not take over.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverFailed {
    /// The connection to the other process cannot be used.
    #[error("the connection to the running process cannot be used")]
    Connection(#[source] io::Error),
    /// The other process does not agree.
    #[error("the running process does not hand over: {0}")]
    Refused(String),
    /// The other process has sent an unexpected message.
    #[error("the running process has sent an unexpected message; is it another version?")]
    Unexpected,
}
