//! The side of the running process: it hands over to its successor.

use std::{
    fs::{self, Permissions},
    io,
    os::{fd::OwnedFd, unix::fs::PermissionsExt as _},
    path::Path,
    time::Duration,
};

use async_trait::async_trait;
use ports::{
    inbound::{ContinuedStream, SuspendedConnection},
    outbound::{Successor, SuccessorLost},
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Mutex,
};
use tracing::warn;

use super::{
    channel::{Channel, Parcel, invalid},
    messages::{FORMAT, Message, streams_parcel},
};

/// Time in which the other process sends or receives a short message.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Time in which the successor has to be ready: it connects to NATS and reads the recent events.
const READY_TIMEOUT: Duration = Duration::from_mins(1);
/// Time in which the successor has to confirm streams. They are silent meanwhile.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum length of the path of the socket, in bytes: the kernel's limit without the process id of the temporary name.
const MAX_PATH_BYTES: usize = 107 - ".4194304".len();
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// A Unix socket on which the running process is asked to hand over.
pub struct TakeOverListener(UnixListener);

impl TakeOverListener {
    /// Listens at `path`, which only this user can reach. A socket that is there already is replaced, unless another process listens on it
    /// and `replace` is false.
    ///
    /// # Errors
    ///
    /// It cannot be listened on, or another process listens there.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn bind(path: &Path, replace: bool) -> io::Result<Self> {
        if !replace && std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
        }
        let bytes = path.as_os_str().len();
        if bytes > MAX_PATH_BYTES {
            let message = format!(
                "the path of the socket has {bytes} bytes; use a path of at most {MAX_PATH_BYTES} bytes"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, message));
        }
        // The socket gets its place when its permissions are set, at once.
        let temporary = path.with_added_extension(std::process::id().to_string());
        fs::remove_file(&temporary).or_else(none_if_missing)?;
        let listener = UnixListener::bind(&temporary)?;
        let placed = fs::set_permissions(&temporary, Permissions::from_mode(0o600))
            .and_then(|()| fs::rename(&temporary, path));
        if placed.is_err() {
            fs::remove_file(&temporary).ok();
        }
        placed.map(|()| Self(listener))
    }

    /// Waits for a process that asks to take over.
    pub async fn accept(&self) -> SuccessorProcess {
        loop {
            let accepted = match self.0.accept().await {
                Ok((socket, _)) => SuccessorProcess::new(socket).await,
                Err(error) => Err(error),
            };
            match accepted {
                Ok(successor) => return successor,
                Err(error) => {
                    warn!(%error, "a request to take over was rejected");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn none_if_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// A process that asks to take over, or that takes over.
pub struct SuccessorProcess {
    channel: Mutex<Channel>,
    /// Its process id. None if it is not visible here, because it is in another container.
    pub process: Option<u32>,
    /// Its version.
    pub version: String,
    format: u32,
}

/// The answer of a successor that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Maximum number of streams that it can continue.
    pub room: usize,
    /// Why it continues no stream. None if it continues streams.
    pub reason: Option<String>,
}

impl SuccessorProcess {
    async fn new(socket: UnixStream) -> io::Result<Self> {
        let mut channel = Channel::new(socket)?;
        match channel.receive(ANSWER_TIMEOUT).await?.message {
            Message::Request { format, version } => {
                let process = channel.process();
                Ok(Self { channel: Mutex::new(channel), process, version, format })
            }
            _ => Err(invalid("the first message is not a request")),
        }
    }

    /// Refuses to hand over.
    pub async fn refuse(&self, reason: &str) {
        self.tell(Message::Refused { reason: reason.into() }).await.ok();
    }

    /// Offers the listening sockets with their names, and a `token` by which the successor finds out whether it accepts the same tokens.
    /// Returns when the successor is ready.
    ///
    /// # Errors
    ///
    /// The successor has ended, or was not ready in time.
    pub async fn offer(
        &self,
        version: &str,
        token: String,
        sockets: Vec<(&str, OwnedFd)>,
    ) -> Result<Answer, SuccessorLost> {
        let (names, descriptors) =
            sockets.into_iter().map(|(name, socket)| (name.to_owned(), socket)).unzip();
        let message = Message::Offer { version: version.into(), token, sockets: names };
        let mut channel = self.channel.lock().await;
        channel
            .send(&Parcel { message, data: Vec::new(), descriptors }, ANSWER_TIMEOUT)
            .await
            .map_err(|error| lost(&error))?;
        match channel.receive(READY_TIMEOUT).await.map_err(|error| lost(&error))?.message {
            Message::Ready { room, .. } if self.format != FORMAT => {
                let reason = format!("it has version {}, with another format of streams", self.version);
                Ok(Answer { room, reason: Some(reason) })
            }
            Message::Ready { room, reason } => Ok(Answer { room, reason }),
            _ => Err(lost(&invalid("it has sent another message than expected"))),
        }
    }

    /// Lets the successor accept connections. This process must have stopped to accept them.
    ///
    /// # Errors
    ///
    /// The successor has ended.
    pub async fn proceed(&self) -> Result<(), SuccessorLost> {
        self.tell(Message::Proceed).await
    }

    /// Tells a successor that this process continues alone.
    pub async fn abort(&self, reason: &str) {
        self.tell(Message::Aborted { reason: reason.into() }).await.ok();
    }

    async fn tell(&self, message: Message) -> Result<(), SuccessorLost> {
        self.channel.lock().await.send(&message.into(), ANSWER_TIMEOUT).await.map_err(|error| lost(&error))
    }
}

fn lost(error: &io::Error) -> SuccessorLost {
    let cause = match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            "it has ended".into()
        }
        io::ErrorKind::TimedOut => "it has not answered in time".into(),
        _ => error.to_string(),
    };
    SuccessorLost { cause }
}

#[async_trait]
impl Successor for SuccessorProcess {
    async fn hand_over(
        &self,
        streams: Vec<(ContinuedStream, SuspendedConnection)>,
    ) -> Result<(), SuccessorLost> {
        let mut channel = self.channel.lock().await;
        let answer = async {
            channel.send(&streams_parcel(streams), CONFIRM_TIMEOUT).await?;
            match final_answer(&mut channel, CONFIRM_TIMEOUT).await?.message {
                Message::Confirmed => Ok(()),
                _ => Err(invalid("it has sent another message than expected")),
            }
        };
        let confirmed = answer.await;
        if confirmed.is_err() {
            // Otherwise the successor could still confirm, and both processes would continue the streams.
            channel.stop_receiving().ok();
        }
        confirmed.map_err(|error| lost(&error))
    }
}

/// Receives the answer of a successor. After a timeout, what the successor has sent by then counts, and it can send nothing more.
async fn final_answer(channel: &mut Channel, time: Duration) -> io::Result<Parcel> {
    match channel.receive(time).await {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            channel.stop_receiving()?;
            channel.receive(ANSWER_TIMEOUT).await.map_err(|_| error)
        }
        answer => answer,
    }
}

#[cfg(test)]
mod tests;
