//! A server that gives the same response to every request.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// The server, which stops on drop.
pub(super) struct Canned {
    pub(super) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Canned {
    /// Starts a server that writes `response` after the head of each request. An empty one is never written.
    pub(super) async fn server(response: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (response, received) = (response.to_owned(), requests.clone());
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                tokio::spawn(answer(stream, response.clone(), received.clone()));
            }
        });
        Self { address, requests, accepting }
    }

    /// Returns the heads of the requests so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }
}

async fn answer(mut stream: TcpStream, response: String, requests: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    requests.lock().push(String::from_utf8_lossy(&head).into_owned());
    if response.is_empty() {
        // Waits until the client closes the connection.
        stream.read_u8().await.ok();
    }
    stream.write_all(response.as_bytes()).await.ok();
}

impl Drop for Canned {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
