//! A model of the whole: browsers, two instances of the service and the NATS that they share. Whatever happens to them, a ledger says what each
//! stream owes to its client, and each thing that is written is held against it.

mod browser;
mod cluster;
mod frames;
mod instance;
mod kept;
mod ledger;
mod nats;
mod obligations;
mod preferences;
mod steps;
mod stream;
mod world;

use std::collections::{HashMap, HashSet};

use ports::outbound::Clock;
use proptest::{prelude::*, test_runner::RngSeed};

use self::{
    browser::{Browser, Last},
    cluster::Cluster,
    frames::{LabelledFrames, Written},
    instance::{Instance, Run, WallClock},
    ledger::{Ledger, Published},
    nats::OLDEST,
    steps::*,
    stream::{Judge, Start, Stream, fresh},
};
use super::*;

fn paused<R>(test: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(test)
}

/// The same sequences each time, unless `PROPTEST_RNG_SEED` or `PROPTEST_CASES` says otherwise.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let rng_seed = if default.rng_seed == RngSeed::Random { RngSeed::Fixed(1) } else { default.rng_seed };
    let cases = if default.cases == DEFAULT_CASES { 1000 } else { default.cases };
    ProptestConfig { rng_seed, cases, ..default }
}

/// What proptest has when nothing is said.
const DEFAULT_CASES: u32 = 256;

proptest! {
    #![proptest_config(config())]

    /// While the log holds everything, each client gets each event of its user in order: once when it names the last that it has had, and
    /// at least once when it can only repeat the id of its request.
    #[test]
    fn there_is_no_hole_and_no_duplicate(conditions in conditions(large_log(), any_return()), steps in steps()) {
        paused(world::run(conditions, steps))?;
    }

    /// However little the log holds: what a client does not get lies in a gap that it is told of in its place, and nobody is told of a gap
    /// who has missed nothing.
    #[test]
    fn every_missing_event_lies_in_a_gap(conditions in conditions(small_log(), any_return()), steps in steps()) {
        paused(world::run(conditions, steps))?;
    }

    /// A client that cannot say what it has had gets each event at least once, and again no more than what was written just before its
    /// stream ended.
    #[test]
    fn there_is_no_hole_for_a_client_that_repeats_its_request_id(
        conditions in conditions(large_log(), Just(Returns::RequestId)),
        steps in steps(),
    ) {
        paused(world::run(conditions, steps))?;
    }
}
