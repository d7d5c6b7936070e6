//! A proxy that holds responses back.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use crate::{service::Service, transport::Connection};

/// The proxy, which stops on drop. It forwards the first bytes of a response at once, and what follows in intervals.
pub(super) struct Buffering {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Buffering {
    /// Starts a proxy that forwards what it holds after each `interval`.
    pub(super) async fn in_front_of(service: &Service, interval: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let service = service.http;
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("a connection");
                let server = service.connect().await.expect("connected");
                tokio::spawn(forward(client, server, interval));
            }
        });
        Self { address, accepting }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn forward(client: TcpStream, server: Connection, interval: Duration) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let requests = tokio::spawn(async move { copy(&mut from_client, &mut to_server).await.ok() });
    let mut buffer = Vec::new();
    let mut held_until = Instant::now();
    loop {
        match timeout_at(held_until, from_server.read_buf(&mut buffer)).await {
            Ok(Ok(length)) if length > 0 => {}
            Ok(_) => break,
            Err(_) => {
                if to_client.write_all(&buffer).await.is_err() {
                    break;
                }
                if !buffer.is_empty() {
                    held_until = Instant::now() + interval;
                    buffer.clear();
                } else if let Ok(length) = from_server.read_buf(&mut buffer).await
                    && length == 0
                {
                    break;
                }
            }
        }
    }
    requests.abort();
}

impl Drop for Buffering {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
