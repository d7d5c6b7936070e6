//! How many instructions the parts take that `benches/parts.rs` times: the same on a noisy machine as on a quiet one.
//! `scripts/instructions` counts them.

#![expect(missing_docs, unused_qualifications, reason = "so is what macros of gungraun make")]

mod material;

use std::{hint::black_box, time::Instant};

use adapters::outbound::{
    clock::SystemClock,
    jwt::RevaTokens,
    nats::envelope::{self, Event, Unreadable},
};
use domain::{identity::Principal, log::NewEvent};
use gungraun::{library_benchmark, library_benchmark_group, main};
use ports::outbound::{Clock as _, TokenRejected, TokenVerifier as _};

use material::{Log, USERS, append, events, full_log, id, of_another_service, send_sse, token};

/// Material that the part has been tried with: what is found out on first use, as which instructions the processor has, belongs
/// to no part. It is there as long as the program, so that no part has to give it back.
fn tried<T>(material: T, part: impl FnOnce(&T)) -> &'static T {
    part(&material);
    Box::leak(Box::new(material))
}

fn read_before(message: Vec<u8>) -> &'static [u8] {
    tried(message, |message| drop(envelope::read(message, id(1))))
}

#[library_benchmark]
#[bench::to_one_user(read_before(send_sse(1)))]
#[bench::to_5000_users(read_before(send_sse(USERS)))]
#[bench::of_another_service(read_before(of_another_service()))]
fn read_an_envelope(message: &[u8]) -> Result<Option<Event>, Unreadable> {
    black_box(envelope::read(black_box(message), id(1)))
}

/// A log that is full, the event that comes next, and when.
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

fn verified_before() -> &'static (RevaTokens, String) {
    tried(token(), |(tokens, token)| drop(tokens.verify(token)))
}

#[library_benchmark]
#[bench::of_the_platform(verified_before())]
fn verify_a_token((tokens, token): &(RevaTokens, String)) -> Result<Principal, TokenRejected> {
    black_box(tokens.verify(black_box(token)))
}

library_benchmark_group!(name = parts, benchmarks = [read_an_envelope, append_an_event, verify_a_token]);
main!(library_benchmark_groups = parts);
