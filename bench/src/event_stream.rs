//! A minimal parser of HTTP/1.1 responses and event streams, which counts the events.

use memchr::memmem;

/// An incremental parser of a chunked response.
#[derive(Default)]
pub(crate) struct Response {
    unread: Vec<u8>,
    part: Part,
}

/// The next part of the response.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Head,
    /// The line with the length of a chunk.
    Length,
    /// The remaining bytes of a chunk, and the line break after it.
    Chunk(usize),
    End,
}

/// The response is not an event stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidResponse {
    #[error("the response is {0:?}")]
    Rejected(String),
    #[error("the response is not chunked")]
    NotChunked,
}

impl Response {
    /// Parses `bytes`, and passes each entry to `take`. Returns whether the stream is open.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        content: &mut Content,
        mut take: impl FnMut(Entry<'_>),
    ) -> Result<bool, InvalidResponse> {
        self.unread.extend_from_slice(bytes);
        let mut read = 0;
        loop {
            let rest = &self.unread[read..];
            match self.part {
                Part::Head => {
                    let Some(end) = memmem::find(rest, b"\r\n\r\n") else { break };
                    if !rest.starts_with(b"HTTP/1.1 200 ") {
                        let line = rest.split(|byte| *byte == b'\r').next().unwrap_or_default();
                        return Err(InvalidResponse::Rejected(String::from_utf8_lossy(line).into_owned()));
                    }
                    read += end + 4;
                    self.part = Part::Length;
                }
                Part::Length => {
                    let Some(end) = memmem::find(rest, b"\r\n") else { break };
                    let length =
                        str::from_utf8(&rest[..end]).ok().and_then(|hex| usize::from_str_radix(hex, 16).ok());
                    read += end + 2;
                    self.part = match length.ok_or(InvalidResponse::NotChunked)? {
                        0 => Part::End,
                        length => Part::Chunk(length),
                    };
                }
                Part::Chunk(0) => {
                    if rest.len() < 2 {
                        break;
                    }
                    read += 2;
                    self.part = Part::Length;
                }
                // A slow client needs long for a large chunk; its first events count before its end.
                Part::Chunk(length) => {
                    let here = rest.len().min(length);
                    if here == 0 {
                        break;
                    }
                    content.read(&rest[..here], &mut take);
                    read += here;
                    self.part = Part::Chunk(length - here);
                }
                Part::End => break,
            }
        }
        self.unread.drain(..read);
        // Ten thousand idle streams must not keep buffers.
        if self.unread.is_empty() {
            self.unread = Vec::new();
        }
        Ok(self.part != Part::Head)
    }

    /// Returns whether the last chunk has arrived, so that the server has ended the stream cleanly.
    pub(crate) fn has_ended(&self) -> bool {
        self.part == Part::End
    }
}

/// An entry of an event stream.
#[derive(Clone, Copy)]
pub(crate) enum Entry<'a> {
    /// The data of an event.
    Event(&'a [u8]),
    /// An event that reports a gap.
    Gap,
    Comment,
}

/// An incremental parser of an event stream (WHATWG HTML, 9.2.5).
#[derive(Default)]
pub(crate) struct Content {
    line: Vec<u8>,
    data: Vec<u8>,
    is_gap: bool,
}

impl Content {
    /// Parses `bytes`, and passes each entry to `take`.
    pub(crate) fn read(&mut self, mut bytes: &[u8], take: &mut impl FnMut(Entry<'_>)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            if let Some(data) = self.line.strip_prefix(b"data: ") {
                self.data.extend_from_slice(data);
            } else if self.line.starts_with(b":") {
                take(Entry::Comment);
            } else if self.line == b"event: stream-gap" {
                self.is_gap = true;
            } else if self.line.is_empty() && !self.data.is_empty() {
                let data = std::mem::take(&mut self.data);
                take(if std::mem::take(&mut self.is_gap) { Entry::Gap } else { Entry::Event(&data) });
            }
            self.line = Vec::new();
        }
        self.line.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a response whose chunks do not end where events do.
    fn stream() -> Vec<u8> {
        let chunks = [
            "retry: 3000\nid: 1-1\n",
            "\n",
            ": keepalive\n\n",
            "id: 1-2\ndata: one\nevent: t\n\nid: 1-2\ndata: {}\nevent: stream",
            "-gap\n\nid",
            ": 1-3\ndata: two\nevent: t",
            "\n\n",
            "",
        ];
        let mut stream = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_vec();
        for chunk in chunks {
            stream.extend_from_slice(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes());
        }
        stream
    }

    #[test]
    fn parsing_does_not_depend_on_the_pieces() {
        let stream = stream();
        for size in [1, 2, 3, 7, 50, stream.len()] {
            let (mut response, mut content, mut read) = (Response::default(), Content::default(), Vec::new());
            for piece in stream.chunks(size) {
                let take = |entry: Entry<'_>| {
                    read.push(match entry {
                        Entry::Event(data) => String::from_utf8_lossy(data).into_owned(),
                        Entry::Gap => "a gap".to_owned(),
                        Entry::Comment => "a comment".to_owned(),
                    });
                };
                response.read(piece, &mut content, take).expect("a stream");
            }
            assert_eq!(read, ["a comment", "one", "a gap", "two"], "in pieces of {size}");
            assert!(response.has_ended(), "in pieces of {size}");
        }
    }

    #[test]
    fn rejection_is_reported() {
        let rejected =
            Response::default().read(b"HTTP/1.1 401 Unauthorized\r\n\r\n", &mut Content::default(), |_| {});
        assert!(
            matches!(rejected, Err(InvalidResponse::Rejected(line)) if line == "HTTP/1.1 401 Unauthorized")
        );
    }
}
