//! A client and its connection.

use std::sync::atomic::{AtomicBool, Ordering};

use ports::inbound::{Connection, EventStream, Subscription, Taken};
use tokio::{sync::Notify, task::JoinHandle};

use super::*;

/// A connection that notes whether it was woken.
#[derive(Default)]
pub(super) struct FakeConnection {
    is_woken: AtomicBool,
    is_finishing: AtomicBool,
    wakes: Notify,
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
}

/// A client that reads when a test tells it to.
///
/// As a real connection, it takes from its stream at first, when it was woken, and when it has written what it took. So a wake-up that
/// is missing leaves it without its events.
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
        let is_woken = self.connection.is_woken.swap(false, Ordering::SeqCst);
        let takes = is_woken || self.has_taken || std::mem::take(&mut self.is_first);
        if !takes || self.ended.is_some() {
            return Vec::new();
        }
        let Taken { first, rest, is_last } = self.stream.take();
        let texts: Vec<_> = first.into_iter().chain(rest).map(|frame| text(&frame)).collect();
        self.has_taken = !texts.is_empty();
        if is_last {
            self.ended = Some(texts.last().expect("a closing comment").clone());
        }
        texts
    }

    /// Reads all there is at this moment.
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

    /// The closing comment, when it was read.
    pub(super) fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// Whether its connection was told that the stream is about to end.
    pub(super) fn is_finishing(&self) -> bool {
        self.connection.is_finishing.load(Ordering::SeqCst)
    }

    /// From now on it reads whatever comes.
    pub(super) fn keep_reading(mut self) -> Reader {
        let notes = Arc::new(Notes::new());
        let task = tokio::spawn({
            let notes = Arc::clone(&notes);
            async move {
                while self.ended.is_none() {
                    notes.add(self.read());
                    self.connection.wakes.notified().await;
                }
                std::future::pending::<()>().await;
            }
        });
        Reader { notes, task }
    }

    /// From now on it reads one turn after each `pause`.
    pub(super) fn read_every(mut self, pause: Duration) -> Reader {
        let notes = Arc::new(Notes::new());
        let task = tokio::spawn({
            let notes = Arc::clone(&notes);
            async move {
                let mut ticks = tokio::time::interval(pause);
                loop {
                    ticks.tick().await;
                    notes.add(self.read_turn());
                }
            }
        });
        Reader { notes, task }
    }
}

fn text(frame: &Frame) -> String {
    let mut text = String::from_utf8(frame.to_vec()).expect("a text");
    // What makes it large.
    text.truncate(text.find("  ").unwrap_or(text.len()));
    text
}

/// A client that reads by itself.
pub(super) struct Reader {
    notes: Arc<Notes>,
    task: JoinHandle<()>,
}

/// What it has read, and when.
struct Notes {
    began: Instant,
    texts: Mutex<Vec<(String, Duration)>>,
}

impl Notes {
    fn new() -> Self {
        Self { began: now(), texts: Mutex::default() }
    }

    fn add(&self, texts: Vec<String>) {
        let now = now() - self.began;
        self.texts.lock().extend(texts.into_iter().map(|text| (text, now)));
    }
}

impl Reader {
    pub(super) fn texts(&self) -> Vec<String> {
        self.timed().into_iter().map(|(text, _)| text).collect()
    }

    /// Each with the time since it began to read.
    pub(super) fn timed(&self) -> Vec<(String, Duration)> {
        self.notes.texts.lock().clone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}
