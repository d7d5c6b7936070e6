//! Generates hostile input: valid input that is corrupted, and well-formed input without meaning.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::{Value, json};

use crate::{
    nats::envelope,
    service::{token, token_with},
};

/// The user that the captured messages address.
pub(super) const VICTIM: &str = "4c510ada-c86b-4815-8820-42cdf82c3d51";

/// Fragments that parsers often handle wrongly.
const FRAGMENTS: [&[u8]; 14] = [
    b"\r\n",
    b"\n",
    b"\0",
    b"\r\n\r\n",
    b": ",
    b"\"",
    b"%00",
    b"%zz",
    b"\xff",
    b"\xed\xa0\x80",
    b"-1",
    b"\\ud800",
    b"18446744073709551616",
    b"HTTP/1.1 ",
];

/// A generator that produces the same input from the same seed.
pub(super) struct Generator {
    random: StdRng,
    good_token: String,
    captured_tokens: Vec<String>,
    captured_messages: Vec<String>,
}

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        let tokens: Value = serde_json::from_str(include_str!("../../wire/tokens.json")).expect("JSON");
        let tokens = tokens["tokens"].as_object().expect("an object").values();
        let lines = [include_str!("../../wire/main-queue.jsonl"), include_str!("../../wire/session.jsonl")];
        let lines = lines.iter().flat_map(|file| file.lines());
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let message = |line| text(&serde_json::from_str::<Value>(line).expect("JSON")["data"]);
        Self {
            random: StdRng::seed_from_u64(seed),
            good_token: token(VICTIM),
            captured_tokens: tokens.map(text).collect(),
            captured_messages: lines.map(message).collect(),
        }
    }

    pub(super) fn up_to(&mut self, max: usize) -> usize {
        self.random.random_range(0..=max)
    }

    /// Returns true with a probability of one in `times`.
    pub(super) fn once_in(&mut self, times: u32) -> bool {
        self.random.random_ratio(1, times)
    }

    /// Returns bytes to send as a request.
    pub(super) fn request(&mut self) -> Vec<u8> {
        match self.up_to(7) {
            0 => self.bytes(300),
            1..=3 => {
                let request = self.well_formed();
                self.corrupt(request)
            }
            _ => self.well_formed(),
        }
    }

    /// Returns the bytes of a NATS message.
    pub(super) fn message(&mut self) -> Vec<u8> {
        let captured = self.captured_messages.choose(&mut self.random).expect("some").clone();
        match self.up_to(7) {
            0 => self.bytes(300),
            1 => self.json(4).to_string().into_bytes(),
            2 | 3 => self.corrupt(captured.into_bytes()),
            4 => {
                let mut message: Value = serde_json::from_str(&captured).expect("JSON");
                let payload = message["Payload"].as_str().and_then(|text| STANDARD.decode(text).ok());
                message["Payload"] = STANDARD.encode(self.corrupt(payload.expect("base64"))).into();
                message.to_string().into_bytes()
            }
            5 => {
                let value = self.one_of(["true", "false"]);
                let feature = json!({ "Name": "accountEnabled", "Value": value });
                let event = self.with_random_members(json!({ "UserID": VICTIM, "Features": [feature] }));
                envelope("events.UserFeatureChanged", &event).into_bytes()
            }
            _ => {
                let event =
                    json!({ "UserIDs": [VICTIM], "Type": "t", "Message": STANDARD.encode(self.bytes(30)) });
                let event = self.with_random_members(event);
                envelope("events.SendSSE", &event).into_bytes()
            }
        }
    }

    fn well_formed(&mut self) -> Vec<u8> {
        let method =
            self.one_of(["GET", "GET", "GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "CONNECT", "get"]);
        let path = self.one_of([
            "/sse",
            "/sse",
            "/ocs/v2.php/apps/notifications/api/v1/notifications/sse",
            "/",
            "*",
        ]);
        let version = self.one_of(["1.1", "1.1", "1.1", "1.0", "2.0"]);
        let mut request = format!("{method} {path}").into_bytes();
        if self.once_in(4) {
            request.extend(b"?last_event_id=");
            for byte in self.event_id() {
                request.extend(format!("%{byte:02x}").bytes());
            }
        }
        request.extend(format!(" HTTP/{version}\r\nhost: a\r\n").bytes());
        for (name, value) in self.headers() {
            request.extend(name.bytes().chain(*b": "));
            request.extend(value);
            request.extend(b"\r\n");
        }
        request.extend(b"\r\n");
        request
    }

    fn headers(&mut self) -> Vec<(&'static str, Vec<u8>)> {
        let mut headers = Vec::new();
        if !self.once_in(8) {
            headers.push(("x-access-token", self.token()));
        }
        if self.once_in(8) {
            headers.push(("authorization", [b"Bearer ", &*self.token()].concat()));
        }
        if self.once_in(2) {
            headers.push(("last-event-id", self.event_id()));
        }
        if self.once_in(2) {
            headers.push(("x-request-id", self.bytes(250)));
        }
        for name in ["origin", "traceparent", "access-control-request-method", "cookie", "accept-encoding"] {
            if self.once_in(8) {
                headers.push((name, self.bytes(60)));
            }
        }
        for (name, value) in [
            ("connection", "close"),
            ("content-length", "3"),
            ("content-length", "99999999999999999999"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
            ("upgrade", "h2c"),
        ] {
            if self.once_in(32) {
                headers.push((name, value.into()));
            }
        }
        if self.once_in(64) {
            headers.push(("x", vec![b'x'; 70_000]));
        }
        headers
    }

    fn token(&mut self) -> Vec<u8> {
        let good = self.good_token.clone().into_bytes();
        match self.up_to(7) {
            0 => self.bytes(100),
            1 => self.captured_tokens.choose(&mut self.random).expect("some").clone().into_bytes(),
            2 => self.corrupt(good),
            // A client with the secret can sign arbitrary claims.
            3 | 4 => {
                let id = self.one_of([json!({ "opaque_id": VICTIM }), json!({})]);
                let scope = self.one_of([json!({ "user": {} }), json!({ "publicshare:1": {} })]);
                let exp = self.one_of([4_000_000_000_u64, 4_000_000_000, 1_000_000_000, u64::MAX]);
                let claims = json!({ "aud": ["reva"], "exp": exp, "user": { "id": id }, "scope": scope });
                token_with(&self.with_random_members(claims)).into_bytes()
            }
            _ => good,
        }
    }

    fn event_id(&mut self) -> Vec<u8> {
        let numbers: [u64; 2] = [self.random.random(), self.random.random()];
        match self.up_to(4) {
            0 => self.bytes(100),
            1 => format!("{}-{}", numbers[0], numbers[1]).into_bytes(),
            2 => format!("{}-{}", numbers[0] % 3, numbers[1] % 3).into_bytes(),
            3 => self.corrupt(format!("{}-{}", numbers[0], numbers[1] % 1000).into_bytes()),
            _ => Vec::new(),
        }
    }

    /// Returns up to `max` bytes, in half of the cases only printable ones.
    fn bytes(&mut self, max: usize) -> Vec<u8> {
        let length = self.up_to(max);
        let any_letter = self.once_in(2);
        (0..length)
            .map(|_| if any_letter { self.random.random_range(b' '..=b'~') } else { self.random.random() })
            .collect()
    }

    /// Changes the bytes at a few places.
    fn corrupt(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..=self.up_to(4) {
            let start = self.up_to(bytes.len());
            let end = (start + self.up_to(20)).min(bytes.len());
            match self.up_to(5) {
                0 => drop(bytes.splice(start..end, *b"")),
                1 => bytes.extend_from_within(start..end),
                2 => bytes.insert(start, self.random.random()),
                3 if self.once_in(4) => bytes.truncate(start),
                4 if start < bytes.len() => bytes[start] = self.random.random(),
                _ => drop(bytes.splice(start..start, self.one_of(FRAGMENTS).iter().copied())),
            }
        }
        bytes
    }

    /// Sometimes replaces one of the members, or a part of it, by random JSON.
    fn with_random_members(&mut self, mut object: Value) -> Value {
        let names: Vec<_> = object.as_object().expect("an object").keys().cloned().collect();
        if let Some(name) = names.choose(&mut self.random)
            && self.once_in(2)
        {
            let member = object[name].take();
            let within = member.is_object() && !self.once_in(4);
            object[name] = if within { self.with_random_members(member) } else { self.json(3) };
        }
        object
    }

    fn json(&mut self, depth: usize) -> Value {
        match self.up_to(if depth == 0 { 5 } else { 7 }) {
            0 => Value::Null,
            1 => self.once_in(2).into(),
            2 => self.random.random::<i64>().into(),
            3 => self.random.random::<f64>().into(),
            4 => VICTIM.into(),
            5 => String::from_utf8_lossy(&self.bytes(30)).into(),
            6 => (0..self.up_to(4)).map(|_| self.json(depth - 1)).collect(),
            _ => {
                let names = ["id", "opaque_id", "user", "UserIDs", "Metadata", "eventtype", "Payload"];
                (0..self.up_to(4)).map(|_| (self.one_of(names).to_owned(), self.json(depth - 1))).collect()
            }
        }
    }

    fn one_of<T: Clone>(&mut self, choices: impl AsRef<[T]>) -> T {
        choices.as_ref().choose(&mut self.random).expect("some").clone()
    }
}

/// Returns the bytes as Rust literals, which can be read and sent again.
pub(super) fn escaped(sent: &[Vec<u8>]) -> String {
    sent.iter().fold(String::new(), |mut all, bytes| {
        writeln!(all, "b\"{}\"", bytes.escape_ascii()).expect("a text");
        all
    })
}
