//! The parts before an event's delivery and before a stream's admission, each by itself. `benches/instructions.rs`
//! counts the instructions of the same parts.

mod fixtures;

use std::hint::black_box;

use adapters::outbound::{clock::SystemClock, nats::envelope};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ports::outbound::{Clock as _, TokenVerifier as _};

use fixtures::{USERS, append, events, full_log, id, of_another_service, send_sse, token};

fn read_an_envelope(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read an envelope");
    for (name, message) in [
        ("to one user", send_sse(1)),
        ("to 5,000 users", send_sse(USERS)),
        ("of another service", of_another_service()),
    ] {
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter_with_large_drop(|| envelope::read(black_box(&message), id(1)));
        });
    }
}

fn append_an_event(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append an event");
    for (name, recipients) in [("to one user", 1), ("to 5,000 users", USERS)] {
        group.bench_function(name, |bencher| {
            let now = SystemClock.now();
            let mut events = events(recipients, now);
            let mut log = full_log(&mut events, now);
            bencher.iter_batched(
                || events.next().expect("one more event"),
                |event| append(&mut log, event, now),
                BatchSize::SmallInput,
            );
        });
    }
}

fn verify_a_token(criterion: &mut Criterion) {
    let (tokens, token) = token();
    criterion.bench_function("verify a token", |bencher| {
        bencher.iter(|| tokens.verify(black_box(&token)).expect("valid"));
    });
}

criterion_group!(benches, read_an_envelope, append_an_event, verify_a_token);
criterion_main!(benches);
