//! The number of instructions of the parts that `benches/parts.rs` times. The number does not depend on the load of the
//! machine. `scripts/instructions` runs this benchmark.

#![expect(missing_docs, unused_qualifications, reason = "required by the code of gungraun's macros")]

mod fixtures;

use std::{hint::black_box, time::Instant};

use adapters::outbound::{
    clock::SystemClock,
    jwt::RevaTokens,
    nats::envelope::{self, Event, Unreadable},
};
use domain::{identity::Principal, log::NewEvent};
use gungraun::{library_benchmark, library_benchmark_group, main};
use ports::outbound::{Clock as _, TokenRejected, TokenVerifier as _};

use fixtures::{Log, USERS, append, events, full_log, id, of_another_service, send_sse, token};

/// Returns a fixture with which `part` has run once, so that work on first use (such as the detection of processor
/// features) is not counted. The fixture is leaked, so that the part does not free it.
fn warmed_up<T>(fixture: T, part: impl FnOnce(&T)) -> &'static T {
    part(&fixture);
    Box::leak(Box::new(fixture))
}

fn warmed_up_message(message: Vec<u8>) -> &'static [u8] {
    warmed_up(message, |message| drop(envelope::read(message, id(1))))
}

#[library_benchmark]
#[bench::to_one_user(warmed_up_message(send_sse(1)))]
#[bench::to_5000_users(warmed_up_message(send_sse(USERS)))]
#[bench::of_another_service(warmed_up_message(of_another_service()))]
fn read_an_envelope(message: &[u8]) -> Result<Option<Event>, Unreadable> {
    black_box(envelope::read(black_box(message), id(1)))
}

/// Returns a full log, the next event and the time.
fn full(recipients: usize) -> (Log, NewEvent<()>, Instant) {
    let now = SystemClock.now();
    let mut events = events(recipients, now);
    (full_log(&mut events, now), events.next().expect("one more event"), now)
}

#[library_benchmark]
#[bench::to_one_user(full(1))]
#[bench::to_5000_users(full(USERS))]
fn append_an_event((mut log, event, now): (Log, NewEvent<()>, Instant)) -> Log {
    append(&mut log, event, now);
    log
}

fn warmed_up_verifier() -> &'static (RevaTokens, String) {
    warmed_up(token(), |(tokens, token)| drop(tokens.verify(token)))
}

#[library_benchmark]
#[bench::of_the_platform(warmed_up_verifier())]
fn verify_a_token((tokens, token): &(RevaTokens, String)) -> Result<Principal, TokenRejected> {
    black_box(tokens.verify(black_box(token)))
}

library_benchmark_group!(name = parts, benchmarks = [read_an_envelope, append_an_event, verify_a_token]);
main!(library_benchmark_groups = parts);
