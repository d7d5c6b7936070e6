//! The listening socket, and the socket options of the connections it accepts.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use domain::jitter::Jitter;
use ports::outbound::HttpMetrics;
use rustix::net::sockopt;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tracing::{debug, warn};

use super::{Accepting, Adoption, admission::Connections, reactor::Reactor};

/// Length of the accept queue, which the kernel limits to `net.core.somaxconn` (4096 by default). The standard library's 128 is too small
/// for the clients that reconnect after a restart: a client whose SYN is dropped tries again after one second, then after three.
const WAITING_CONNECTIONS: u32 = 65_535;
/// Interval of the keepalive probes to a silent peer. It is short, because the kernel drops most probes when it sends thousands at once,
/// and a peer must not be given up for dropped probes.
const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// The kernel's maximum of keepalive probes.
const MAX_TCP_KEEPALIVE_PROBES: u32 = 127;

/// A listening socket with the reactor and the limits of its connections.
pub struct Listener {
    pub(super) socket: TcpListener,
    pub(super) reactor: Reactor,
    pub(super) limits: ConnectionLimits,
    pub(super) connections: Arc<Connections>,
    /// Whether another process holds the socket as well.
    pub(super) is_shared: bool,
    pub(super) accepting: Accepting,
}

impl Listener {
    /// Listens on the first of `addresses` that is available. From now on the kernel queues connections. `metrics` counts them.
    ///
    /// # Errors
    ///
    /// No address is available, or the reactor's poller cannot be created.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn bind(
        addresses: &[SocketAddr],
        limits: ConnectionLimits,
        metrics: Arc<dyn HttpMetrics>,
    ) -> io::Result<Self> {
        let mut listened = Err(io::ErrorKind::AddrNotAvailable.into());
        for address in addresses {
            listened = listened.or_else(|_| limits.listen(*address));
        }
        Self::new(listened?, limits, metrics, false)
    }

    /// Listens on a socket that another process has created and holds as well, so that connections are queued while this process does not
    /// run. `metrics` counts the connections.
    ///
    /// # Errors
    ///
    /// The socket does not listen, or the reactor's poller cannot be created.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn share(
        socket: std::net::TcpListener,
        limits: ConnectionLimits,
        metrics: Arc<dyn HttpMetrics>,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // Sets the length of the accept queue.
        rustix::net::listen(&socket, WAITING_CONNECTIONS.cast_signed())?;
        let socket = TcpListener::from_std(socket)?;
        limits.apply_or_warn(&socket);
        Self::new(socket, limits, metrics, true)
    }

    fn new(
        socket: TcpListener,
        limits: ConnectionLimits,
        metrics: Arc<dyn HttpMetrics>,
        is_shared: bool,
    ) -> io::Result<Self> {
        let connections = Connections::new(limits.connections, metrics);
        let reactor = Reactor::new(Arc::clone(&connections), limits.write_timeout)?;
        Ok(Self { socket, reactor, limits, connections, is_shared, accepting: Accepting::default() })
    }

    /// Returns the address that the socket listens on.
    ///
    /// # Errors
    ///
    /// The kernel reports no address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Returns another descriptor of the socket, for another process.
    ///
    /// # Errors
    ///
    /// There are too many descriptors.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    /// Returns whether another process holds the socket as well. If not, connections that wait to be accepted are reset with it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Returns the switch for accepting connections.
    #[must_use]
    pub fn accepting(&self) -> Accepting {
        self.accepting.clone()
    }

    /// Returns a handle that continues connections of another process.
    #[must_use]
    pub fn adoption(&self) -> Adoption {
        Adoption { inbox: self.reactor.inbox(), connections: Arc::clone(&self.connections) }
    }

    /// Returns a handle that raises the limit of connections while they are served.
    #[must_use]
    pub fn connection_limit(&self) -> ConnectionLimit {
        ConnectionLimit(Arc::clone(&self.connections))
    }
}

/// A handle to the limit of open connections of a server.
pub struct ConnectionLimit(Arc<Connections>);

impl ConnectionLimit {
    /// Raises the limit; never lowers it. Below the number of open connections no room would be left for the response 503.
    pub fn raise(&self, connections: usize) {
        self.0.raise_limit(connections);
    }
}

/// Limits for the connections of a server. `http_server::deadlines` says which phase each timeout bounds.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Maximum number of open connections. When it is reached, connections without a request are evicted.
    pub connections: usize,
    /// Timeout for receiving a complete request.
    pub request_timeout: Duration,
    /// Timeout for a client to take some of the bytes that wait for it.
    pub write_timeout: Duration,
    /// Approximate size of the kernel's send buffer, in bytes. Without it the kernel's buffer grows to megabytes and shows a slow client's
    /// progress too rarely.
    pub send_buffer: usize,
    /// Time after which a client that acknowledges nothing counts as gone (`TCP_USER_TIMEOUT`). Keepalive probes detect silent ones in
    /// time.
    pub user_timeout: Duration,
}

impl ConnectionLimits {
    fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        // Accepted connections inherit the options of the listener that are set before `listen` (tcp(7)).
        self.apply_or_warn(&socket);
        socket.bind(address)?;
        socket.listen(WAITING_CONNECTIONS)
    }

    /// Sets the socket options of connections.
    pub(super) fn apply_or_warn(&self, socket: &impl AsFd) {
        if let Err(error) = self.apply(&SockRef::from(socket)) {
            warn!(%error, "socket options not set");
        }
    }

    fn apply(&self, socket: &SockRef<'_>) -> io::Result<()> {
        socket.set_tcp_nodelay(true)?;
        socket.set_send_buffer_size(self.send_buffer)?;
        socket.set_tcp_user_timeout(Some(self.user_timeout))?;
        socket.set_tcp_keepalive(&self.keepalive())
    }

    /// Returns the keepalive parameters: the first probe after a third of the user timeout, the other probes in the rest of it.
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

    /// Adds jitter to the first keepalive probe of the connection `number`: it comes after a third to a half of the user timeout. Otherwise
    /// clients that connected at the same moment would be probed at the same moment.
    pub(super) fn jitter(&self, socket: &TcpStream, number: u64) {
        let first = Jitter::of(number).lengthen(self.first_probe());
        if let Err(error) = sockopt::set_tcp_keepidle(socket, first) {
            debug!(%error, "no jitter set for keepalive probes");
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

/// After a restart all clients reconnect at once, and wait in the kernel's accept queue before they are served.
#[tokio::test]
async fn queued_connections_inherit_the_limits() {
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
    // The kernel doubles the value (socket(7)).
    assert_eq!(socket.send_buffer_size().expect("known"), 60_000);
    drop(client);
}

/// They may have connected before this process started for the first time.
#[tokio::test]
async fn queued_connections_of_a_shared_socket_get_the_limits() {
    let shared = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = shared.local_addr().expect("bound");
    let client = std::net::TcpStream::connect(address).expect("queued");
    let user_timeout = Duration::from_secs(7);
    let metrics = Arc::new(ports::outbound::MockHttpMetrics::new());
    let listener = Listener::share(shared, limits(user_timeout), metrics).expect("listens");
    let (mut acceptor, _reactor) = super::Acceptor::of(listener);
    let (accepted, _) = acceptor.accept().await;
    let socket = SockRef::from(&accepted);
    assert!(socket.keepalive().expect("known") && socket.tcp_nodelay().expect("known"));
    assert_eq!(socket.tcp_user_timeout().expect("known"), Some(user_timeout));
    drop(client);
}

#[tokio::test]
async fn simultaneous_connections_are_probed_apart() {
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
        let probed = seconds.iter().filter(|&&idle| idle == second).count();
        assert!((8..=12).contains(&probed), "{probed} after {second} s");
    }
}
