//! A model of the whole system: browsers, two instances of the service and the NATS that they share. Random steps happen to them. A ledger of
//! all published events determines what each stream has to deliver, and everything that is written is checked against it.

mod browser;
mod cluster;
mod frames;
mod instance;
mod ledger;
mod nats;
mod obligations;
mod preferences;
mod steps;
mod stream;
mod unmet;
mod world;

use std::collections::{HashMap, HashSet};

use ports::outbound::Clock;
use proptest::{prelude::*, test_runner::RngSeed};

use self::{
    browser::{Browser, LastStream},
    cluster::Cluster,
    frames::{LabelledFrames, Written},
    instance::{Instance, Run, WallClock},
    ledger::{Ledger, PublishedEvent},
    nats::OLDEST,
    steps::*,
    stream::{ExpectedStart, Facts, Stream, start_of_new_client},
};
use super::*;

fn paused<R>(test: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(test)
}

/// Runs the same sequences each time, unless `PROPTEST_RNG_SEED` or `PROPTEST_CASES` is set.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let rng_seed = if default.rng_seed == RngSeed::Random { RngSeed::Fixed(1) } else { default.rng_seed };
    let cases = if default.cases == DEFAULT_CASES { 1000 } else { default.cases };
    ProptestConfig { rng_seed, cases, ..default }
}

/// The default of proptest.
const DEFAULT_CASES: u32 = 256;

proptest! {
    #![proptest_config(config())]

    /// With a log that keeps everything, each client gets each event of its user in order: exactly once if it sends a last event id, at least
    /// once if it only repeats its request id.
    #[test]
    fn no_event_is_missing_or_duplicated(conditions in conditions(large_log(), any_return()), steps in steps()) {
        paused(world::run(conditions, steps))?;
    }

    /// With a small log, each event that a client does not get is covered by a gap at its place, and no client gets a gap without having
    /// missed an event.
    #[test]
    fn every_missing_event_is_in_a_gap(conditions in conditions(small_log(), any_return()), steps in steps()) {
        paused(world::run(conditions, steps))?;
    }

    /// A client that only repeats its request id gets each event at least once, and gets again only the events that were written within the
    /// unacknowledged window.
    #[test]
    fn request_id_client_misses_no_event(
        conditions in conditions(large_log(), Just(Returns::RequestId)),
        steps in steps(),
    ) {
        paused(world::run(conditions, steps))?;
    }
}
