//! What the program prints.

use std::{
    io::{self, Write as _},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Maximum time for which a message waits for the reader of standard error.
const PRINT_TIMEOUT: Duration = Duration::from_secs(1);

/// Prints `text`. A closed standard output is not an error.
pub fn print(text: &str) {
    writeln!(io::stdout(), "{text}").ok();
}

/// Prints `text` on standard error. If nobody reads that, it gives up after a second: the program must be able to end.
pub fn print_error(text: &str) {
    let line = format!("ocis-sse: {text}\n");
    let (sender, written) = mpsc::channel();
    thread::spawn(move || {
        io::stderr().write_all(line.as_bytes()).ok();
        sender.send(()).ok();
    });
    written.recv_timeout(PRINT_TIMEOUT).ok();
}
