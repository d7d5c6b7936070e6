//! Reads files that may be endless, such as pipes and devices.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

/// Timeout for reading a file. A pipe, such as a shell's `<(command)`, may need some time.
const DEADLINE: Duration = Duration::from_secs(5);

/// Returns the content of the file at `path`.
///
/// # Errors
///
/// Returns the problem, as the rest of a sentence that starts with the path: the file cannot be read, does not end within 5 s, or is larger
/// than `max_bytes`.
pub(super) fn read(path: &Path, max_bytes: u64) -> Result<Vec<u8>, String> {
    read_within(DEADLINE, path, max_bytes)
}

fn read_within(deadline: Duration, path: &Path, max_bytes: u64) -> Result<Vec<u8>, String> {
    let (sender, content) = mpsc::channel();
    let file = path.to_owned();
    // A thread, because opening a pipe without a writer blocks for ever. In that case the thread is left blocked.
    thread::spawn(move || sender.send(read_up_to(max_bytes + 1, &file)));
    match content.recv_timeout(deadline) {
        Ok(Ok(bytes)) if bytes.len() as u64 > max_bytes => Err(format!("is larger than {max_bytes} bytes")),
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(format!("cannot be read: {error}")),
        Err(_) => Err(format!("cannot be read: it did not end within {deadline:?}")),
    }
}

fn read_up_to(bytes: u64, path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(bytes).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, os::fd::AsRawFd as _};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    #[test]
    fn file_is_read_up_to_its_limit() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(&file, "four").expect("written");
        assert_eq!(read(file.path(), 4), Ok(b"four".to_vec()));
        assert_eq!(read(file.path(), 3), Err("is larger than 3 bytes".into()));
    }

    #[test]
    fn pipe_is_read_to_its_end() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        writer.write_all(b"from a command").expect("written");
        drop(writer);
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        assert_eq!(read(Path::new(&path), 20), Ok(b"from a command".to_vec()));
    }

    #[test]
    fn pipe_without_an_end_is_given_up() {
        let no_end = Err("cannot be read: it did not end within 50ms".into());
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        assert_eq!(read_within(SHORT, &path, 20), no_end);
        let (reader, mut writer) = io::pipe().expect("a pipe");
        writer.write_all(b"more will come").expect("written");
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        assert_eq!(read_within(SHORT, Path::new(&path), 20), no_end);
    }
}
