//! Puts events on the bus, as the platform's services do.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use async_nats::jetstream::{self, context::PublishAckFuture};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use tokio::time::MissedTickBehavior;

use crate::ledger::{Event, now};

/// The subject that all services of the platform share.
const SUBJECT: &str = "main-queue";
/// So many are on their way to the bus at a time; more would make it cut the publisher.
const UNACKNOWLEDGED: usize = 256;
/// The languages that an event may come in.
const LANGUAGES: [&str; 5] = ["en", "de", "fr", "it", "es"];

/// Something went wrong on the way to the bus.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// Whom which event is for.
pub(crate) enum Recipients {
    /// Each for all users.
    All(Vec<String>),
    /// The first for the first user, the second for the second, and so on, again and again.
    InTurn(Vec<String>),
}

impl Recipients {
    fn of(&self, number: u64) -> &[String] {
        match self {
            Self::All(users) => users,
            Self::InTurn(users) => {
                let position = usize::try_from(number).unwrap_or_default() % users.len();
                std::slice::from_ref(&users[position])
            }
        }
    }
}

/// What is published, and how fast.
pub(crate) struct Programme {
    pub(crate) recipients: Recipients,
    pub(crate) events: u64,
    /// A second; none for as fast as the bus takes them.
    pub(crate) rate: Option<u32>,
    /// What is added to the content of each, in bytes.
    pub(crate) padding: usize,
    /// In how many languages each comes.
    pub(crate) languages: usize,
}

/// When the next event is due.
pub(crate) fn pace(rate: Option<u32>) -> Option<tokio::time::Interval> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1).checked_div(rate?)?);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    Some(ticks)
}

/// Publishes all of it, and comes back when the bus has it.
pub(crate) async fn publish(server: &str, programme: Programme) -> Result<(), Error> {
    let client =
        async_nats::connect(server).await.map_err(|error| format!("the bus at {server}: {error}"))?;
    let jetstream = jetstream::new(client);
    let mut pace = pace(programme.rate);
    let padding = "x".repeat(programme.padding);
    let mut acknowledgements: VecDeque<PublishAckFuture> = VecDeque::new();
    for number in 0..programme.events {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let event = Event { number, published: now(), padding: padding.clone() };
        let message = envelope(programme.recipients.of(number), &event, programme.languages)?;
        acknowledgements.push_back(jetstream.publish(SUBJECT, message.into()).await?);
        if acknowledgements.len() >= UNACKNOWLEDGED
            && let Some(first) = acknowledgements.pop_front()
        {
            first.await?;
        }
    }
    for last in acknowledgements {
        last.await?;
    }
    Ok(())
}

fn envelope(users: &[String], event: &Event, languages: usize) -> serde_json::Result<String> {
    let content = STANDARD.encode(serde_json::to_vec(event)?);
    let mut payload = json!({ "UserIDs": users, "Type": "bench", "Message": content });
    if languages > 1 {
        let translated = LANGUAGES.iter().take(languages).skip(1).map(|language| (*language, &content));
        payload["Messages"] = json!(translated.collect::<BTreeMap<_, _>>());
        payload["Language"] = json!(LANGUAGES[0]);
    }
    let envelope = json!({
        "ID": "1", "Topic": SUBJECT, "Payload": STANDARD.encode(payload.to_string()),
        "Metadata": { "eventid": "1", "eventtype": "events.SendSSE", "initiatorid": "", "traceparent": "" },
        "Timestamp": "2026-11-23T16:10:33.440899299Z",
    });
    Ok(envelope.to_string())
}

/// What the client of the stream with this number asks for.
pub(crate) fn language(stream: usize) -> &'static str {
    LANGUAGES[stream % LANGUAGES.len()]
}
