//! An ordinary client beside the hostile ones, which measures its response times.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{connection::encrypted, kind::Target};
use crate::{
    ledger::now,
    run::token,
    streams::{OpenError, tls::Tls},
};

const INTERVAL: Duration = Duration::from_millis(100);
/// A request without a response in this time has failed.
const TIMEOUT: Duration = Duration::from_secs(5);
const USER: &str = "ordinary";
/// The position of the status in a response.
const STATUS: std::ops::Range<usize> = 9..12;

/// The results of ordinary requests.
#[derive(Clone, Copy, Default)]
pub(super) struct Requests {
    pub(super) made: u64,
    /// Requests with an unexpected response, or without one.
    pub(super) failed: u64,
    /// The longest response time, in microseconds.
    pub(super) slowest: u64,
}

/// A client on a thread of its own, which the hostile clients in this process do not delay.
pub(super) struct Probe {
    requests: Arc<Mutex<Requests>>,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Probe {
    /// Starts to request streams, alternately without a token (401) and with one (200).
    pub(super) fn start(target: Target, tls: bool) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (requests, is_over) = (Arc::<Mutex<Requests>>::default(), Arc::<AtomicBool>::default());
        let (noted, ends) = (Arc::clone(&requests), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let client =
                    Client { token: token(USER, &target.secret), target, tls: tls.then(|| Tls::new(false)) };
                let mut ticks = interval(INTERVAL);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !ends.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    for with_token in [false, true] {
                        let began = now();
                        let is_served =
                            matches!(timeout(TIMEOUT, client.request(with_token)).await, Ok(Ok(true)));
                        let took = now().saturating_sub(began) / 1000;
                        let mut noted = noted.lock();
                        noted.made += 1;
                        noted.failed += u64::from(!is_served);
                        noted.slowest = noted.slowest.max(took);
                    }
                }
            });
        });
        Ok(Self { requests, is_over, thread })
    }

    /// Returns the results since the last call.
    pub(super) fn take(&self) -> Requests {
        std::mem::take(&mut *self.requests.lock())
    }

    /// Stops the client after its last request.
    pub(super) fn stop(self) -> Requests {
        self.is_over.store(true, Ordering::Relaxed);
        // A client that has panicked sends no more requests.
        self.thread.join().ok();
        std::mem::take(&mut *self.requests.lock())
    }
}

struct Client {
    target: Target,
    token: String,
    tls: Option<Tls>,
}

impl Client {
    /// Sends a request; returns whether it has the expected status.
    async fn request(&self, with_token: bool) -> Result<bool, OpenError> {
        let Self { target, token, tls } = self;
        let socket = TcpStream::connect(target.server).await.map_err(OpenError::Connect)?;
        let mut io = encrypted(socket, target, tls.as_ref()).await?;
        let head = target.http1("GET", &target.path);
        let credentials = if with_token { format!("x-access-token: {token}\r\n") } else { String::new() };
        let request = format!("{head}{credentials}connection: close\r\n\r\n");
        io.write_all(request.as_bytes()).await.map_err(OpenError::Connect)?;
        io.flush().await.map_err(OpenError::Connect)?;
        let mut answer = [0; STATUS.end];
        io.read_exact(&mut answer).await.map_err(OpenError::Connect)?;
        let due: &[u8] = if with_token { b"200" } else { b"401" };
        Ok(&answer[STATUS] == due)
    }
}
