//! Slow clients beside users that read at once.
//!
//! More events are published for a slow client than it reads. A good server limits its backlog, and never delays the
//! events of others.

mod client;
mod receipt;
mod report;
mod throttle;

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use parking_lot::Mutex;

pub(crate) use self::report::SlowReport;
use self::{client::SlowClient, receipt::Receipt, report::SlowClients};
use crate::{
    arguments::Arguments,
    process::usage,
    publisher::{Error, Recipients, Workload, language, publish},
    run::{DUPLICATE_WAIT, Run, token},
    streams::{Client, OpenError, Transport},
};

/// Content that is added to each event for a slow client, in bytes. The frame adds a few more bytes.
const EVENT_BYTES: u32 = 4096;
/// The time for the last events of the other users. Later ones count as missing.
const GRACE: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Publishes events for users and for slow clients concurrently, and reports the results of both.
///
/// # Errors
///
/// A stream could not be opened, NATS is unreachable, or the server's process cannot be observed.
pub(crate) async fn run(arguments: &Arguments) -> Result<SlowReport, Error> {
    let Arguments { nats, server, pid, streams, opening, tls, http2, drain_seconds, .. } = arguments;
    if *tls || *http2 {
        return Err("slow clients use plain HTTP/1.1; leave out --tls and --http2".into());
    }
    let users = Run::new(arguments);
    users.open(server, &Transport::http1(*opening)).await?;
    let receipts = open(arguments).await?;
    let (for_users, for_slow) = (users_workload(arguments, &users), slow_workload(arguments)?);
    let (expected, published) = (for_users.events * *streams as u64, for_slow.events);
    tokio::try_join!(publish(nats, for_users), publish(nats, for_slow))?;
    let memory = usage(pid)?.memory as f64 / 1024.0 / 1024.0;
    let are_done = || {
        let received: u64 = receipts.iter().map(|receipt| receipt.lock().counts.received).sum();
        received == published || receipts.iter().all(|receipt| receipt.lock().end.is_some())
    };
    tokio::join!(
        wait(GRACE, || users.arrived() >= expected),
        wait(Duration::from_secs(*drain_seconds), are_done),
    );
    tokio::time::sleep(DUPLICATE_WAIT).await;
    let mut report = users.report(expected);
    report.memory = (!pid.is_empty()).then_some(memory);
    let gaps = users.ledger.lock().gaps;
    let missing = expected.saturating_sub(report.arrived);
    Ok(SlowReport { users: report, missing, gaps, slow: SlowClients::new(arguments, published, &receipts) })
}

/// Returns the events for the users that read at once.
fn users_workload(arguments: &Arguments, users: &Run<'_>) -> Workload {
    let rate = arguments.rate.filter(|_| arguments.users > 0).unwrap_or_default();
    Workload { events: u64::from(rate) * arguments.seconds, ..users.workload() }
}

/// Returns the events for the slow clients, in turn.
fn slow_workload(arguments: &Arguments) -> Result<Workload, Error> {
    let Arguments { slow, slow_bytes_per_second, seconds, .. } = arguments;
    let rate = u32::try_from(*slow as u64 * slow_bytes_per_second / u64::from(EVENT_BYTES))
        .map_err(|_| "--slow and --slow-bytes-per-second ask for too many events a second")?;
    Ok(Workload {
        recipients: Recipients::InTurn((0..*slow).map(user).collect()),
        events: u64::from(rate) * seconds,
        rate: Some(rate),
        padding: EVENT_BYTES as usize,
        languages: 1,
    })
}

/// Opens the streams of all slow clients, which start to read. Returns their receipts.
async fn open(arguments: &Arguments) -> Result<Vec<Arc<Mutex<Receipt>>>, OpenError> {
    let Arguments { server, path, secret, slow, slow_read, opening, .. } = arguments;
    stream::iter(0..*slow)
        .map(|number| async move {
            let client = Client {
                server: server[number % server.len()],
                path: path.clone(),
                credential: ("x-access-token", token(&user(number), secret)),
                language: language(number),
            };
            let receipt = Arc::new(Mutex::new(Receipt::new(number as u64, *slow as u64)));
            let client = SlowClient::open(&client, Arc::clone(&receipt)).await?;
            tokio::spawn(client.read(*slow_read));
            Ok(receipt)
        })
        .buffer_unordered(*opening)
        .try_collect()
        .await
}

fn user(number: usize) -> String {
    format!("bench-slow-{number}")
}

/// Waits until `is_over`, or until the limit has passed.
async fn wait(limit: Duration, is_over: impl Fn() -> bool) {
    let over = async {
        while !is_over() {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    // The report shows what is missing.
    tokio::time::timeout(limit, over).await.ok();
}
