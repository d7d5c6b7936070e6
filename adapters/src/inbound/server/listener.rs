//! Where clients connect.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket};
use tracing::warn;

use super::lane::Lane;

/// So many may wait to be accepted, if the kernel allows (`net.core.somaxconn`, 4096 by default). The standard library's 128 are
/// fewer than come back at once after a restart, and who finds no place tries again only a second later, then after three.
const WAITING_CONNECTIONS: u32 = 65_535;
/// A silent peer is asked so many times whether it is there until it is given up.
const TCP_KEEPALIVE_QUESTIONS: u32 = 3;

/// A socket at which clients connect, and what serves them.
pub struct Listener {
    pub(super) socket: TcpListener,
    pub(super) lane: Lane,
    pub(super) limits: ConnectionLimits,
}

impl Listener {
    /// Clients connect at the first of `addresses` that can be listened at. From now on they find a place in the kernel's queue. Called
    /// within a runtime.
    ///
    /// # Errors
    ///
    /// None can be listened at, or the kernel has no means left to watch clients.
    pub fn bind(addresses: &[SocketAddr], limits: ConnectionLimits) -> io::Result<Self> {
        let mut listened = Err(io::ErrorKind::AddrNotAvailable.into());
        for address in addresses {
            listened = listened.or_else(|_| limits.listen(*address));
        }
        Ok(Self { socket: listened?, lane: Lane::new()?, limits })
    }

    /// Where clients connect.
    ///
    /// # Errors
    ///
    /// The kernel does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// What a client may ask of a connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// It has to send the head of its request within this time.
    pub request_timeout: Duration,
    /// What the kernel keeps for it when it does not read, in bytes, about. Left alone that would grow to megabytes, and say
    /// that a client makes progress only once in a while.
    pub send_buffer: usize,
    /// When it acknowledges nothing for so long it is gone; and a silent one is asked in time whether it is.
    pub user_timeout: Duration,
}

impl ConnectionLimits {
    fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        // What is said of the listener holds for each connection that it accepts (tcp(7)), if it is said before.
        if let Err(error) = self.apply(&socket) {
            warn!(%error, "limits of connections could not be set");
        }
        socket.bind(address)?;
        socket.listen(WAITING_CONNECTIONS)
    }

    fn apply(&self, socket: &TcpSocket) -> io::Result<()> {
        let socket = SockRef::from(socket);
        socket.set_tcp_nodelay(true)?;
        socket.set_send_buffer_size(self.send_buffer)?;
        socket.set_tcp_user_timeout(Some(self.user_timeout))?;
        socket.set_tcp_keepalive(&self.keepalive())
    }

    /// The first question after half of the time, the others in the rest of it.
    fn keepalive(&self) -> TcpKeepalive {
        let whole_seconds = |time: Duration| time.max(Duration::from_secs(1));
        TcpKeepalive::new()
            .with_time(whole_seconds(self.user_timeout / 2))
            .with_interval(whole_seconds(self.user_timeout / (2 * TCP_KEEPALIVE_QUESTIONS)))
            .with_retries(TCP_KEEPALIVE_QUESTIONS)
    }
}

/// After a restart all come back at once, and wait in the kernel before anybody is served.
#[tokio::test]
async fn who_connects_before_anybody_is_served_has_the_same_limits() {
    let user_timeout = Duration::from_secs(7);
    let limits =
        ConnectionLimits { request_timeout: Duration::from_secs(1), send_buffer: 30_000, user_timeout };
    let listener = Listener::bind(&[([127, 0, 0, 1], 0).into()], limits).expect("a port");
    let client = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (accepted, _) = listener.socket.accept().await.expect("accepted");
    let socket = SockRef::from(&accepted);
    assert!(socket.keepalive().expect("known") && socket.tcp_nodelay().expect("known"));
    assert_eq!(socket.tcp_user_timeout().expect("known"), Some(user_timeout));
    // The kernel doubles it.
    assert_eq!(socket.send_buffer_size().expect("known"), 60_000);
    drop(client);
}
