//! Listening sockets that the service manager holds and passes on (`sd_listen_fds(3)`).

use std::{
    fs::File,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::{fd::OwnedFd, unix::net::UnixListener},
};

use hyper::Version;
use tokio::{net::TcpStream, task::JoinHandle};

use crate::{
    client::{Stream, get, send_bytes, try_get},
    eventually,
    nats::Nats,
    program::{Program, server_with_sockets},
    registry,
    service::token,
    transport::{Server, service_at},
};

/// A socket that a service manager listens on.
struct Socket {
    listener: TcpListener,
    address: SocketAddr,
}

impl Socket {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        Self { listener, address }
    }

    fn passed(&self) -> OwnedFd {
        self.listener.try_clone().expect("a descriptor").into()
    }
}

/// Starts the service, and waits until it listens.
async fn start(nats: &Nats, socket: &Socket) -> Program {
    let mut program = server_with_sockets(nats, vec![socket.passed()], "http", &[]);
    assert_eq!(program.logged_addresses().await.0.address, socket.address);
    program
}

/// Opens a stream on `socket` once a process accepts it.
fn open_on(socket: TcpStream, server: Server) -> JoinHandle<Stream> {
    tokio::spawn(async move {
        let connection = server.connect_on(socket, Version::HTTP_11).await.expect("accepted");
        Stream::open_on(connection, server, "/sse", &[("x-access-token", &token("einstein"))]).await
    })
}

/// A client that connects once after the other.
async fn connect_repeatedly(server: Server) {
    loop {
        TcpStream::connect(server.address).await.expect("never refused");
        // None if the process stops before it has read the request.
        try_get(server, "/openapi.json").await;
    }
}

#[tokio::test]
async fn restarts_refuse_no_connection() {
    let (nats, socket) = (Nats::down(), Socket::listen());
    let server = service_at(socket.address);
    let mut program = start(&nats, &socket).await;
    let connecting = tokio::spawn(connect_repeatedly(server));
    for _ in 0..5 {
        let mut open = Stream::open(server, "/sse", &[("x-access-token", &token("einstein"))]).await;
        program.terminate();
        assert_eq!(open.closing_comment().await, "the service is stopping");
        assert_eq!(program.status().await, Some(0));
        // No process runs now.
        let waiting = TcpStream::connect(socket.address).await.expect("queued");
        let opened = open_on(waiting, server);
        program = start(&nats, &socket).await;
        opened.await.expect("served by the next process");
    }
    assert!(!connecting.is_finished(), "{:?}", connecting.await);
}

#[tokio::test]
async fn stopping_process_leaves_connections_to_the_next() {
    let (nats, socket) = (Nats::down(), Socket::listen());
    let server = service_at(socket.address);
    let mut program = start(&nats, &socket).await;
    // An unfinished request delays the shutdown.
    let mut unfinished = server.connect().await.expect("connected");
    send_bytes(&mut unfinished, b"GET /sse HTTP/1.1\r\nhost:").await;
    let mut open = Stream::open(server, "/sse", &[("x-access-token", &token("einstein"))]).await;
    program.terminate();
    assert_eq!(open.closing_comment().await, "the service is stopping");
    let opened = open_on(TcpStream::connect(socket.address).await.expect("queued"), server);
    assert_eq!(program.status().await, Some(0));
    let _next = start(&nats, &socket).await;
    opened.await.expect("served by the next process, without a 503");
}

#[tokio::test]
async fn sockets_are_found_by_name() {
    let (nats, http, debug) = (Nats::start().await, Socket::listen(), Socket::listen());
    let sockets = vec![debug.passed(), http.passed()];
    let mut program = server_with_sockets(&nats, sockets, "debug:http", &[]);
    let mut replaced = Vec::new();
    for _ in 0..2 {
        let line = program.log_line().await;
        assert_eq!(line["level"], "warn");
        assert_eq!(line["message"], "the socket of the service manager replaces the address in the settings");
        replaced
            .push(["setting", "configured", "address"].map(|name| line[name].as_str().map(str::to_owned)));
    }
    let replaced_by = |setting: &str, socket: &Socket| {
        [setting.to_owned(), "127.0.0.1:0".to_owned(), socket.address.to_string()].map(Some)
    };
    assert_eq!(replaced, [replaced_by("http.addr", &http), replaced_by("debug.addr", &debug)]);
    let (listening, debugging) = program.logged_addresses().await;
    assert_eq!([listening.address, debugging], [http.address, debug.address]);
    // The registry has the address of the socket.
    eventually("ready", async || get(debug.address, "/readyz", &[]).await.status == 200).await;
    let entry = registry::entries(&nats).await.remove(0);
    assert_eq!(entry["nodes"][0]["address"], http.address.to_string());
    for descriptor in [3, 4] {
        assert!(program.closes_on_exec(descriptor), "a child would keep the socket open");
    }
}

#[tokio::test]
async fn only_socket_needs_no_name() {
    let nats = Nats::down();
    for name in ["", "unknown"] {
        let socket = Socket::listen();
        let address = socket.address.to_string();
        let configured = [("SSE_HTTP_ADDR", &*address)];
        let mut program = server_with_sockets(&nats, vec![socket.passed()], name, &configured);
        // The settings have the same address, so nothing is to be warned of.
        assert_eq!(program.log_line().await["message"], "listening");
    }
}

#[tokio::test]
async fn sockets_of_another_process_are_ignored() {
    let (nats, socket) = (Nats::down(), Socket::listen());
    let mut program = server_with_sockets(&nats, vec![socket.passed()], "http", &[("LISTEN_PID", "1")]);
    assert_ne!(program.logged_addresses().await.0.address, socket.address);
}

#[tokio::test]
async fn unusable_sockets_are_named() {
    let nats = Nats::down();
    let check = async |sockets: Vec<OwnedFd>, names: &str, settings: &[(&str, &str)], message: &str| {
        let mut program = server_with_sockets(&nats, sockets, names, settings);
        let errors = program.remaining_errors().await;
        assert_eq!(program.status().await, Some(1), "{errors}");
        assert_eq!(errors, format!("ocis-sse: the sockets of the service manager cannot be used: {message}"));
    };
    let [one, two] = [Socket::listen(), Socket::listen()];
    let unknown = r#"descriptor 3: "sse.socket" is not a known name; use FileDescriptorName=http or debug"#;
    check(vec![one.passed()], "sse.socket", &[], unknown).await;
    let unnamed = r#"descriptor 3: "" is not a known name; use FileDescriptorName=http or debug"#;
    check(vec![one.passed(), two.passed()], "", &[], unnamed).await;
    let twice = r#"descriptor 4: another socket has the name "http" as well"#;
    check(vec![one.passed(), two.passed()], "http:http", &[], twice).await;
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let other = "descriptor 3: is not a listening TCP socket";
    check(vec![datagrams.into()], "http", &[], other).await;
    let connected = std::net::TcpStream::connect(one.address).expect("connected");
    check(vec![connected.into()], "http", &[], other).await;
    let directory = tempfile::tempdir().expect("a directory");
    let local = UnixListener::bind(directory.path().join("socket")).expect("a socket");
    check(vec![local.into()], "http", &[], other).await;
    let file = File::open("/dev/null").expect("readable");
    check(vec![file.into()], "http", &[], other).await;
    let number = [("LISTEN_FDS", "one")];
    check(vec![one.passed()], "http", &number, "LISTEN_FDS or LISTEN_PID is not a number").await;
}
