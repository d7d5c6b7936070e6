//! Faults while events are published: afterwards each client has each event once and in order, or a gap.
//!
//! The tests are small by default. With `SOAK` in the environment (`./test soak`) there are hundreds of streams,
//! thousands of events, and each fault is repeated several times.

mod nats;
mod service;
mod two_instances;

use std::{cell::Cell, time::Duration};

use async_nats::{
    ConnectOptions, ServerAddr,
    jetstream::{self, message::PublishMessage},
};

use crate::{
    browser::{Browser, Credential, ResumeBy, platform_token},
    eventually, eventually_ok,
    ledger::Ledger,
    nats::send_sse,
    transport::Server,
};

/// The size of a test.
pub(crate) struct Size {
    users: u32,
    pub(crate) streams: u32,
    /// Events of one round; a multiple of [`ALL_USERS_INTERVAL`].
    events: u32,
    pub(crate) rounds: u32,
}

fn size() -> Size {
    if std::env::var_os("SOAK").is_some() {
        Size { users: 37, streams: 400, events: 3000, rounds: 4 }
    } else {
        Size { users: 7, streams: 50, events: 500, rounds: 1 }
    }
}

/// The interval of events for every user. The last event of a round is one of them.
const ALL_USERS_INTERVAL: u32 = 10;

/// Streams of several users, and a publisher of numbered events.
pub(crate) struct Scene {
    pub(crate) size: Size,
    browsers: Vec<Browser>,
    jetstream: jetstream::Context,
    /// The number of the next event.
    next: Cell<u32>,
    /// Additional content of each event.
    padding: String,
}

impl Scene {
    /// Opens all streams at `service` with the platform's tokens, and connects the publisher to the NATS `servers`.
    pub(crate) async fn open(servers: &str, service: impl Into<Server>, resume_by: ResumeBy) -> Self {
        Self::open_with(servers, service, resume_by, platform_token).await
    }

    /// Opens all streams, each with the `credential` of its user.
    pub(crate) async fn open_with(
        servers: &str,
        service: impl Into<Server>,
        resume_by: ResumeBy,
        credential: impl Fn(&str) -> Credential,
    ) -> Self {
        let (size, service) = (size(), service.into());
        let jetstream = persistent(servers).await;
        let streams = 0..size.streams;
        let browser = |n| Browser::open_with(service, credential(&user(n % size.users)), resume_by);
        let browsers = streams.map(browser).collect();
        let scene = Self { size, browsers, jetstream, next: Cell::new(0), padding: String::new() };
        scene.all_are_open().await;
        scene
    }

    async fn all_are_open(&self) {
        eventually("all streams are open", async || self.browsers.iter().all(Browser::is_open)).await;
    }

    /// Publishes a round of events: a third before `fault`, a third during it and a third after it.
    pub(crate) async fn round(&self, fault: impl Future<Output = ()>) {
        let third = self.size.events / 3;
        self.publish(third).await;
        tokio::join!(fault, self.publish(third));
        self.publish(self.size.events - 2 * third).await;
    }

    /// Waits until further events are published, so that a fault happens between events.
    async fn wait_for_more_events(&self) {
        let some = self.next.get() + 2 * ALL_USERS_INTERVAL;
        eventually("further events", async || self.next.get() >= some).await;
    }

    /// Publishes events one after another. Each is repeated until NATS has stored it; NATS removes duplicates by the
    /// message id.
    async fn publish(&self, count: u32) {
        for number in (self.next.get()..).take(count as usize) {
            let users: Vec<_> =
                (0..self.size.users).filter(|user| self.is_for(number, *user)).map(user).collect();
            let users: Vec<_> = users.iter().map(String::as_str).collect();
            let message = send_sse(&users, "t", &format!("{number} {}", self.padding));
            eventually("stored", async || {
                let message =
                    PublishMessage::build().message_id(number.to_string()).payload(message.clone().into());
                match self.jetstream.send_publish("main-queue", message).await {
                    Ok(stored) => stored.await.is_ok(),
                    Err(_) => false,
                }
            })
            .await;
            self.next.set(number + 1);
        }
    }

    fn is_for(&self, number: u32, user: u32) -> bool {
        number % ALL_USERS_INTERVAL == ALL_USERS_INTERVAL - 1 || number % self.size.users == user
    }

    /// Waits until `check` accepts the ledger of every stream, given the events for its user.
    pub(crate) async fn check_ledgers(&self, check: impl Fn(&Ledger, &[u32]) -> Result<(), String>) {
        for (stream, browser) in (0..).zip(&self.browsers) {
            let owner = stream % self.size.users;
            let meant: Vec<_> = (0..self.next.get()).filter(|number| self.is_for(*number, owner)).collect();
            eventually_ok(async || {
                check(&browser.ledger(), &meant).map_err(|wrong| format!("stream {stream}: {wrong}"))
            })
            .await;
        }
    }

    /// Returns the number of gaps of each stream, which must be the same for all.
    pub(crate) fn gaps(&self) -> usize {
        let gaps: Vec<_> = self.browsers.iter().map(|browser| browser.ledger().gaps()).collect();
        assert!(gaps.iter().all(|one| *one == gaps[0]), "{gaps:?}");
        gaps[0]
    }

    /// Returns how many streams have ended.
    pub(crate) fn ended(&self) -> usize {
        self.browsers.iter().map(Browser::ended).sum()
    }
}

fn user(number: u32) -> String {
    format!("user-{number}")
}

/// Opens a connection that always reconnects, with short timeouts.
async fn persistent(servers: &str) -> jetstream::Context {
    let servers: Vec<ServerAddr> =
        servers.split(',').map(|server| server.parse().expect("an address")).collect();
    let options = ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(20));
    let client = options.connect(servers).await.expect("nats-server answers");
    jetstream::ContextBuilder::new().timeout(Duration::from_secs(1)).build(client)
}
