//! A parser of event streams for tests, written after WHATWG HTML, 9.2.6 "Interpreting an event stream".

/// An event that a client dispatches.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DispatchedEvent {
    pub(super) event_type: String,
    pub(super) data: String,
    pub(super) last_event_id: String,
}

/// Parses a whole stream. An event without its final blank line is discarded.
pub(super) fn parse(stream: &[u8]) -> Vec<DispatchedEvent> {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let (mut data, mut event_type, mut last_event_id) = (String::new(), String::new(), String::new());
    let mut events = Vec::new();
    for line in lines(text) {
        if line.is_empty() {
            let data = std::mem::take(&mut data);
            let event_type = std::mem::take(&mut event_type);
            if let Some(data) = data.strip_suffix('\n') {
                events.push(DispatchedEvent {
                    event_type: if event_type.is_empty() { "message".into() } else { event_type },
                    data: data.into(),
                    last_event_id: last_event_id.clone(),
                });
            }
            continue;
        }
        if line.starts_with(':') {
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => event_type = value.into(),
            "data" => {
                data.push_str(value);
                data.push('\n');
            }
            "id" if !value.contains('\0') => last_event_id = value.into(),
            _ => {}
        }
    }
    events
}

/// Returns the lines that end with CRLF, LF or CR.
fn lines(mut text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    while let Some(end) = text.find(['\r', '\n']) {
        lines.push(&text[..end]);
        text = &text[end..];
        text = text.strip_prefix("\r\n").unwrap_or_else(|| &text[1..]);
    }
    lines
}
