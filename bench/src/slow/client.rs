//! One slow client.

use std::{io, num::NonZeroU64, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::{TcpSocket, TcpStream},
};

use super::{
    receipt::{End, Receipt},
    throttle::Throttle,
};
use crate::{
    event_stream::{Content, Response},
    ledger::now,
    streams::{Client, OpenError, http1::head, in_time},
};

/// The receive buffer for what the client has not read. Otherwise the kernel would read megabytes on its behalf.
const RECEIVE_BUFFER_BYTES: u32 = 16 * 1024;
/// The size of a read while the stream is being opened, so that little is read after the head.
const HEAD_READ_BYTES: usize = 256;

/// A client whose stream is open.
pub(super) struct SlowClient {
    socket: TcpStream,
    response: Response,
    content: Content,
    receipt: Arc<Mutex<Receipt>>,
}

impl SlowClient {
    pub(super) async fn open(client: &Client, receipt: Arc<Mutex<Receipt>>) -> Result<Self, OpenError> {
        in_time(async {
            let socket = connect(client).await.map_err(OpenError::Connect)?;
            let mut opening =
                Self { socket, response: Response::default(), content: Content::default(), receipt };
            loop {
                match opening.read_once(HEAD_READ_BYTES).await? {
                    (0, _) => return Err(OpenError::Ended),
                    (_, false) => {}
                    (_, true) => return Ok(opening),
                }
            }
        })
        .await
    }

    /// Reads at this rate until the stream ends; reads nothing if the rate is zero.
    pub(super) async fn read(mut self, bytes_per_second: u64) {
        let end = match NonZeroU64::new(bytes_per_second) {
            None => self.read_nothing().await.map_err(OpenError::Connect),
            Some(rate) => self.read_slowly(Throttle::new(rate)).await,
        };
        let end = end.unwrap_or_else(|error| match error {
            OpenError::Connect(error) if error.kind() == io::ErrorKind::ConnectionReset => End::Reset,
            _ => End::Failed,
        });
        self.receipt.lock().end = Some(end);
    }

    async fn read_slowly(&mut self, mut throttle: Throttle) -> Result<End, OpenError> {
        loop {
            let (bytes, _) = self.read_once(throttle.read_bytes()).await?;
            if self.response.has_ended() {
                return Ok(End::Ended);
            }
            if bytes == 0 {
                return Ok(End::Closed);
            }
            tokio::time::sleep(throttle.pause(bytes, now())).await;
        }
    }

    /// Waits for the end of the connection.
    async fn read_nothing(&self) -> io::Result<End> {
        while !self.socket.ready(Interest::READABLE).await?.is_read_closed() {
            // Otherwise pending data would end the next wait at once.
            let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            self.socket.try_io(Interest::READABLE, nothing).ok();
        }
        self.socket.take_error()?.map_or(Ok(End::Closed), Err)
    }

    /// Reads at most `max` bytes. Returns their number, zero at the end, and whether the stream is open.
    async fn read_once(&mut self, max: usize) -> Result<(usize, bool), OpenError> {
        let mut bytes = vec![0; max];
        let read = self.socket.read(&mut bytes).await.map_err(OpenError::Connect)?;
        let mut receipt = self.receipt.lock();
        let is_open = self.response.read(&bytes[..read], &mut self.content, |entry| receipt.enter(entry));
        Ok((read, is_open?))
    }
}

/// Connects with a small receive buffer, and requests the stream.
async fn connect(client: &Client) -> io::Result<TcpStream> {
    let socket = if client.server.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // The window is negotiated with the connection, so the buffer is set before.
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    let mut socket = socket.connect(client.server).await?;
    socket.write_all(head(client).as_bytes()).await?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use tokio::net::TcpListener;

    use super::*;

    /// Opens a stream, sends a comment and then `last`, and drops the connection.
    async fn serve(listener: TcpListener, last: &str, is_reset: bool) -> io::Result<()> {
        let (mut socket, _) = listener.accept().await?;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            socket.read_buf(&mut request).await?;
        }
        // More than a client reads while it opens the stream.
        let comment = format!(": {}\n\n", "x".repeat(2 * HEAD_READ_BYTES));
        let head = format!("HTTP/1.1 200 OK\r\n\r\n{:x}\r\n{comment}\r\n{last}", comment.len());
        socket.write_all(head.as_bytes()).await?;
        if is_reset {
            socket.set_zero_linger()?;
        }
        Ok(())
    }

    /// Checks how the stream ends for a client that reads at this rate.
    async fn check(bytes_per_second: u64, last: &str, is_reset: bool, expected: End) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let server = listener.local_addr().expect("bound");
        let client = Client {
            server,
            path: "/".into(),
            credential: ("x-access-token", String::new()),
            language: "en",
        };
        let receipt = Arc::new(Mutex::new(Receipt::new(0, 1)));
        let reading = async {
            let client = SlowClient::open(&client, Arc::clone(&receipt)).await.expect("a stream");
            client.read(bytes_per_second).await;
        };
        let both = async { tokio::join!(serve(listener, last, is_reset), reading) };
        let (outcome, ()) = tokio::time::timeout(Duration::from_secs(5), both).await.expect("in time");
        outcome.expect("served");
        assert_eq!(receipt.lock().end, Some(expected), "{bytes_per_second} {last:?} {is_reset}");
    }

    #[tokio::test]
    async fn ends_are_distinguished() {
        check(100_000, "", false, End::Closed).await;
        check(100_000, "0\r\n\r\n", false, End::Ended).await;
        check(100_000, "no length\r\n", false, End::Failed).await;
    }

    #[tokio::test]
    async fn client_that_reads_nothing_sees_the_end() {
        check(0, "", false, End::Closed).await;
        check(0, &"x".repeat(4096), true, End::Reset).await;
    }
}
