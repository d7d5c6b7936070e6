//! The lower bound of the cost of unicast: a server that reads each event from NATS and does one bare `send` of an
//! encoded frame.
//!
//! The publisher puts the frames in a queue in this process. So the server decodes no envelope and encodes no frame.
//! Its CPU time is what every service in Rust needs: the NATS client and the kernel's `send`.

use std::{
    collections::VecDeque,
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, pull},
    stream,
};
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    floor::{accept_all, event_chunk, listen, thread_time},
    ledger::Event,
    publisher::{Error, SUBJECT},
};

/// The number of messages per request, as in the service.
const BATCH_MESSAGES: usize = 500;

/// Encoded frames in the order of their messages in NATS.
type Frames = Arc<Mutex<VecDeque<String>>>;

/// A server on a thread of its own, with all tasks of its NATS client.
pub(crate) struct UnicastFloor {
    pub(crate) address: SocketAddr,
    frames: Frames,
    /// Resolves when all clients have their streams and the server reads from NATS.
    subscribed: oneshot::Receiver<()>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<Duration, Error>>,
}

impl UnicastFloor {
    /// Starts a server for this number of users, each with `streams` streams.
    pub(crate) fn start(nats: String, users: usize, streams: usize) -> Result<Self, Error> {
        let listener = listen()?;
        let address = listener.local_addr()?;
        let frames = Frames::default();
        let (subscribing, subscribed) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let ready = Arc::clone(&frames);
        let thread = std::thread::spawn(move || {
            let sockets = accept(&listener, users, streams)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(serve(&nats, sockets, &ready, subscribing, stopped))
        });
        Ok(Self { address, frames, subscribed, stop, thread })
    }

    /// Waits until the server reads from NATS.
    pub(crate) async fn subscribed(mut self) -> Result<Self, Error> {
        match (&mut self.subscribed).await {
            Ok(()) => Ok(self),
            // The thread has ended with an error.
            Err(_) => Err(self.stop().err().unwrap_or_else(|| "the floor does not read from NATS".into())),
        }
    }

    /// Adds the frame of an event that is about to be published.
    pub(crate) fn prepare(&self, event: &Event) -> Result<(), Error> {
        self.frames.lock().push_back(event_chunk(event)?);
        Ok(())
    }

    /// Stops the server. Returns its CPU time since it started to read from NATS.
    pub(crate) fn stop(self) -> Result<Duration, Error> {
        drop(self.stop);
        self.thread.join().map_err(|_| "the floor has failed")?
    }
}

/// Accepts all streams, and gives each user its own.
fn accept(listener: &TcpListener, users: usize, streams: usize) -> Result<Vec<Vec<TcpStream>>, Error> {
    (0..users).map(|_| Ok(accept_all(listener, streams)?)).collect()
}

async fn serve(
    nats: &str,
    mut users: Vec<Vec<TcpStream>>,
    frames: &Frames,
    subscribed: oneshot::Sender<()>,
    mut stopped: oneshot::Receiver<()>,
) -> Result<Duration, Error> {
    let mut messages = subscribe(nats).await?;
    subscribed.send(()).ok();
    let before = thread_time();
    let mut turn = 0;
    loop {
        tokio::select! {
            // A pending message is taken without polling the other branch.
            biased;
            // The publisher addresses the users in turn.
            message = messages.next() => {
                message.ok_or("NATS has ended the subscription")??;
                let frame = frames.lock().pop_front().ok_or("another process publishes, too")?;
                for socket in &mut users[turn] {
                    socket.write_all(frame.as_bytes())?;
                }
                turn = (turn + 1) % users.len();
            }
            // The run has ended.
            _ = &mut stopped => return Ok(thread_time().saturating_sub(before)),
        }
    }
}

/// Reads new messages with a consumer like the service's. Push consumers need as much CPU.
async fn subscribe(nats: &str) -> Result<pull::Stream, Error> {
    let client = async_nats::connect(nats).await.map_err(|error| format!("NATS at {nats}: {error}"))?;
    let events = jetstream::new(client)
        .get_or_create_stream(stream::Config {
            name: SUBJECT.into(),
            subjects: vec![SUBJECT.into()],
            ..stream::Config::default()
        })
        .await?;
    let consumer = events
        .create_consumer(pull::Config {
            deliver_policy: DeliverPolicy::New,
            ack_policy: AckPolicy::None,
            memory_storage: true,
            ..pull::Config::default()
        })
        .await?;
    Ok(consumer.stream().max_messages_per_batch(BATCH_MESSAGES).messages().await?)
}
