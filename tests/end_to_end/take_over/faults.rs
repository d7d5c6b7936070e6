//! A process is killed at each step of a take-over: the other one serves on, and no event is lost.

use super::{Generations, logged};
use crate::{browser::ResumeBy::LastEventId, chaos::Scene, ledger::Ledger};

/// Which process is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Predecessor,
    Successor,
}

/// Kills a process when it, or the other one, logs `step`, and starts one more, as a service manager does. Then checks that each event
/// arrives once.
async fn is_survived(victim: Victim, step: &str, logging: Victim) {
    let generations = Generations::new().await;
    let mut predecessor = generations.first(&[]).await;
    let scene = Scene::open(&generations.nats.address(), generations.service(), LastEventId).await;
    let mut processes = Vec::new();
    let fault = async {
        let mut successor = generations.start(&[]);
        logged(if logging == Victim::Predecessor { &mut predecessor } else { &mut successor }, step).await;
        let victim = if victim == Victim::Predecessor { &mut predecessor } else { &mut successor };
        victim.kill().await;
        processes.extend([successor, generations.start(&[])]);
    };
    scene.round(fault).await;
    scene.check_ledgers(Ledger::holds_each_once).await;
    assert_eq!(scene.gaps(), 0, "{victim:?} killed at {step:?}");
}

/// The steps, with the process that logs them.
const STEPS: [(&str, Victim); 5] = [
    ("taking over from the running process", Victim::Successor),
    ("another process takes over", Victim::Predecessor),
    ("listening", Victim::Successor),
    ("connections are accepted by this process from now on", Victim::Successor),
    ("streams were handed over", Victim::Predecessor),
];

#[tokio::test(flavor = "multi_thread")]
async fn killed_successor_is_survived() {
    for (step, logging) in STEPS {
        is_survived(Victim::Successor, step, logging).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_predecessor_is_survived() {
    for (step, logging) in STEPS {
        is_survived(Victim::Predecessor, step, logging).await;
    }
}
