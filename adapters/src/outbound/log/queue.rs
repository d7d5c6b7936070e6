//! The queue between the threads that log and the one that writes. A full pipe or a slow disk delays only the latter.

use std::{
    io::{self, Write},
    mem,
    sync::Arc,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use ports::outbound::Metrics;
use tracing::warn;

/// Maximum size of the lines that wait to be written, in bytes. As many may be in the hands of the thread that writes.
const MAX_BYTES: usize = 1 << 20;
/// Maximum time for which the end of the program waits for the last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// A bounded queue of lines. A line for which there is no room is dropped and counted.
pub(super) struct Queue {
    state: Mutex<State>,
    /// Notified when a line is added.
    added: Condvar,
    /// Notified when all lines are written.
    emptied: Condvar,
    metrics: Arc<dyn Metrics>,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// Whether lines that waited are being written.
    is_writing: bool,
    /// Dropped lines that no line of the log has reported yet.
    unreported: u64,
}

impl Queue {
    pub(super) fn new(metrics: Arc<dyn Metrics>) -> Self {
        Self { state: Mutex::default(), added: Condvar::new(), emptied: Condvar::new(), metrics }
    }

    /// Writes the lines to `output` for ever. It blocks.
    pub(super) fn write_to(&self, mut output: impl Write) {
        let mut is_writable = true;
        loop {
            let (lines, dropped) = self.take(is_writable);
            if dropped > 0 {
                // Added to the queue, which has room again, behind the lines that were kept.
                warn!(lines = dropped, "log lines dropped");
            }
            // One at a time, so that other writers to the same pipe do not write into the middle of a line.
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                is_writable = output.write_all(line).is_ok();
                if !is_writable {
                    self.drop_line(&mut self.state.lock());
                }
            }
        }
    }

    /// Waits for lines and takes all of them, with the number of dropped lines to report. None are reported to an output that has just
    /// failed, because the report would fail too, and cause the next one.
    fn take(&self, is_writable: bool) -> (Vec<u8>, u64) {
        let mut state = self.state.lock();
        state.is_writing = false;
        if state.waiting.is_empty() {
            self.emptied.notify_all();
        }
        self.added.wait_while(&mut state, |state| state.waiting.is_empty());
        state.is_writing = true;
        let dropped = if is_writable { mem::take(&mut state.unreported) } else { 0 };
        (mem::take(&mut state.waiting), dropped)
    }

    fn drop_line(&self, state: &mut State) {
        state.unreported += 1;
        self.metrics.log_line_dropped();
    }

    /// Waits until all lines are written, for a second at most.
    pub(super) fn flush(&self) {
        let is_unwritten = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        self.emptied.wait_while_for(&mut self.state.lock(), is_unwritten, FLUSH_TIMEOUT);
    }
}

/// Adds one line at each write. It never blocks.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.state.lock();
        if state.waiting.len() + line.len() <= MAX_BYTES {
            state.waiting.extend_from_slice(line);
            self.added.notify_one();
        } else {
            self.drop_line(&mut state);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicBool, AtomicUsize, Ordering},
            mpsc::{self, Receiver, SyncSender},
        },
        thread,
    };

    use ports::outbound::MockMetrics;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const KIBIBYTE: [u8; 1024] = {
        let mut line = [b'x'; 1024];
        line[1023] = b'\n';
        line
    };
    /// Lines of a kibibyte that may wait.
    const MAX_LINES: usize = MAX_BYTES / KIBIBYTE.len();

    /// A pipe without a buffer: a write waits for its reader. It can also be broken.
    struct Pipe {
        written: SyncSender<Vec<u8>>,
        is_broken: Arc<AtomicBool>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.is_broken.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.written.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A queue whose lines are written to a pipe.
    struct Log {
        queue: Arc<Queue>,
        reader: Receiver<Vec<u8>>,
        is_broken: Arc<AtomicBool>,
        /// The number of dropped lines according to the metrics.
        dropped: Arc<AtomicUsize>,
    }

    fn log() -> Log {
        let dropped = Arc::<AtomicUsize>::default();
        let mut metrics = MockMetrics::new();
        let counted = Arc::clone(&dropped);
        metrics.expect_log_line_dropped().returning(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        let queue = Arc::new(Queue::new(Arc::new(metrics)));
        let (written, reader) = mpsc::sync_channel(0);
        let is_broken = Arc::<AtomicBool>::default();
        let pipe = Pipe { written, is_broken: Arc::clone(&is_broken) };
        let writer = Arc::clone(&queue);
        thread::spawn(move || {
            let report = tracing_subscriber::fmt::layer().without_time().with_ansi(false);
            let report = tracing_subscriber::registry().with(report.with_writer(Arc::clone(&writer)));
            tracing::subscriber::with_default(report, || writer.write_to(pipe));
        });
        Log { queue, reader, is_broken, dropped }
    }

    fn add(mut queue: &Queue, line: &[u8]) {
        queue.write_all(line).expect("never an error");
    }

    fn next(reader: &Receiver<Vec<u8>>) -> String {
        let line = reader.recv_timeout(Duration::from_secs(10)).expect("a line in time");
        String::from_utf8(line).expect("UTF-8")
    }

    #[test]
    fn lines_without_room_are_dropped_and_reported() {
        let Log { queue, reader, dropped, .. } = log();
        add(&queue, b"being written\n");
        while !queue.state.lock().is_writing {
            thread::yield_now();
        }
        for _ in 0..MAX_LINES + 3 {
            add(&queue, &KIBIBYTE);
        }
        assert_eq!(next(&reader), "being written\n");
        for _ in 0..MAX_LINES {
            assert_eq!(next(&reader).as_bytes(), KIBIBYTE);
        }
        let report = next(&reader);
        assert!(report.contains("WARN") && report.ends_with("log lines dropped lines=3\n"), "{report}");
        assert_eq!(dropped.load(Ordering::SeqCst), 3);
        add(&queue, b"one more\n");
        assert_eq!(next(&reader), "one more\n", "reported once");
    }

    #[test]
    fn failed_output_loses_lines_and_is_used_again() {
        let Log { queue, reader, is_broken, dropped } = log();
        is_broken.store(true, Ordering::SeqCst);
        for line in [b"one\n", b"two\n"] {
            add(&queue, line);
            queue.flush();
        }
        is_broken.store(false, Ordering::SeqCst);
        add(&queue, b"three\n");
        assert_eq!(next(&reader), "three\n");
        add(&queue, b"four\n");
        assert_eq!(next(&reader), "four\n");
        assert!(next(&reader).ends_with("log lines dropped lines=2\n"));
        assert_eq!(dropped.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn flush_waits_for_the_last_line() {
        let Log { queue, reader, .. } = log();
        add(&queue, b"one\n");
        add(&queue, b"two\n");
        let reading = thread::spawn(move || [next(&reader), next(&reader)]);
        queue.flush();
        assert!(!queue.state.lock().is_writing);
        assert_eq!(reading.join().expect("read"), ["one\n", "two\n"]);
    }

    #[test]
    fn flush_gives_up() {
        let Log { queue, reader: _unread, .. } = log();
        add(&queue, b"one\n");
        queue.flush();
        let state = queue.state.lock();
        assert!(state.is_writing || !state.waiting.is_empty());
    }
}
