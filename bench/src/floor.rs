//! The lower bound of the cost: a server that does one bare `send` of an encoded frame to each client.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread::JoinHandle,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;

use crate::ledger::{Event, now};

/// The head of the response of each floor.
pub(crate) const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// A server on a thread of its own.
pub(crate) struct Floor {
    pub(crate) address: SocketAddr,
    /// Each number sends one frame to all clients.
    pub(crate) numbers: mpsc::UnboundedSender<u64>,
    /// Returns the CPU time of the sends.
    pub(crate) sending: JoinHandle<io::Result<Duration>>,
}

impl Floor {
    /// Starts a server that waits for `clients` clients.
    pub(crate) fn start(clients: usize, frames: Frames) -> io::Result<Self> {
        let listener = listen()?;
        let address = listener.local_addr()?;
        let (numbers, due) = mpsc::unbounded_channel();
        let sending = std::thread::spawn(move || serve(&listener, clients, &frames, due));
        Ok(Self { address, numbers, sending })
    }
}

/// The frames that the server sends.
pub(crate) enum Frames {
    /// Events with additional content, in bytes.
    Events { padding: usize },
    /// Keepalives.
    Comments,
}

impl Frames {
    /// Returns the frame with this number as a chunk of the response.
    fn next(&self, number: u64) -> serde_json::Result<String> {
        let frame = match self {
            Self::Events { padding } => {
                return event_chunk(&Event { number, published: now(), padding: "x".repeat(*padding) });
            }
            Self::Comments => ": keepalive\n\n",
        };
        Ok(chunk(frame))
    }
}

/// Returns the frame of an event as a chunk of the response.
pub(crate) fn event_chunk(event: &Event) -> serde_json::Result<String> {
    let content = serde_json::to_string(event)?;
    Ok(chunk(&format!("id: 19ab4cf02d1-{}\ndata: {content}\nevent: bench\n\n", event.number)))
}

fn chunk(frame: &str) -> String {
    format!("{:x}\r\n{frame}\r\n", frame.len())
}

fn serve(
    listener: &TcpListener,
    clients: usize,
    frames: &Frames,
    mut due: mpsc::UnboundedReceiver<u64>,
) -> io::Result<Duration> {
    let mut streams = accept_all(listener, clients)?;
    let mut taken = Duration::ZERO;
    while let Some(number) = due.blocking_recv() {
        let frame = frames.next(number)?;
        let before = thread_time();
        for stream in &mut streams {
            stream.write_all(frame.as_bytes())?;
        }
        taken += thread_time().saturating_sub(before);
    }
    Ok(taken)
}

/// Returns a listener whose backlog holds all clients.
pub(crate) fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    rustix::net::listen(&listener, 65_535)?;
    Ok(listener)
}

/// Accepts this number of clients, and opens a stream for each.
pub(crate) fn accept_all(listener: &TcpListener, clients: usize) -> io::Result<Vec<TcpStream>> {
    (0..clients).map(|_| accept(listener)).collect()
}

/// Opens a stream for one client, without parsing its request.
fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let (mut request, mut bytes) = (Vec::new(), [0; 4096]);
    while !request.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut bytes)?;
        request.extend_from_slice(&bytes[..read]);
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    stream.write_all(HEAD)?;
    Ok(stream)
}

/// Returns the CPU time of this thread.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}
