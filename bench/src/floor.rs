//! The limit: a server that does nothing but one bare `send` of a ready frame to each client.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread::JoinHandle,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;

use crate::ledger::{Event, now};

/// It listens, and waits for its clients.
pub(crate) struct Floor {
    pub(crate) address: SocketAddr,
    /// A frame for all is sent when its number comes here.
    pub(crate) numbers: mpsc::UnboundedSender<u64>,
    /// What the sends took of the processor.
    pub(crate) sending: JoinHandle<io::Result<Duration>>,
}

impl Floor {
    /// For so many clients.
    pub(crate) fn start(clients: usize, frames: Frames) -> io::Result<Self> {
        let listener = listen()?;
        let address = listener.local_addr()?;
        let (numbers, due) = mpsc::unbounded_channel();
        let sending = std::thread::spawn(move || serve(&listener, clients, &frames, due));
        Ok(Self { address, numbers, sending })
    }
}

/// What it sends.
pub(crate) enum Frames {
    /// Events, with so much content more than need be.
    Events { padding: usize },
    /// What keeps a silent stream alive.
    Comments,
}

impl Frames {
    /// The next one, as a chunk of the answer.
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

/// The frame of an event, as a chunk of the answer.
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

/// A listener whose backlog holds all clients at once.
pub(crate) fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    rustix::net::listen(&listener, 65_535)?;
    Ok(listener)
}

/// Accepts this number of clients, and opens a stream for each.
pub(crate) fn accept_all(listener: &TcpListener, clients: usize) -> io::Result<Vec<TcpStream>> {
    (0..clients).map(|_| accept(listener)).collect()
}

/// Answers one client, whatever it has asked for.
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
    stream.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    )?;
    Ok(stream)
}

/// What this thread has taken of the processor so far.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}
