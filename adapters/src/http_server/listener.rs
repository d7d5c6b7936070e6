//! Where clients connect.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use domain::jitter::Jitter;
use ports::outbound::HttpMetrics;
use rustix::net::sockopt;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tracing::{debug, warn};

use super::{admission::Connections, reactor::Reactor};

/// Connections that may wait to be accepted, if the kernel allows (`net.core.somaxconn`, 4096 by default). The standard library's 128 are
/// fewer than come back at once after a restart, and a client that finds no room tries again only a second later, then after three.
const WAITING_CONNECTIONS: u32 = 65_535;
/// Interval of the keepalive probes to a silent peer. It is short: where thousands are probed at a moment, the kernel drops most probes, and
/// nobody is to be given up for that.
const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// The largest number of probes that the kernel takes.
const MAX_TCP_KEEPALIVE_PROBES: u32 = 127;

/// A socket at which clients connect, and what serves them.
pub struct Listener {
    pub(super) socket: TcpListener,
    pub(super) reactor: Reactor,
    pub(super) limits: ConnectionLimits,
    pub(super) connections: Arc<Connections>,
}

impl Listener {
    /// Listens at the first of `addresses` that can be listened at. From now on clients wait in the kernel's queue. What happens is counted in
    /// `metrics`. Called within a runtime.
    ///
    /// # Errors
    ///
    /// No address can be listened at, or the kernel has no means left to watch clients.
    pub fn bind(
        addresses: &[SocketAddr],
        limits: ConnectionLimits,
        metrics: Arc<dyn HttpMetrics>,
    ) -> io::Result<Self> {
        let mut listened = Err(io::ErrorKind::AddrNotAvailable.into());
        for address in addresses {
            listened = listened.or_else(|_| limits.listen(*address));
        }
        let connections = Connections::new(limits.connections, metrics);
        let reactor = Reactor::new(Arc::clone(&connections), limits.write_timeout)?;
        Ok(Self { socket: listened?, reactor, limits, connections })
    }

    /// Where clients connect.
    ///
    /// # Errors
    ///
    /// The kernel does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// What raises the limit of connections, also while they are served.
    #[must_use]
    pub fn connection_limit(&self) -> ConnectionLimit {
        ConnectionLimit(Arc::clone(&self.connections))
    }
}

/// How many connections of a server may be open at a time.
pub struct ConnectionLimit(Arc<Connections>);

impl ConnectionLimit {
    /// Lets at least so many be open. A limit is never lowered: those that are open would leave no room for anybody who is to be told that
    /// there are too many.
    pub fn raise(&self, connections: usize) {
        self.0.raise_limit(connections);
    }
}

/// What a server grants its clients. What each time bounds is told in `http_server::deadlines`.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections that are open at a time. When all are, those without a request make room for others.
    pub connections: usize,
    /// Time for a complete request.
    pub request_timeout: Duration,
    /// Time in which a client has to take something of what is written to it.
    pub write_timeout: Duration,
    /// Bytes that the kernel keeps for a client that does not read, about. Left alone that would grow to megabytes, and show
    /// progress only once in a while.
    pub send_buffer: usize,
    /// Time after which a client that acknowledges nothing is gone. A silent one is probed in time.
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

    /// The first probe comes after a third of the time, the others in the rest of it.
    fn keepalive(&self) -> TcpKeepalive {
        let probes = (self.user_timeout * 2 / 3).as_secs() / TCP_KEEPALIVE_INTERVAL.as_secs();
        let probes = u32::try_from(probes).unwrap_or(u32::MAX).clamp(1, MAX_TCP_KEEPALIVE_PROBES);
        TcpKeepalive::new()
            .with_time(self.first_probe())
            .with_interval(TCP_KEEPALIVE_INTERVAL)
            .with_retries(probes)
    }

    fn first_probe(&self) -> Duration {
        (self.user_timeout / 3).max(Duration::from_secs(1))
    }

    /// Gives each connection its own time for the first probe, after a third of the user timeout or up to half as much later: a crowd that
    /// has come at once is not probed at once.
    pub(super) fn jitter(&self, socket: &TcpStream, number: u64) {
        let first = Jitter::of(number).lengthen(self.first_probe());
        if let Err(error) = sockopt::set_tcp_keepidle(socket, first) {
            debug!(%error, "keepalive probes have no jitter");
        }
    }
}

#[cfg(test)]
fn limits(user_timeout: Duration) -> ConnectionLimits {
    ConnectionLimits {
        connections: 100,
        request_timeout: Duration::from_secs(1),
        write_timeout: Duration::from_secs(1),
        send_buffer: 30_000,
        user_timeout,
    }
}

/// After a restart all come back at once, and wait in the kernel before anybody is served.
#[tokio::test]
async fn connections_that_wait_to_be_accepted_have_the_same_limits() {
    let user_timeout = Duration::from_secs(7);
    let limits = limits(user_timeout);
    let listener = Listener::bind(
        &[([127, 0, 0, 1], 0).into()],
        limits,
        Arc::new(ports::outbound::MockHttpMetrics::new()),
    )
    .expect("a port");
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
async fn a_crowd_that_comes_at_once_is_not_probed_at_once() {
    let limits = limits(Duration::from_mins(1));
    let listener = Listener::bind(
        &[([127, 0, 0, 1], 0).into()],
        limits,
        Arc::new(ports::outbound::MockHttpMetrics::new()),
    )
    .expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut seconds = Vec::new();
    for number in 0..100 {
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.socket.accept());
        let (_client, (accepted, _)) = (client.expect("connected"), accepted.expect("accepted"));
        limits.jitter(&accepted, number);
        seconds.push(sockopt::tcp_keepidle(&accepted).expect("known").as_secs());
        assert_eq!(sockopt::tcp_keepintvl(&accepted).expect("known"), Duration::from_secs(1));
    }
    // The kernel counts in whole seconds.
    for second in 21..=30 {
        let asked = seconds.iter().filter(|&&of| of == second).count();
        assert!((8..=12).contains(&asked), "{asked} after {second} s");
    }
}
