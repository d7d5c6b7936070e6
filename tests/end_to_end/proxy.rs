//! A TCP proxy that can cut, hold and delay its connections.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// The receive buffer towards the server: a held connection fills the server's send buffer soon, as on a real network.
const BUFFER: u32 = 64 * 1024;

/// Forwards every connection to `target`. All end on drop.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    link: watch::Sender<Link>,
    accepting: JoinHandle<()>,
}

/// The present condition of the link.
#[derive(Clone, Copy, Default)]
struct Link {
    /// The number of cuts; a connection from before the last one is dead.
    cuts: u64,
    held: bool,
    delay: Duration,
}

impl Proxy {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let link = watch::Sender::new(Link::default());
        let accepting = tokio::spawn(accept(listener, target, link.clone()));
        Self { address, link, accepting }
    }

    /// Resets every connection. New ones are accepted.
    pub(crate) fn cut(&self) {
        self.link.send_modify(|link| link.cuts += 1);
    }

    /// Forwards nothing while `held`, without closing anything. What was sent meanwhile arrives afterwards, as with
    /// TCP.
    pub(crate) fn blackhole(&self, held: bool) {
        self.link.send_modify(|link| link.held = held);
    }

    /// Delays each piece of up to 64 KiB; the next piece waits for it.
    pub(crate) fn delay(&self, delay: Duration) {
        self.link.send_modify(|link| link.delay = delay);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, link: watch::Sender<Link>) {
    loop {
        let (client, _) = listener.accept().await.expect("a connection");
        tokio::spawn(pass(client, target, link.subscribe()));
    }
}

async fn pass(mut client: TcpStream, target: SocketAddr, mut link: watch::Receiver<Link>) {
    let cuts = link.borrow().cuts;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(BUFFER).expect("a small buffer");
    // An unreachable target closes the client's connection.
    let Ok(mut server) = socket.connect(target).await else { return };
    let (to_server_link, to_client_link) = (link.clone(), link.clone());
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let passed = async {
        tokio::try_join!(
            pump(&mut from_client, &mut to_server, to_server_link),
            pump(&mut from_server, &mut to_client, to_client_link)
        )
    };
    tokio::select! {
        // Both directions have ended, or one connection has failed.
        _ = passed => {}
        // The connection was cut; a reset makes both ends notice at once.
        _ = link.wait_for(|link| link.cuts != cuts) => {
            for end in [&client, &server] {
                end.set_zero_linger().expect("set");
            }
        }
    }
}

async fn pump(
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    mut link: watch::Receiver<Link>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER as usize];
    loop {
        let length = from.read(&mut buffer).await?;
        let delay = link.borrow().delay;
        tokio::time::sleep(delay).await;
        if link.wait_for(|link| !link.held).await.is_err() {
            return Ok(());
        }
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
    }
}

/// Returns a proxy in front of an echo server, and a connection through it.
async fn echo() -> (Proxy, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let proxy = Proxy::to(listener.local_addr().expect("bound")).await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await.ok();
            });
        }
    });
    let stream = TcpStream::connect(proxy.address).await.expect("connected");
    (proxy, stream)
}

async fn is_echoed(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).await.expect("sent");
    let mut answer = vec![0; text.len()];
    let read = stream.read_exact(&mut answer);
    tokio::time::timeout(crate::DEADLINE, read).await.expect("in time").expect("an answer");
    assert_eq!(answer, text);
}

#[tokio::test]
async fn cut_resets_only_open_connections() {
    let (proxy, mut stream) = echo().await;
    is_echoed(&mut stream, b"one").await;
    proxy.cut();
    let end = stream.read(&mut [0]).await.expect_err("a reset");
    assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
    let mut again = TcpStream::connect(proxy.address).await.expect("connected");
    is_echoed(&mut again, b"two").await;
}

#[tokio::test]
async fn black_hole_holds_and_releases_bytes() {
    let (proxy, mut stream) = echo().await;
    is_echoed(&mut stream, b"one").await;
    proxy.blackhole(true);
    let mut other = TcpStream::connect(proxy.address).await.expect("connected");
    stream.write_all(b"two").await.expect("sent");
    other.write_all(b"three").await.expect("sent");
    let mut buffer = [0; 5];
    let silence = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut buffer)).await;
    assert!(silence.is_err(), "{silence:?}");
    proxy.blackhole(false);
    stream.read_exact(&mut buffer[..3]).await.expect("an answer");
    assert_eq!(&buffer[..3], b"two");
    other.read_exact(&mut buffer).await.expect("an answer");
    assert_eq!(&buffer, b"three");
}

#[tokio::test(start_paused = true)]
async fn delay_applies_in_both_directions() {
    let (proxy, mut stream) = echo().await;
    proxy.delay(Duration::from_secs(20));
    let early = tokio::time::timeout(Duration::from_secs(39), is_echoed(&mut stream, b"one")).await;
    assert!(early.is_err());
    proxy.delay(Duration::ZERO);
    let mut answer = [0; 3];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"one");
}
