//! A connection to another process of the service, which carries messages with descriptors.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, Shutdown, recvmsg, sendmsg, shutdown,
    },
    process::geteuid,
};
use tokio::{
    io::{AsyncWriteExt as _, Interest},
    net::UnixStream,
    time::timeout,
};

use super::messages::Message;

/// Maximum number of descriptors of one message (`SCM_MAX_FD`).
const MAX_DESCRIPTORS: usize = 253;
/// Maximum size of a message without its data, in bytes.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// Maximum size of the data of a message, in bytes.
const MAX_DATA_BYTES: usize = 128 << 20;
/// Number of bytes that are read at a time.
const READ_BYTES: usize = 16 * 1024;
/// Size of the head of a frame: three lengths.
const HEAD_BYTES: usize = 12;

/// A message with the data and the descriptors that belong to it.
pub(super) struct Parcel {
    pub(super) message: Message,
    pub(super) data: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
}

impl From<Message> for Parcel {
    fn from(message: Message) -> Self {
        Self { message, data: Vec::new(), descriptors: Vec::new() }
    }
}

/// A connection to another process of the same user.
pub(super) struct Channel {
    socket: UnixStream,
    /// None if it is not visible here, because it has another PID namespace.
    process: Option<u32>,
    /// The received bytes that are no complete frame yet. So receiving can be cancelled at any point.
    received: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Channel {
    /// Checks that the peer is a process of the same user.
    ///
    /// # Errors
    ///
    /// It is not, or the kernel does not say.
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        let (peer, ours) = (socket.peer_cred()?, geteuid().as_raw());
        let theirs = peer.uid();
        if theirs != ours {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "the other process runs as user {theirs}, this one as user {ours}; run both as the same user"
                ),
            ));
        }
        let process =
            peer.pid().and_then(|process| u32::try_from(process).ok()).filter(|process| *process > 0);
        Ok(Self { socket, process, received: Vec::new(), descriptors: Vec::new() })
    }

    /// Returns the id of the other process, if it is visible here.
    pub(super) fn process(&self) -> Option<u32> {
        self.process
    }

    /// Sends a message. If it fails, the peer receives neither the whole message nor a later one.
    pub(super) async fn send(&mut self, parcel: &Parcel, time: Duration) -> io::Result<()> {
        let Parcel { message, data, descriptors } = parcel;
        let text = serde_json::to_vec(message)?;
        let mut frame = Vec::with_capacity(HEAD_BYTES + text.len() + data.len());
        for length in [text.len(), data.len(), descriptors.len()] {
            let length = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
            frame.extend_from_slice(&length.to_be_bytes());
        }
        frame.extend_from_slice(&text);
        frame.extend_from_slice(data);
        let descriptors: Vec<_> = descriptors.iter().map(OwnedFd::as_fd).collect();
        let sending = async {
            let socket = &self.socket;
            let sent = socket
                .async_io(Interest::WRITABLE, || send_with_descriptors(socket.as_fd(), &frame, &descriptors))
                .await?;
            self.socket.write_all(&frame[sent..]).await
        };
        let sent = timeout(time, sending).await.map_err(io::Error::from).flatten();
        if sent.is_err() {
            // The next message would complete this one.
            shutdown(&self.socket, Shutdown::Write).ok();
        }
        sent
    }

    /// Receives a message. It may be called again after a timeout.
    pub(super) async fn receive(&mut self, time: Duration) -> io::Result<Parcel> {
        timeout(time, self.receive_next()).await?
    }

    /// Receives a message, whenever it comes.
    pub(super) async fn receive_next(&mut self) -> io::Result<Parcel> {
        loop {
            if let Some(parcel) = self.complete_frame()? {
                return Ok(parcel);
            }
            let Self { socket, received, descriptors, .. } = self;
            let read = socket.async_io(Interest::READABLE, || {
                receive_with_descriptors(socket.as_fd(), received, descriptors)
            });
            if read.await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Receives nothing that is sent from now on: the peer's sends fail. What was sent before can still be received.
    pub(super) fn stop_receiving(&self) -> io::Result<()> {
        Ok(shutdown(&self.socket, Shutdown::Read)?)
    }

    /// Takes the first received frame if it is complete.
    fn complete_frame(&mut self) -> io::Result<Option<Parcel>> {
        let Some((head, rest)) = self.received.split_at_checked(HEAD_BYTES) else { return Ok(None) };
        let length = |index: usize| {
            let bytes = head[4 * index..][..4].try_into().unwrap_or_default();
            u32::from_be_bytes(bytes) as usize
        };
        let (text, data, descriptors) = (length(0), length(1), length(2));
        if text > MAX_MESSAGE_BYTES || data > MAX_DATA_BYTES || descriptors > MAX_DESCRIPTORS {
            return Err(invalid("a message is too large"));
        }
        if rest.len() < text + data {
            return Ok(None);
        }
        if self.descriptors.len() < descriptors {
            return Err(invalid("descriptors are missing"));
        }
        let message = serde_json::from_slice(&rest[..text])
            .map_err(|error| invalid(&format!("a message cannot be read: {:?} error", error.classify())))?;
        let data = rest[text..][..data].to_vec();
        self.received.drain(..HEAD_BYTES + text + data.len());
        let descriptors = self.descriptors.drain(..descriptors).collect();
        Ok(Some(Parcel { message, data, descriptors }))
    }
}

/// Returns the error for a peer that does not follow the format.
pub(super) fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Sends the first bytes of a frame with its descriptors. Returns how many bytes were sent.
fn send_with_descriptors(
    socket: BorrowedFd<'_>,
    frame: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(sendmsg(socket, &[IoSlice::new(frame)], &mut ancillary, SendFlags::NOSIGNAL)?)
}

/// Appends what was received. Returns the number of bytes, zero at the end.
fn receive_with_descriptors(
    socket: BorrowedFd<'_>,
    received: &mut Vec<u8>,
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut buffer = [0; READ_BYTES];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let message =
        recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    for ancillary in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(sent) = ancillary {
            descriptors.extend(sent);
        }
    }
    if message.flags.contains(ReturnFlags::CTRUNC) {
        return Err(invalid("the limit of file descriptors is too low for the streams"));
    }
    received.extend_from_slice(&buffer[..message.bytes]);
    Ok(message.bytes)
}
