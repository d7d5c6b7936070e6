//! A client that reads only as many bytes as a test allows.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use hyper::Version;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpSocket, TcpStream},
};

use super::read_numbers;
use crate::{
    client::Stream,
    service::{Service, token},
};

/// The receive buffer of the kernel, in bytes: what the service writes stays in its own send buffer.
const RECEIVE_BUFFER: u32 = 4096;
/// The pace of a client that reads in small pieces.
const PIECE_BYTES: usize = 1024;
const PIECE_INTERVAL: Duration = Duration::from_millis(1);

/// An open event stream whose socket is read only as far as the test allows.
pub(super) struct SlowReader {
    pub(super) stream: Stream,
    /// The number of events read.
    read: usize,
    allowance: Arc<Mutex<Allowance>>,
}

/// The bytes that may still be read from a socket, and the task that waits for more.
struct Allowance {
    bytes: usize,
    waiting: Option<Waker>,
}

impl SlowReader {
    /// Opens a stream of `user`, and reads nothing after the response head until it is allowed.
    pub(super) async fn open(service: &Service, user: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(RECEIVE_BUFFER).expect("a small buffer");
        let socket = socket.connect(service.http.address).await.expect("connected");
        let allowance = Arc::new(Mutex::new(Allowance { bytes: usize::MAX, waiting: None }));
        let socket = ThrottledSocket { socket, allowance: Arc::clone(&allowance) };
        let connection = service.http.connect_on(socket, Version::HTTP_11).await.expect("connected");
        let headers = [("x-access-token", &*token(user))];
        let stream = Stream::open_on(connection, service.http, "/sse", &headers).await;
        allowance.lock().bytes = 0;
        Self { stream, read: 0, allowance }
    }

    /// Allows unlimited reading.
    pub(super) fn resume(&self) {
        self.allowance.lock().add(usize::MAX);
    }

    /// Reads events in small pieces at a set pace, until it has read `limit` bytes.
    pub(super) async fn read_slowly(&mut self, limit: usize) {
        let allowance = Arc::clone(&self.allowance);
        let allow = async {
            let mut pace = tokio::time::interval(PIECE_INTERVAL);
            for _ in 0..limit / PIECE_BYTES {
                pace.tick().await;
                allowance.lock().add(PIECE_BYTES);
            }
        };
        tokio::select! {
            () = allow => {}
            () = self.read_up_to(usize::MAX) => {}
        }
    }

    /// Reads the events that it has not read yet, up to the one with the number `end`.
    pub(super) async fn read_up_to(&mut self, end: usize) {
        while self.read < end {
            read_numbers(&mut self.stream, self.read..self.read + 1).await;
            self.read += 1;
        }
    }
}

impl Allowance {
    fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

/// A socket that reads no more bytes than its allowance.
struct ThrottledSocket {
    socket: TcpStream,
    allowance: Arc<Mutex<Allowance>>,
}

impl AsyncRead for ThrottledSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let allowance = Arc::clone(&self.allowance);
        let mut allowance = allowance.lock();
        if allowance.bytes == 0 {
            allowance.waiting = Some(context.waker().clone());
            return Poll::Pending;
        }
        let length = buffer.remaining().min(allowance.bytes);
        let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(length));
        let read = Pin::new(&mut self.socket).poll_read(context, &mut piece);
        let length = piece.filled().len();
        buffer.advance(length);
        allowance.bytes -= length;
        read
    }
}

impl AsyncWrite for ThrottledSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
