//! A fake client and its connection.

use std::sync::atomic::{AtomicBool, Ordering};

use ports::inbound::{Connection, EventStream, OnSuspended, Subscription, SuspendedConnection, Taken};
use tokio::{sync::Notify, task::JoinHandle};

use super::*;

/// A connection that records whether it was woken.
#[derive(Default)]
pub(super) struct FakeConnection {
    is_woken: AtomicBool,
    is_finishing: AtomicBool,
    is_suspended: AtomicBool,
    /// Whether another process continues the connection.
    is_released: AtomicBool,
    /// The bytes that the kernel has not taken when the connection is suspended.
    unsent: Frame,
    /// The stream that the end of the connection closes. None if a test closes it.
    carried: Mutex<Option<Box<dyn EventStream>>>,
    wakes: Notify,
}

impl FakeConnection {
    /// Makes the connection close `stream` when it is released.
    pub(super) fn carry(&self, stream: Box<dyn EventStream>) {
        *self.carried.lock() = Some(stream);
    }

    pub(super) fn with_unsent(unsent: impl Into<Frame>) -> Self {
        Self { unsent: unsent.into(), ..Self::default() }
    }

    pub(super) fn unsent(&self) -> Frame {
        self.unsent.clone()
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.is_suspended.load(Ordering::SeqCst)
    }

    pub(super) fn is_released(&self) -> bool {
        self.is_released.load(Ordering::SeqCst)
    }
}

impl Connection for FakeConnection {
    fn wake(&self) -> bool {
        self.is_woken.store(true, Ordering::SeqCst);
        self.wakes.notify_one();
        true
    }

    fn finish(&self) {
        self.is_finishing.store(true, Ordering::SeqCst);
    }

    fn suspend(self: Arc<Self>, on_suspended: OnSuspended) {
        let is_suspended = !self.is_finishing.load(Ordering::SeqCst);
        self.is_suspended.store(is_suspended, Ordering::SeqCst);
        on_suspended(is_suspended.then(|| SuspendedConnection {
            socket: std::fs::File::open("/dev/null").expect("opened").into(),
            unsent: self.unsent.clone(),
            is_chunked: true,
            excess_bytes: 0,
        }));
    }

    fn resume(&self) {
        self.is_suspended.store(false, Ordering::SeqCst);
        self.wake();
    }

    fn release(self: Arc<Self>) {
        self.is_released.store(true, Ordering::SeqCst);
        drop(self.carried.lock().take());
    }
}

/// A client that reads on request of a test.
///
/// Like a real connection, it takes frames once at the start, after it was woken, and after it has written the frames of the previous turn.
/// A missing wake-up therefore makes a test fail.
pub(super) struct Client {
    pub(super) language: LanguageTag,
    pub(super) connection: Arc<FakeConnection>,
    pub(super) stream: Box<dyn EventStream>,
    is_first: bool,
    has_taken: bool,
    ended: Option<String>,
}

impl Client {
    pub(super) fn new(subscription: Subscription, connection: Arc<FakeConnection>) -> Self {
        let Subscription { language, stream } = subscription;
        Self { language, connection, stream, is_first: true, has_taken: false, ended: None }
    }

    /// Reads one turn.
    pub(super) fn read_turn(&mut self) -> Vec<String> {
        if self.connection.is_suspended() {
            return Vec::new();
        }
        let is_woken = self.connection.is_woken.swap(false, Ordering::SeqCst);
        let takes = is_woken || self.has_taken || std::mem::take(&mut self.is_first);
        if !takes || self.ended.is_some() {
            return Vec::new();
        }
        let Taken { first, rest, is_last, .. } = self.stream.take();
        let texts: Vec<_> = first.into_iter().chain(rest).map(|frame| text(&frame)).collect();
        self.has_taken = !texts.is_empty();
        if is_last {
            self.ended = Some(texts.last().expect("a closing comment").clone());
        }
        texts
    }

    /// Reads until there is nothing more to take.
    pub(super) fn read(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            let turn = self.read_turn();
            if turn.is_empty() {
                return texts;
            }
            texts.extend(turn);
        }
    }

    /// Returns the closing comment, if it was read.
    pub(super) fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// Returns whether the connection was notified that the stream is about to end.
    pub(super) fn is_finishing(&self) -> bool {
        self.connection.is_finishing.load(Ordering::SeqCst)
    }

    /// Reads everything as soon as it can be taken.
    pub(super) fn keep_reading(mut self) -> Reader {
        let record = Arc::new(Record::new());
        let task = tokio::spawn({
            let record = Arc::clone(&record);
            async move {
                while self.ended.is_none() {
                    record.add(self.read());
                    self.connection.wakes.notified().await;
                }
                std::future::pending::<()>().await;
            }
        });
        Reader { record, task }
    }

    /// Reads one turn after each `pause`.
    pub(super) fn read_every(mut self, pause: Duration) -> Reader {
        let record = Arc::new(Record::new());
        let task = tokio::spawn({
            let record = Arc::clone(&record);
            async move {
                let mut ticks = tokio::time::interval(pause);
                loop {
                    ticks.tick().await;
                    record.add(self.read_turn());
                }
            }
        });
        Reader { record, task }
    }
}

/// Returns the client of a stream that another process has handed over.
pub(super) fn continued(stream: Box<dyn EventStream>, connection: Arc<FakeConnection>) -> Client {
    Client::new(Subscription { language: LanguageTag::default(), stream }, connection)
}

pub(super) fn text(frame: &Frame) -> String {
    let mut text = String::from_utf8(frame.to_vec()).expect("a text");
    // The padding of a large content.
    text.truncate(text.find("  ").unwrap_or(text.len()));
    text
}

/// A client that reads in a task of its own.
pub(super) struct Reader {
    record: Arc<Record>,
    task: JoinHandle<()>,
}

/// The texts that a client has read, each with the time since the start of reading.
struct Record {
    started: Instant,
    texts: Mutex<Vec<(String, Duration)>>,
}

impl Record {
    fn new() -> Self {
        Self { started: now(), texts: Mutex::default() }
    }

    fn add(&self, texts: Vec<String>) {
        let now = now() - self.started;
        self.texts.lock().extend(texts.into_iter().map(|text| (text, now)));
    }
}

impl Reader {
    pub(super) fn texts(&self) -> Vec<String> {
        self.timed().into_iter().map(|(text, _)| text).collect()
    }

    /// Returns the texts, each with the time since the start of reading.
    pub(super) fn timed(&self) -> Vec<(String, Duration)> {
        self.record.texts.lock().clone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}
