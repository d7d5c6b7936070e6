//! The identifiers that clients and publishers choose: event ids, event types, request ids and user ids.

#![no_main]

use domain::{
    bookmark::RequestId,
    identity::UserId,
    notification::{EventId, EventType, Incarnation},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let ([incarnation, sequence, ..], _) = data.as_chunks() {
        print_and_read(u64::from_le_bytes(*incarnation), u64::from_le_bytes(*sequence));
    }
    let Ok(text) = str::from_utf8(data) else { return };
    let read = text.parse::<EventId>().ok();
    assert_eq!(read, plain_event_id(text), "{text:?}");
    assert!(read.is_none_or(|id| id.to_string() == text), "{text:?}");

    let event_type = EventType::try_new(text);
    assert_eq!(event_type.is_ok(), !text.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    assert!(
        event_type.is_ok_and(|event_type| event_type.as_str() == text) || text.contains(['\r', '\n', '\0'])
    );

    let request = RequestId::try_new(text);
    assert_eq!(request.is_ok(), (1..=200).contains(&text.len()));
    assert!(request.is_ok_and(|request| request.as_str() == text) || !(1..=200).contains(&text.len()));

    let user = UserId::try_new(text);
    assert_eq!(user.is_ok(), (1..=512).contains(&text.len()));
    assert!(user.is_ok_and(|user| user.as_str() == text) || !(1..=512).contains(&text.len()));
});

/// Checks that an id is parsed as it was printed.
fn print_and_read(incarnation: u64, sequence: u64) {
    let id = EventId { incarnation: Incarnation::of(incarnation), sequence };
    assert_eq!(id.to_string().parse(), Ok(id));
}

/// Parses an event id digit by digit.
fn plain_event_id(text: &str) -> Option<EventId> {
    let digits = |text: &str, radix: u32| {
        let is_canonical = text == "0" || !text.starts_with('0');
        let number = text.chars().try_fold(0_u64, |number, digit| {
            let value = digit.to_digit(radix).filter(|_| !digit.is_ascii_uppercase())?;
            number.checked_mul(radix.into())?.checked_add(value.into())
        });
        number.filter(|_| is_canonical && !text.is_empty())
    };
    let (incarnation, sequence) = text.split_once('-')?;
    let incarnation = digits(incarnation, 16).filter(|incarnation| *incarnation != 0)?;
    Some(EventId { incarnation: Incarnation::of(incarnation), sequence: digits(sequence, 10)? })
}
