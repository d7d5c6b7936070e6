//! The lower bound of the CPU to open a stream over TLS: a server that accepts with rustls and sends a fixed response.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs::Ticketer,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
    server::TlsStream,
};

use crate::{
    floor::{HEAD, listen, thread_time},
    publisher::Error,
};

/// A server on a thread of its own.
pub(crate) struct TlsFloor {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<Duration, Error>>,
}

impl TlsFloor {
    /// Starts a server that waits for `clients` clients.
    pub(crate) fn start(clients: usize) -> Result<Self, Error> {
        let (listener, acceptor) = (listen()?, acceptor()?);
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(serve(listener, acceptor, clients, stopped))
        });
        Ok(Self { address, stop, thread })
    }

    /// Stops the server. Returns the CPU time that it needed to open all streams.
    pub(crate) fn stop(self) -> Result<Duration, Error> {
        drop(self.stop);
        self.thread.join().map_err(|_| "the floor has failed")?
    }
}

/// Returns an acceptor with a certificate of the kind that the service generates, and with tickets of the service's kind.
fn acceptor() -> Result<TlsAcceptor, Error> {
    let generated = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(generated.signing_key.serialize_der()));
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![generated.cert.der().clone()], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = Ticketer::new()?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    clients: usize,
    stopped: oneshot::Receiver<()>,
) -> Result<Duration, Error> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let before = thread_time();
    let mut opening = JoinSet::new();
    for _ in 0..clients {
        let (socket, _) = listener.accept().await?;
        opening.spawn(open(acceptor.clone(), socket));
    }
    let streams = opening.join_all().await.into_iter().collect::<io::Result<Vec<_>>>()?;
    let taken = thread_time().saturating_sub(before);
    // The run has ended when the sender is dropped.
    stopped.await.ok();
    drop(streams);
    Ok(taken)
}

/// Opens a stream for one client, without parsing its request.
async fn open(acceptor: TlsAcceptor, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    socket.set_nodelay(true)?;
    let mut stream = acceptor.accept(socket).await?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    stream.write_all(HEAD).await?;
    stream.flush().await?;
    Ok(stream)
}
