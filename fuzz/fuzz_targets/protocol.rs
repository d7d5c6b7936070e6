//! Protocol detection by the first bytes of a connection, in one piece and byte by byte.

#![no_main]

use adapters::http_server::Protocol;
use libfuzzer_sys::fuzz_target;

/// The connection preface of HTTP/2 (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fuzz_target!(|data: &[u8]| {
    let detected = Protocol::detect(data);
    // Further bytes do not change the result, and four bytes are always enough.
    let first = (0..=data.len()).find_map(|seen| Protocol::detect(&data[..seen]).map(|first| (seen, first)));
    assert_eq!(detected, first.map(|(_, protocol)| protocol));
    match first {
        Some((seen, Protocol::Http2)) => assert!(seen == 4 && data.starts_with(&PREFACE[..seen])),
        Some((seen, Protocol::Http1)) => assert!(seen <= 4 && !PREFACE.starts_with(&data[..seen])),
        None => assert!(data.len() < 4 && PREFACE.starts_with(data)),
    }
});
