//! One hostile client: its bytes, how many of them it sends in which pieces, and what it does afterwards.

use std::{fmt, time::Duration};

use hyper::Version;
use proptest::{prelude::*, sample::select};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use super::{
    instance::Instance,
    script::{Script, script},
    throttled::Throttled,
};
use crate::transport::Server;

/// After this time a client stops sending and continues with its next step.
const SEND_TIMEOUT: Duration = Duration::from_secs(3);
const SMALL_BUFFER: u32 = 4096;

#[derive(Clone, Copy, Debug)]
pub(super) enum Port {
    /// The public port, over TLS if it has TLS.
    Public,
    /// The TCP socket of the public port, beneath TLS if it has TLS.
    PublicSocket,
    Debug,
}

/// The part that the client sends. Over TLS the handshake counts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sent {
    All,
    Bytes(usize),
    Percent(usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum NextStep {
    HalfClose,
    Reset,
    Close,
    StaySilent,
    /// The client never reads, from the start, and has a small receive buffer.
    NeverRead,
    /// The client sends all of it again in one piece.
    Repeat,
}

#[derive(Clone, Debug)]
pub(super) struct HostileClient {
    port: Port,
    script: Script,
    sent: Sent,
    piece: usize,
    next: NextStep,
}

pub(super) fn hostile_client() -> impl Strategy<Value = HostileClient> {
    let port = prop_oneof![3 => Just(Port::Public), 1 => Just(Port::PublicSocket), 1 => Just(Port::Debug)];
    let sent = prop_oneof![
        2 => Just(Sent::All),
        2 => (0..30_usize).prop_map(Sent::Bytes),
        1 => (0..100_usize).prop_map(Sent::Percent),
    ];
    let piece = prop_oneof![2 => Just(usize::MAX), 1 => Just(1), 1 => 2..30_usize, 1 => 30..2000_usize];
    let steps = [
        NextStep::StaySilent,
        NextStep::HalfClose,
        NextStep::NeverRead,
        NextStep::Reset,
        NextStep::Close,
        NextStep::Repeat,
    ];
    (port, script(), sent, piece, select(steps.to_vec()))
        .prop_map(|(port, script, sent, piece, next)| HostileClient { port, script, sent, piece, next })
}

impl HostileClient {
    /// Sends the client's bytes. Returns the connection if it stays open.
    pub(super) async fn run(&self, instance: &Instance) -> Option<OpenConnection> {
        let server = match self.port {
            Port::Public => instance.http,
            Port::PublicSocket => Server::from(instance.http.address),
            Port::Debug => Server::from(instance.debug),
        };
        let socket = TcpSocket::new_v4().expect("a socket");
        if let NextStep::NeverRead = self.next {
            socket.set_recv_buffer_size(SMALL_BUFFER).expect("a small buffer");
        }
        let mut socket = socket.connect(server.address).await.ok()?;
        socket.set_nodelay(true).expect("set");
        let bytes = self.script.bytes();
        let left = match self.sent {
            Sent::All => usize::MAX,
            Sent::Bytes(bytes) => bytes,
            Sent::Percent(percent) => bytes.len() * percent / 100,
        };
        let throttled = Throttled { socket: &mut socket, piece: self.piece, left, rested: false };
        let version = if self.script.is_http_2() { Version::HTTP_2 } else { Version::HTTP_11 };
        let send = async {
            // The server can close the connection at any time.
            let mut connection = server.connect_on(throttled, version).await?;
            connection.write_all(&bytes).await?;
            connection.flush().await
        };
        tokio::time::timeout(SEND_TIMEOUT, send).await.ok();
        match self.next {
            NextStep::HalfClose => socket.shutdown().await.ok().unwrap_or_default(),
            NextStep::Reset => {
                socket.set_zero_linger().expect("set");
                return None;
            }
            NextStep::Close => return None,
            NextStep::Repeat => socket.try_write(&bytes).map(drop).unwrap_or_default(),
            NextStep::StaySilent | NextStep::NeverRead => {}
        }
        Some(OpenConnection { socket, reads: !matches!(self.next, NextStep::NeverRead) })
    }
}

/// A connection that its client keeps open.
pub(super) struct OpenConnection {
    socket: TcpStream,
    reads: bool,
}

impl OpenConnection {
    /// Holds the connection; never returns.
    pub(super) async fn hold(mut self) {
        let mut buffer = vec![0; 64 * 1024];
        while self.reads {
            self.reads = self.socket.read(&mut buffer).await.is_ok_and(|read| read > 0);
        }
        std::future::pending::<()>().await;
    }
}

impl fmt::Display for HostileClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, script, sent, piece, next } = self;
        write!(formatter, "{port:?}: {sent:?} of {script:?}")?;
        if *piece < usize::MAX {
            write!(formatter, " in pieces of {piece}")?;
        }
        write!(formatter, ", then {next:?}")
    }
}
