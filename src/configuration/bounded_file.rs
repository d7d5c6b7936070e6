//! Reads files that may be endless, such as pipes and devices.

use std::{
    fs::File,
    io::{self, ErrorKind, Read as _},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
    thread,
    time::Duration,
};

use rustix::fs::OFlags;

/// Timeout for reading a file. A pipe, such as a shell's `<(command)`, may need some time.
const DEADLINE: Duration = Duration::from_secs(5);
/// Interval at which a pipe is checked for more.
const PAUSE: Duration = Duration::from_millis(10);

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
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    // A pipe without a writer, or a terminal, would block.
    let mut file = File::options()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(unreadable)?;
    let is_pipe = file.metadata().map_err(unreadable)?.file_type().is_fifo();
    let mut content = Vec::new();
    for _ in 0..=deadline.as_millis() / PAUSE.as_millis() {
        match (&mut file).take(max_bytes + 1 - content.len() as u64).read_to_end(&mut content) {
            Ok(_) if content.len() as u64 > max_bytes => {
                return Err(format!("is larger than {max_bytes} bytes"));
            }
            // A pipe that has no writer yet looks like one that has ended.
            Ok(_) if is_pipe && content.is_empty() => {}
            Ok(_) => return Ok(content),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(unreadable(error)),
        }
        thread::sleep(PAUSE);
    }
    Err(format!("cannot be read: it did not end within {deadline:?}"))
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
