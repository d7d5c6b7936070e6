//! The line to the NATS servers, which is never given up.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use rand::RngExt as _;
use tokio::sync::watch;
use tracing::debug;

/// How the line is at present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LineState {
    /// Counts the times it was made; what was agreed upon over an earlier one no longer holds.
    pub(super) generation: u64,
    /// Whether it is there.
    pub(super) connected: bool,
    /// Why it is not, as far as is known.
    pub(super) trouble: Option<String>,
}

/// A line that is being made, again and again if need be.
#[derive(Clone)]
pub struct Connection {
    pub(super) client: Client,
    pub(super) state: watch::Receiver<LineState>,
}

/// The first pause after a failed attempt.
const FIRST_DELAY: Duration = Duration::from_millis(50);
/// The longest pause between two attempts.
const LONGEST_DELAY: Duration = Duration::from_secs(4);

/// Begins to connect to one of `servers`, and answers without waiting for it.
///
/// # Errors
///
/// The client cannot be set up at all. A server that is away is no error.
pub async fn connect(servers: Vec<ServerAddr>) -> Result<Connection, async_nats::ConnectError> {
    let (sender, state) = watch::channel(LineState::default());
    let options = ConnectOptions::new()
        .name("ocis-sse")
        .retry_on_initial_connect()
        .max_reconnects(None)
        .reconnect_delay_callback(delay)
        .event_callback(move |event| {
            note(&sender, &event);
            std::future::ready(())
        });
    let client = options.connect(servers).await?;
    Ok(Connection { client, state })
}

/// Doubles with each attempt up to the longest, and varies by half, so that a crowd of clients does not return at once.
fn delay(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(10);
    let full = (FIRST_DELAY * 2_u32.pow(doublings)).min(LONGEST_DELAY);
    full.mul_f64(rand::rng().random_range(0.5..=1.0))
}

fn note(state: &watch::Sender<LineState>, event: &Event) {
    debug!(%event, "NATS");
    state.send_if_modified(|state| match event {
        Event::Connected => {
            *state = LineState { generation: state.generation + 1, connected: true, trouble: None };
            true
        }
        Event::Disconnected | Event::Closed => {
            state.connected = false;
            state.trouble = Some("the connection to NATS was lost".into());
            true
        }
        Event::ServerError(error) => !state.connected && trouble(state, error.to_string()),
        Event::ClientError(error) => !state.connected && trouble(state, error.to_string()),
        Event::LameDuckMode | Event::Draining | Event::SlowConsumer(_) => false,
    });
}

fn trouble(state: &mut LineState, text: String) -> bool {
    let new = Some(text);
    let changed = state.trouble != new;
    state.trouble = new;
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_between_attempts_grows_is_capped_and_varies() {
        let check = |attempts: usize, full: Duration| {
            let delays: Vec<_> = (0..200).map(|_| delay(attempts)).collect();
            assert!(delays.iter().all(|delay| (full / 2..=full).contains(delay)), "{attempts}: {delays:?}");
            assert!(delays.iter().any(|delay| *delay != delays[0]), "{attempts}");
        };
        check(0, FIRST_DELAY);
        check(1, FIRST_DELAY);
        check(3, FIRST_DELAY * 4);
        check(8, LONGEST_DELAY);
        check(usize::MAX, LONGEST_DELAY);
    }
}
