//! Publishes events like the platform's services.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use async_nats::jetstream::{self, context::PublishAckFuture};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use crate::ledger::{Event, now};

/// The subject of all services of the platform.
pub(crate) const SUBJECT: &str = "main-queue";
/// The limit of unacknowledged messages; NATS disconnects a publisher with more.
const UNACKNOWLEDGED: usize = 256;
/// The languages of events.
const LANGUAGES: [&str; 5] = ["en", "de", "fr", "it", "es"];

/// An error of publishing.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// The recipients of each event.
pub(crate) enum Recipients {
    /// No user: each event is of another service.
    Nobody,
    /// All users get each event.
    All(Vec<String>),
    /// Each event is for one user, in turn.
    InTurn(Vec<String>),
}

impl Recipients {
    fn of(&self, number: u64) -> &[String] {
        match self {
            Self::Nobody => &[],
            Self::All(users) => users,
            Self::InTurn(users) => {
                let position = usize::try_from(number).unwrap_or_default() % users.len();
                std::slice::from_ref(&users[position])
            }
        }
    }
}

/// The events to publish, and their rate.
pub(crate) struct Workload {
    pub(crate) recipients: Recipients,
    pub(crate) events: u64,
    /// Events per second; `None` for as fast as NATS accepts them.
    pub(crate) rate: Option<u32>,
    /// Additional content of each event, in bytes.
    pub(crate) padding: usize,
    /// The number of languages of each event.
    pub(crate) languages: usize,
}

/// Returns a timer for events at this rate.
pub(crate) fn pace(rate: Option<u32>) -> Option<tokio::time::Interval> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1).checked_div(rate?)?);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    Some(ticks)
}

/// Publishes all events, and waits until NATS has stored them.
pub(crate) async fn publish(server: &str, workload: Workload) -> Result<(), Error> {
    publish_each(server, workload, |_| Ok(())).await
}

/// Publishes all events like [`publish`], and calls `before` with each event before NATS can deliver it.
pub(crate) async fn publish_each(
    server: &str,
    workload: Workload,
    mut before: impl FnMut(&Event) -> Result<(), Error>,
) -> Result<(), Error> {
    let client = async_nats::connect(server).await.map_err(|error| format!("NATS at {server}: {error}"))?;
    let jetstream = jetstream::new(client);
    let mut pace = pace(workload.rate);
    let padding = "x".repeat(workload.padding);
    let mut acknowledgements: VecDeque<PublishAckFuture> = VecDeque::new();
    for number in 0..workload.events {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let event = Event { number, published: now(), padding: padding.clone() };
        before(&event)?;
        let message = match &workload.recipients {
            Recipients::Nobody => of_another_service(&event)?,
            recipients => for_users(recipients.of(number), &event, workload.languages)?,
        };
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

fn for_users(users: &[String], event: &Event, languages: usize) -> serde_json::Result<String> {
    let content = STANDARD.encode(serde_json::to_vec(event)?);
    let mut payload = json!({ "UserIDs": users, "Type": "bench", "Message": content });
    if languages > 1 {
        let translated = LANGUAGES.iter().take(languages).skip(1).map(|language| (*language, &content));
        payload["Messages"] = json!(translated.collect::<BTreeMap<_, _>>());
        payload["Language"] = json!(LANGUAGES[0]);
    }
    envelope("events.SendSSE", &payload)
}

fn of_another_service(event: &Event) -> serde_json::Result<String> {
    envelope("events.UploadReady", &json!({ "Filename": event.padding }))
}

/// Returns an envelope like those of the platform's services: the payload is behind the metadata, which decides whether
/// it is parsed.
fn envelope(event_type: &str, payload: &Value) -> serde_json::Result<String> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Envelope<'a> {
        timestamp: &'a str,
        metadata: Value,
        #[serde(rename = "ID")]
        id: &'a str,
        topic: &'a str,
        payload: String,
    }

    serde_json::to_string(&Envelope {
        timestamp: "2026-11-23T16:10:33.440899299Z",
        metadata: json!({ "eventid": "1", "eventtype": event_type, "initiatorid": "", "traceparent": "" }),
        id: "1",
        topic: SUBJECT,
        payload: STANDARD.encode(payload.to_string()),
    })
}

/// Returns the language of the stream with this number.
pub(crate) fn language(stream: usize) -> &'static str {
    LANGUAGES[stream % LANGUAGES.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the names of an object's fields in their order.
    fn fields(message: &str) -> Vec<String> {
        let mut order = Vec::new();
        let object: Value = serde_json::from_str(message).expect("JSON");
        for field in object.as_object().expect("an object").keys() {
            order.push((message.find(&format!("\"{field}\":")).expect("there"), field.clone()));
        }
        order.sort();
        order.into_iter().map(|(_, field)| field).collect()
    }

    #[test]
    fn envelopes_are_like_the_platforms() {
        let event = Event { number: 7, published: 1, padding: "x".repeat(4096) };
        let session = include_str!("../../tests/wire/session.jsonl").lines().map(|line| {
            let captured: Value = serde_json::from_str(line).expect("JSON");
            (captured["type"].to_string(), captured["data"].as_str().expect("a text").to_owned())
        });
        let session: BTreeMap<_, _> = session.collect();
        let users = ["einstein".to_owned()];
        for message in [of_another_service(&event), for_users(&users, &event, 1)] {
            let message = message.expect("JSON");
            let read: Value = serde_json::from_str(&message).expect("JSON");
            let captured = &session[&read["Metadata"]["eventtype"].to_string()];
            assert_eq!(fields(&message), fields(captured));
            let metadata = |message: &str| -> Vec<String> {
                let read: Value = serde_json::from_str(message).expect("JSON");
                read["Metadata"].as_object().expect("an object").keys().cloned().collect()
            };
            assert_eq!(metadata(&message), metadata(captured));
        }
    }
}
