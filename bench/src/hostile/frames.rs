//! HTTP/2 frames (RFC 9113) and literal HPACK fields (RFC 7541), as far as a client that reads no response needs them.

/// The connection preface of a client (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
/// Length, type, flags and stream.
pub(super) const FRAME_HEAD_BYTES: usize = 9;
/// The number of streams without a limit of the server (RFC 9113, 6.5.2, recommends at least as many).
const DEFAULT_STREAMS: u32 = 100;

/// The name and value of a header field.
pub(super) type Field = (&'static str, String);

/// Returns the preface and the client's settings. Without a `window` the server may send 64 KiB on each stream.
pub(super) fn preface(window: Option<u32>) -> Vec<u8> {
    let mut settings = Vec::new();
    if let Some(window) = window {
        settings.extend(INITIAL_WINDOW_SIZE.to_be_bytes());
        settings.extend(window.to_be_bytes());
    }
    [PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat()
}

/// Returns a request without a body.
pub(super) fn request(stream: u32, fields: &[Field]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(fields))
}

/// Returns a request whose head continues in a further frame.
pub(super) fn unfinished_request(stream: u32, fields: &[Field]) -> Vec<u8> {
    frame(HEADERS, END_STREAM, stream, &block(fields))
}

pub(super) fn ping() -> Vec<u8> {
    frame(PING, 0, 0, b"8 bytes.")
}

/// Returns the payload's length of a frame with this head.
pub(super) fn payload_bytes(head: [u8; FRAME_HEAD_BYTES]) -> usize {
    usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])
}

/// Returns the server's limit of concurrent streams; `None` if the frame does not contain its settings.
pub(super) fn max_streams(head: [u8; FRAME_HEAD_BYTES], payload: &[u8]) -> Option<u32> {
    if head[3] != SETTINGS || head[4] & ACK != 0 {
        return None;
    }
    let limit = payload.chunks_exact(6).find_map(|setting| {
        let value = setting.strip_prefix(&MAX_CONCURRENT_STREAMS.to_be_bytes())?;
        value.try_into().ok().map(u32::from_be_bytes)
    });
    Some(limit.unwrap_or(DEFAULT_STREAMS))
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn block(fields: &[Field]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        // A literal field without indexing, with a new name.
        block.push(0);
        add_text(&mut block, name);
        add_text(&mut block, value);
    }
    block
}

/// Appends a length with a prefix of seven bits (RFC 7541, 5.1), and the text without Huffman coding.
fn add_text(block: &mut Vec<u8>, text: &str) {
    let prefix = text.len().min(0x7f);
    block.push(u8::try_from(prefix).unwrap_or_default());
    if prefix == 0x7f {
        let mut rest = text.len() - prefix;
        while rest >= 0x80 {
            block.push(u8::try_from(rest & 0x7f).unwrap_or_default() | 0x80);
            rest >>= 7;
        }
        block.push(u8::try_from(rest).unwrap_or_default());
    }
    block.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_the_minimum_of_bytes() {
        let coded = |length| {
            let mut block = Vec::new();
            add_text(&mut block, &"x".repeat(length));
            block.truncate(block.len() - length);
            block
        };
        assert_eq!(coded(126), [126]);
        assert_eq!(coded(127), [127, 0]);
        // RFC 7541, C.1.2, with a prefix of seven bits.
        assert_eq!(coded(1337), [127, 0b1011_1010, 0b0000_1001]);
    }

    #[test]
    fn settings_limit_concurrent_streams() {
        let settings = [0, 5, 0, 0, 0x40, 0, 0, 3, 0, 0, 0, 200];
        let head = [0, 0, 12, SETTINGS, 0, 0, 0, 0, 0];
        assert_eq!(payload_bytes(head), 12);
        assert_eq!(max_streams(head, &settings), Some(200));
        assert_eq!(max_streams(head, &[]), Some(100));
        assert_eq!(max_streams([0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0], &[]), None);
        assert_eq!(max_streams([0, 0, 8, PING, 0, 0, 0, 0, 0], &[0; 8]), None);
    }
}
