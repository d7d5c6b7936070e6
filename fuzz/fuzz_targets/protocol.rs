//! Which protocol the first bytes of a connection tell, in one piece and byte for byte.

#![no_main]

use adapters::http_server::Protocol;
use libfuzzer_sys::fuzz_target;

/// How HTTP/2 begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fuzz_target!(|data: &[u8]| {
    let detected = Protocol::detect(data);
    // What has been told does not change with what comes behind it, and is told at the latest with the fourth byte.
    let told = (0..=data.len()).find_map(|seen| Protocol::detect(&data[..seen]).map(|told| (seen, told)));
    assert_eq!(detected, told.map(|(_, protocol)| protocol));
    match told {
        Some((seen, Protocol::Http2)) => assert!(seen == 4 && data.starts_with(&PREFACE[..seen])),
        Some((seen, Protocol::Http1)) => assert!(seen <= 4 && !PREFACE.starts_with(&data[..seen])),
        None => assert!(data.len() < 4 && PREFACE.starts_with(data)),
    }
});
