//! Where clients connect.

use std::{io, net::SocketAddr, time::Duration};

use domain::spread::Spread;
use rustix::net::sockopt;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tracing::{debug, warn};

use super::reactor::Reactor;

/// So many may wait to be accepted, if the kernel allows (`net.core.somaxconn`, 4096 by default). The standard library's 128 are
/// fewer than come back at once after a restart, and who finds no place tries again only a second later, then after three.
const WAITING_CONNECTIONS: u32 = 65_535;
/// A silent peer is asked whether it is there, and again after so long. Often: where thousands are asked at a moment, the kernel lets
/// most of the questions fall, and nobody is to be given up for that.
const TCP_KEEPALIVE_AGAIN: Duration = Duration::from_secs(1);
/// The kernel takes no larger number of questions.
const MOST_TCP_KEEPALIVE_QUESTIONS: u32 = 127;

/// A socket at which clients connect, and what serves them.
pub struct Listener {
    pub(super) socket: TcpListener,
    pub(super) lane: Reactor,
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
        Ok(Self { socket: listened?, lane: Reactor::new()?, limits })
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

    /// The first question after a third of the time, the others in the rest of it.
    fn keepalive(&self) -> TcpKeepalive {
        let questions = (self.user_timeout * 2 / 3).as_secs() / TCP_KEEPALIVE_AGAIN.as_secs();
        let questions = u32::try_from(questions).unwrap_or(u32::MAX).clamp(1, MOST_TCP_KEEPALIVE_QUESTIONS);
        TcpKeepalive::new()
            .with_time(self.first_question())
            .with_interval(TCP_KEEPALIVE_AGAIN)
            .with_retries(questions)
    }

    fn first_question(&self) -> Duration {
        (self.user_timeout / 3).max(Duration::from_secs(1))
    }

    /// A crowd that has come at once is not asked at once: the first question to the connection of this number comes after a third
    /// of the time, or up to half as much later.
    pub(super) fn spread(&self, socket: &TcpStream, number: u64) {
        let first = Spread::of(number).later(self.first_question());
        if let Err(error) = sockopt::set_tcp_keepidle(socket, first) {
            debug!(%error, "a connection is asked with many others whether it is there");
        }
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

#[tokio::test]
async fn a_crowd_that_comes_at_once_is_not_asked_at_once_whether_it_is_there() {
    let limits = ConnectionLimits {
        request_timeout: Duration::from_secs(1),
        send_buffer: 30_000,
        user_timeout: Duration::from_mins(1),
    };
    let listener = Listener::bind(&[([127, 0, 0, 1], 0).into()], limits).expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut seconds = Vec::new();
    for number in 0..100 {
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.socket.accept());
        let (_client, (accepted, _)) = (client.expect("connected"), accepted.expect("accepted"));
        limits.spread(&accepted, number);
        seconds.push(sockopt::tcp_keepidle(&accepted).expect("known").as_secs());
        assert_eq!(sockopt::tcp_keepintvl(&accepted).expect("known"), Duration::from_secs(1));
    }
    // The kernel counts in whole seconds.
    for second in 21..=30 {
        let asked = seconds.iter().filter(|&&of| of == second).count();
        assert!((8..=12).contains(&asked), "{asked} after {second} s");
    }
}
