//! A link between two others that can be cut, held up and slowed down.

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

/// So much may be on its way towards a client in the proxy itself: what is held up is held up before it, as on a real link.
const BUFFER: u32 = 64 * 1024;

/// Passes every connection on to `target`; when it is dropped, all end.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    link: watch::Sender<Link>,
    accepting: JoinHandle<()>,
}

/// What is done to the bytes at present.
#[derive(Clone, Copy, Default)]
struct Link {
    /// Counts the cuts; a connection from before the last one is dead.
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

    /// Resets every connection. New ones are welcome.
    pub(crate) fn cut(&self) {
        self.link.send_modify(|link| link.cuts += 1);
    }

    /// Nothing gets through, but nobody is told: neither end sees more than silence. What was sent meanwhile arrives
    /// afterwards, as TCP has it.
    pub(crate) fn blackhole(&self, held: bool) {
        self.link.send_modify(|link| link.held = held);
    }

    /// Each piece of up to 64 KiB takes so much longer, and the next waits behind it.
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
    // A target that is not there is what the client sees, too.
    let Ok(mut server) = socket.connect(target).await else { return };
    let (there, back) = (link.clone(), link.clone());
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let passed = async {
        tokio::try_join!(
            pump(&mut from_client, &mut to_server, there),
            pump(&mut from_server, &mut to_client, back)
        )
    };
    tokio::select! {
        // Both have said their last word, or one has gone.
        _ = passed => {}
        // A cut, which shall be noticed at once.
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

/// A proxy in front of somebody who says everything again, and a connection through it.
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
