//! One hostile connection.

use std::{io, os::fd::AsFd as _, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{
    crowd::Crowd,
    frames::{FRAME_HEAD_BYTES, Field, max_streams, payload_bytes, request},
    kind::{Kind, Layer, Next, Plan, Target},
};
use crate::{
    ledger::now,
    streams::{OpenError, tls::Tls},
};

/// The time limit for a connection and its TLS handshake.
const OPENING_TIMEOUT: Duration = Duration::from_secs(10);
/// The receive buffer for responses that the client does not read. The kernel doubles it, and accepts no smaller one.
const RECEIVE_BUFFER_BYTES: u32 = 2048;

/// A connection to the server, with or without TLS.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<I: AsyncRead + AsyncWrite + Unpin + Send> Io for I {}

/// Opens the connections of a kind.
pub(super) struct Opener {
    target: Target,
    kind: Kind,
    tls: Option<Tls>,
}

impl Opener {
    pub(super) fn new(target: Target, kind: Kind, tls: bool) -> Self {
        let tls = match kind.layer() {
            Layer::Tcp => None,
            layer => tls.then(|| Tls::new(layer == Layer::Http2)),
        };
        Self { target, kind, tls }
    }

    /// Opens the connection with this number, and adds it to the crowd.
    pub(super) async fn open(&self, number: usize, crowd: &Crowd) -> Result<(), OpenError> {
        let opening = async {
            let socket = connect(&self.target).await.map_err(OpenError::Connect)?;
            let opened = now();
            let second = socket.as_fd().try_clone_to_owned().map_err(OpenError::Connect)?;
            Ok((second, opened, encrypted(socket, &self.target, self.tls.as_ref()).await?))
        };
        let (second, opened, io) =
            timeout(OPENING_TIMEOUT, opening).await.unwrap_or(Err(OpenError::Timeout))?;
        let plan = self.kind.plan(&self.target, number);
        crowd.add(second, opened, async {
            let mut io = io;
            // This ends when the server closes the connection; the crowd notices it.
            drive(&mut *io, plan).await.ok();
            // The connection belongs to its client, which has nothing more to do.
            std::future::pending::<()>().await;
        });
        Ok(())
    }
}

/// Adds TLS to a connection if it is enabled.
pub(super) async fn encrypted(
    socket: TcpStream,
    target: &Target,
    tls: Option<&Tls>,
) -> Result<Box<dyn Io>, OpenError> {
    match tls {
        None => Ok(Box::new(socket)),
        Some(tls) => Ok(Box::new(tls.handshake(target.server, socket).await?)),
    }
}

async fn connect(Target { server, .. }: &Target) -> io::Result<TcpStream> {
    let socket = if server.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    let stream = socket.connect(*server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn drive(io: &mut dyn Io, Plan { opening, next }: Plan) -> io::Result<()> {
    io.write_all(&opening).await?;
    io.flush().await?;
    match next {
        Next::Hold => Ok(()),
        Next::HalfClose => io.shutdown().await,
        Next::Repeat { bytes, piece, interval } => repeat(io, &bytes, piece, interval).await,
        Next::FillStreams(fields) => fill_streams(io, &fields).await,
    }
}

async fn repeat(io: &mut dyn Io, bytes: &[u8], piece: usize, interval: Duration) -> io::Result<()> {
    for piece in bytes.chunks(piece).cycle() {
        io.write_all(piece).await?;
        io.flush().await?;
        tokio::time::sleep(interval).await;
    }
    Ok(())
}

/// Sends as many requests as the server's settings allow.
async fn fill_streams(io: &mut dyn Io, fields: &[Field]) -> io::Result<()> {
    let streams = loop {
        let mut head = [0; FRAME_HEAD_BYTES];
        io.read_exact(&mut head).await?;
        let mut payload = vec![0; payload_bytes(head)];
        io.read_exact(&mut payload).await?;
        if let Some(streams) = max_streams(head, &payload) {
            break streams;
        }
    };
    // Streams of a client have odd numbers (RFC 9113, 5.1.1).
    for number in 0..streams {
        io.write_all(&request(2 * number + 1, fields)).await?;
    }
    io.flush().await
}
