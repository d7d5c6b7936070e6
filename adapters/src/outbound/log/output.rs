//! Where the lines of the log go.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

/// Standard error or a file.
pub(super) enum Output {
    StandardError,
    File(Arc<LogFile>),
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            // Without the standard library's lock, which a blocked write would keep from the last message of the program.
            Self::StandardError => Ok(rustix::io::write(io::stderr(), bytes)?),
            Self::File(file) => (&**file).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A log file. It can be reopened after it was moved away (log rotation).
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    /// Shared with the writer, so that reopening does not wait for a write.
    file: Mutex<Arc<File>>,
}

impl LogFile {
    /// Opens the file at `path` for appending, creating it if necessary.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be opened.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        Ok(Self { file: Mutex::new(append(&path)?), path })
    }

    /// Reopens the file at the same path.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be opened. The open file is kept.
    pub fn reopen(&self) -> io::Result<()> {
        *self.file.lock() = append(&self.path)?;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<Arc<File>> {
    File::options().append(true).create(true).open(path).map(Arc::new)
}

impl Write for &LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = Arc::clone(&self.file.lock());
        (&*file).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_file_is_reopened_after_rotation() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, moved) = (directory.path().join("sse.log"), directory.path().join("sse.log.1"));
        let file = LogFile::open(path.clone()).expect("opened");
        writeln!(&file, "one").expect("written");
        std::fs::rename(&path, &moved).expect("moved");
        writeln!(&file, "two").expect("written");
        file.reopen().expect("reopened");
        writeln!(&file, "three").expect("written");
        let read = |path| std::fs::read_to_string(path).expect("a text");
        assert_eq!([read(moved), read(path)], ["one\ntwo\n", "three\n"]);
    }
}
