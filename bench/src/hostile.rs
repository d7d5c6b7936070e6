//! Many connections of hostile clients, and their cost for a server.
//!
//! A [`Kind`] determines what the clients send and what they do next. None of them reads a response.

mod connection;
mod crowd;
mod frames;
mod kind;
mod ordinary;
mod report;

use std::{pin::pin, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::time::sleep;

use self::{
    connection::Opener,
    crowd::{Crowd, Monitor},
    kind::Target,
    ordinary::Probe,
};
pub(crate) use self::{kind::Kind, report::HostileReport};
use crate::{
    arguments::Arguments,
    ledger::now,
    process::Usage,
    publisher::{Error, Recipients, Workload, publish},
    run::user,
    streams::OpenError,
};

/// The interval of measurements.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Time for ordinary requests before the hostile connections, so that the server has allocated the memory for them.
const QUIET: Duration = Duration::from_secs(1);
/// Time from the last opening until events are published: a stream that is not open yet would miss them.
const SETTLE: Duration = Duration::from_millis(500);
/// Time from the end of all connections until the server's memory is measured again.
const RECOVERY: Duration = Duration::from_secs(2);
/// Additional content of each event, in bytes.
const PADDING_BYTES: usize = 4096;

/// Opens the connections, holds them until the server has closed all of them or `--seconds` have passed, and closes the
/// rest.
///
/// # Errors
///
/// No connection could be opened, NATS is unreachable, or the server's process cannot be observed.
pub(crate) async fn run(arguments: &Arguments, kind: Kind) -> Result<HostileReport, Error> {
    let Arguments { server, path, secret, pid, tls, seconds, .. } = arguments;
    let target = Target { server: server[0], path: path.clone(), secret: secret.clone() };
    let probe = Probe::start(target.clone(), *tls)?;
    sleep(QUIET).await;
    let quiet = probe.take();
    let (crowd, opener) = (Crowd::default(), Opener::new(target, kind, *tls));
    let mut monitor = Monitor::start(&crowd, pid)?;
    let mut arriving = pin!(open_all(arguments, kind, &opener, &crowd));
    let mut polls = tokio::time::interval(POLL_INTERVAL);
    let mut arrived = None;
    loop {
        tokio::select! {
            // All connections are open, or opening them has failed.
            failure = &mut arriving, if arrived.is_none() => match failure? {
                Some(failure) if crowd.opened() == 0 => return Err(failure.into()),
                _ => arrived = Some(now()),
            },
            // The next measurement is due.
            _ = polls.tick() => {
                let is_over = monitor.poll()?;
                let held = |since| Duration::from_nanos(now().saturating_sub(since));
                if arrived.is_some_and(|since| is_over || held(since) >= Duration::from_secs(*seconds)) {
                    break;
                }
            }
        }
    }
    let held = monitor.sample()?;
    let meanwhile = probe.stop();
    crowd.close().await;
    sleep(RECOVERY).await;
    let after = monitor.sample()?;
    Ok(HostileReport {
        kind: kind.name(),
        connections: arguments.connections,
        opened: crowd.opened(),
        held: monitor.held,
        closed: crowd.closed(),
        closed_after: crowd.closed_after(),
        released_after: monitor.released_after(),
        ordinary_requests: meanwhile.made,
        failed_requests: meanwhile.failed,
        slowest_request: meanwhile.slowest,
        slowest_request_before: quiet.slowest,
        server: (!pid.is_empty()).then(|| monitor.taken(held, after)),
    })
}

/// Opens all connections, and publishes events for their users if the kind gets events. Returns why a connection was
/// not opened.
async fn open_all(
    arguments: &Arguments,
    kind: Kind,
    opener: &Opener,
    crowd: &Crowd,
) -> Result<Option<OpenError>, Error> {
    let mut opening = stream::iter(0..arguments.connections)
        .map(|number| opener.open(number, crowd))
        .buffer_unordered(arguments.opening);
    let mut failure = None;
    while let Some(opened) = opening.next().await {
        failure = failure.or(opened.err());
    }
    if kind.takes_events() && arguments.events > 0 {
        sleep(SETTLE).await;
        let users = (0..arguments.connections).map(user).collect();
        let workload = Workload {
            recipients: Recipients::All(users),
            events: arguments.events,
            rate: arguments.rate,
            padding: PADDING_BYTES,
            languages: 1,
        };
        publish(&arguments.nats, workload).await?;
    }
    Ok(failure)
}

/// The server's resources at one moment.
#[derive(Clone, Copy, Default)]
struct Sample {
    usage: Usage,
    descriptors: usize,
}
