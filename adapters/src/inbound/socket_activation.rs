//! Listening sockets from the service manager (`sd_listen_fds(3)`). It holds them while the service restarts, so that connections wait
//! instead of being refused.

use std::{
    net::TcpListener,
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
};

use rustix::{
    io::{self, FdFlags, fcntl_setfd},
    net::{AddressFamily, SocketType, sockopt},
};

/// The listening sockets that the service manager has passed to this process. By default there are none.
#[derive(Debug, Default)]
pub struct PassedSockets {
    /// The socket of the endpoint. Its name is `http`, or it is the only socket and has no name.
    pub http: Option<TcpListener>,
    /// The socket of the debug server. Its name is `debug`.
    pub debug: Option<TcpListener>,
}

impl PassedSockets {
    /// Takes the sockets that `LISTEN_FDS` counts and `LISTEN_FDNAMES` names, unless `LISTEN_PID` is another process. It takes ownership of
    /// descriptors by their numbers, so call it once, before the process opens any descriptor.
    ///
    /// # Errors
    ///
    /// A variable is malformed, or a socket cannot be used.
    pub fn take() -> Result<Self, UnusableSocket> {
        let passed = sd_listen_fds::get().map_err(|_| UnusableSocket::Malformed)?;
        Self::by_name(passed.into_iter().map(|(name, socket)| (name, socket.into_std())).collect())
    }

    fn by_name(passed: Vec<(Option<String>, OwnedFd)>) -> Result<Self, UnusableSocket> {
        let mut sockets = Self::default();
        let is_only = passed.len() == 1;
        for (name, socket) in passed {
            let descriptor = socket.as_raw_fd();
            let name = name.unwrap_or_default();
            let place = match &*name {
                "http" => &mut sockets.http,
                "debug" => &mut sockets.debug,
                // systemd's name for a socket without one is `unknown`.
                "" | "unknown" if is_only => &mut sockets.http,
                _ => return Err(UnusableSocket::UnknownName { descriptor, name }),
            };
            if !is_tcp_listener(&socket) {
                return Err(UnusableSocket::NotListening { descriptor });
            }
            // The service manager passes it without the flag. A child would keep the socket open.
            fcntl_setfd(&socket, FdFlags::CLOEXEC)
                .map_err(|error| UnusableSocket::Flags { descriptor, source: error.into() })?;
            if place.replace(socket.into()).is_some() {
                return Err(UnusableSocket::NameUsedTwice { descriptor, name });
            }
        }
        Ok(sockets)
    }
}

fn is_tcp_listener(descriptor: &OwnedFd) -> bool {
    let is_listener = || -> io::Result<bool> {
        let is_ip =
            [AddressFamily::INET, AddressFamily::INET6].contains(&sockopt::socket_domain(descriptor)?);
        let is_stream = sockopt::socket_type(descriptor)? == SocketType::STREAM;
        Ok(is_ip && is_stream && sockopt::socket_acceptconn(descriptor)?)
    };
    is_listener().unwrap_or(false)
}

/// Why sockets of the service manager cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableSocket {
    /// `LISTEN_FDS` or `LISTEN_PID` is malformed.
    #[error("LISTEN_FDS or LISTEN_PID is not a number")]
    Malformed,
    /// A socket has a name that the service does not know.
    #[error("descriptor {descriptor}: {name:?} is not a known name; use FileDescriptorName=http or debug")]
    UnknownName {
        /// The number of the descriptor.
        descriptor: RawFd,
        /// The name.
        name: String,
    },
    /// Two sockets have the same name.
    #[error("descriptor {descriptor}: another socket has the name {name:?} as well")]
    NameUsedTwice {
        /// The number of the second descriptor.
        descriptor: RawFd,
        /// The name.
        name: String,
    },
    /// The descriptor is something else than a listening TCP socket, or it is closed.
    #[error("descriptor {descriptor}: is not a listening TCP socket")]
    NotListening {
        /// The number of the descriptor.
        descriptor: RawFd,
    },
    /// The flag that keeps children from inheriting the socket cannot be set.
    #[error("descriptor {descriptor}: the flag FD_CLOEXEC cannot be set")]
    Flags {
        /// The number of the descriptor.
        descriptor: RawFd,
        /// The cause.
        source: std::io::Error,
    },
}
