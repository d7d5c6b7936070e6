//! The little that is needed of HTTP/1.1 and of an event stream to count what arrives.

use memchr::memmem;

/// Takes a response apart, in whatever pieces it comes.
#[derive(Default)]
pub(crate) struct Response {
    unread: Vec<u8>,
    part: Part,
}

/// What comes next.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Head,
    /// The line that tells how long a chunk is.
    Length,
    /// So much more of a chunk, and the line break behind it.
    Chunk(usize),
    End,
}

/// It is no stream of events.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoStream {
    #[error("the answer is {0:?}")]
    Refused(String),
    #[error("the answer is not chunked as HTTP/1.1 has it")]
    NotChunked,
}

impl Response {
    /// Reads on, and hands each entry to `take`. The answer is whether the stream is open by now.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        content: &mut Content,
        mut take: impl FnMut(Entry<'_>),
    ) -> Result<bool, NoStream> {
        self.unread.extend_from_slice(bytes);
        let mut read = 0;
        loop {
            let rest = &self.unread[read..];
            match self.part {
                Part::Head => {
                    let Some(end) = memmem::find(rest, b"\r\n\r\n") else { break };
                    if !rest.starts_with(b"HTTP/1.1 200 ") {
                        let line = rest.split(|byte| *byte == b'\r').next().unwrap_or_default();
                        return Err(NoStream::Refused(String::from_utf8_lossy(line).into_owned()));
                    }
                    read += end + 4;
                    self.part = Part::Length;
                }
                Part::Length => {
                    let Some(end) = memmem::find(rest, b"\r\n") else { break };
                    let length =
                        str::from_utf8(&rest[..end]).ok().and_then(|hex| usize::from_str_radix(hex, 16).ok());
                    read += end + 2;
                    self.part = match length.ok_or(NoStream::NotChunked)? {
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
                // A slow client takes long for a large chunk, whose first events have come before its end.
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
        // Of ten thousand streams, none is to hold on to memory while nothing comes.
        if self.unread.is_empty() {
            self.unread = Vec::new();
        }
        Ok(self.part != Part::Head)
    }

    /// Whether the last chunk has come: the server has ended the stream in an orderly way.
    pub(crate) fn has_ended(&self) -> bool {
        self.part == Part::End
    }
}

/// What stands in an event stream.
#[derive(Clone, Copy)]
pub(crate) enum Entry<'a> {
    /// An event with this data.
    Event(&'a [u8]),
    /// An event that tells the client that it misses others.
    Gap,
    Comment,
}

/// The content of an event stream (WHATWG HTML, 9.2.5).
#[derive(Default)]
pub(crate) struct Content {
    line: Vec<u8>,
    data: Vec<u8>,
    is_gap: bool,
}

impl Content {
    /// Reads on, and hands each entry to `take`.
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

    /// In chunks that do not end where events do.
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
    fn it_is_read_in_whatever_pieces_it_comes() {
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
    fn a_refusal_is_told() {
        let refused =
            Response::default().read(b"HTTP/1.1 401 Unauthorized\r\n\r\n", &mut Content::default(), |_| {});
        assert!(matches!(refused, Err(NoStream::Refused(line)) if line == "HTTP/1.1 401 Unauthorized"));
    }
}
