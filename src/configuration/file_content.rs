//! What is in a file that an administrator names, within limits: whatever else it is, the service neither waits for it nor runs out of memory.

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::fs::FileTypeExt as _,
    path::Path,
};

/// What is wrong with a value that is no text.
pub(super) const NO_TEXT: &str = "is no UTF-8";

/// Opens a file.
///
/// # Errors
///
/// What is wrong with it. A pipe can be read once, and not again on a reload, and opening it may wait for ever.
pub(super) fn open(path: &Path) -> Result<File, String> {
    let cannot_be_read = |error| format!("cannot be read: {error}");
    if fs::metadata(path).map_err(cannot_be_read)?.file_type().is_fifo() {
        return Err("is a pipe, but a file is wanted".into());
    }
    File::open(path).map_err(cannot_be_read)
}

/// The text in a file.
///
/// # Errors
///
/// What is wrong with it, such as that it has more than `limit` bytes.
pub(super) fn read(path: &Path, limit: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    open(path)?
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > limit {
        return Err(format!("is a file of more than {limit} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| format!("is a file whose content {NO_TEXT}"))
}
