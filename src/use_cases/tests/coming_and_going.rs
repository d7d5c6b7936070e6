//! Whatever clients do, and whenever: each event once and in order, and a gap is told where one is missing.

use proptest::prelude::*;

use super::*;

/// What happens to two clients of the user `a`, and in NATS.
#[derive(Clone, Copy, Debug)]
enum Step {
    Publish {
        is_large: bool,
    },
    PublishToOthers {
        is_large: bool,
    },
    Leave(usize),
    Return(usize),
    Read(usize),
    /// A client reads one turn.
    ReadTurn(usize),
    /// The relay runs for so many turns, or not at all.
    Run(u8),
    /// So many seconds go by.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let client = || 0..2_usize;
    prop_oneof![
        4 => any::<bool>().prop_map(|is_large| Step::Publish { is_large }),
        2 => any::<bool>().prop_map(|is_large| Step::PublishToOthers { is_large }),
        2 => client().prop_map(Step::Leave),
        3 => client().prop_map(Step::Return),
        2 => client().prop_map(Step::Read),
        3 => client().prop_map(Step::ReadTurn),
        3 => (0..6_u8).prop_map(Step::Run),
        1 => (1..100_u64).prop_map(Step::Wait),
    ]
}

/// A client's memory: what it has had, and the id that it was told last.
struct Memory {
    /// Each event or gap with the time when it was read. A gap is from its first to its last event.
    had: Vec<(std::ops::RangeInclusive<u64>, Instant)>,
    last: u64,
    gaps: usize,
    /// Whether it is told the ids of events that are not for it.
    knows_ids: bool,
}

impl Memory {
    fn read(&mut self, texts: Vec<String>) -> Result<(), TestCaseError> {
        for text in texts {
            let is_gap = text.contains(" after ");
            if let Some((_, position)) = text.split_once("at ") {
                let position = position.parse::<EventId>().expect("an id").sequence;
                prop_assert!(position >= self.last, "{text} after {}", self.last);
                if is_gap {
                    let named = text.split([' ', ',']).nth(2).expect("an id");
                    let named = named.parse::<EventId>().expect("an id").sequence;
                    // Without a history a stream may stand at an event of others, whose id its client was not told.
                    prop_assert!(named == self.last || !self.knows_ids && named > self.last, "{text}");
                    prop_assert!(position > named, "{text}");
                    self.had.push((named + 1..=position, now()));
                    self.gaps += 1;
                }
                self.last = position;
            } else {
                let sequence = text.parse().expect("an event");
                prop_assert!(sequence > self.last, "{sequence} after {}", self.last);
                self.had.push((sequence..=sequence, now()));
                self.last = sequence;
            }
        }
        Ok(())
    }

    fn has(&self, event: u64) -> bool {
        self.had.iter().any(|(had, _)| had.contains(&event))
    }
}

/// How clients come back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    LastEventId,
    /// What was written less than this before a client left has not arrived.
    RequestId {
        lost: Duration,
    },
}

/// Takes the steps, and then lets both clients return and read everything. Returns what they remember, and what was published for them.
async fn run(steps: Vec<Step>, log: LogLimits, by: By) -> Result<([Memory; 2], Vec<u64>), TestCaseError> {
    let frames = fakes::PlainFrames { tell_opening: true };
    let policy = StreamPolicy { log, resume_window: Duration::MAX, ..POLICY };
    let mut service = Service::start_with(policy, any_metrics(), frames).await;
    let upkeep = tokio::spawn(service.subscriptions.clone().look_after());
    let knows_ids = !log.max_age.is_zero();
    let mut memories = [(); 2].map(|()| Memory { had: Vec::new(), last: 0, gaps: 0, knows_ids });
    let mut clients = [None, None];
    let mut published = Vec::new();
    if by != By::LastEventId {
        // There is something to continue.
        for name in ["0", "1"] {
            drop(service.ask(tab("a", name)));
        }
    }
    for step in steps.into_iter().chain([Step::Wait(1), Step::Return(0), Step::Return(1)]) {
        match step {
            Step::Publish { is_large } => {
                let content = service.sequence + 1;
                let content = if is_large { large(content) } else { content.to_string() };
                service.publish(&["a"], &content);
                published.push(service.sequence);
            }
            Step::PublishToOthers { is_large: false } => service.publish(&["b"], "of b"),
            Step::PublishToOthers { is_large: true } => service.publish(&["b", "c"], &large("of b and c")),
            Step::Leave(n) => {
                let has_left = clients[n].take().is_some();
                if let By::RequestId { lost } = by
                    && has_left
                {
                    memories[n].had.retain(|(_, read)| now() - *read >= lost);
                }
            }
            Step::Return(n) => {
                let request = match by {
                    By::LastEventId => after("a", id(memories[n].last)),
                    By::RequestId { .. } => tab("a", &n.to_string()),
                };
                if clients[n].is_none() {
                    clients[n] = Some(service.ask(request).expect("a place"));
                    if by != By::LastEventId {
                        // What it is told now may be of earlier.
                        memories[n].last = 0;
                    }
                }
            }
            Step::Read(n) => {
                if let Some(client) = &mut clients[n] {
                    memories[n].read(client.read())?;
                }
            }
            Step::ReadTurn(n) => {
                if let Some(client) = &mut clients[n] {
                    memories[n].read(client.read_turn())?;
                }
            }
            Step::Run(turns) => {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
            }
            Step::Wait(seconds) => tokio::time::sleep(s(seconds)).await,
        }
    }
    tokio::time::sleep(s(1)).await;
    for (client, memory) in clients.iter_mut().flatten().zip(&mut memories) {
        memory.read(client.read())?;
        prop_assert!(client.ended().is_none());
    }
    upkeep.abort();
    Ok((memories, published))
}

fn paused<R>(test: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// However clients come and go, and whatever is published in the very moment of their joining: each has each event once and in
    /// order.
    #[test]
    fn there_is_no_hole_and_no_duplicate(steps in prop::collection::vec(step(), 1..60)) {
        let log = LogLimits { max_age: Duration::from_hours(24), max_bytes: usize::MAX };
        let (memories, published) = paused(run(steps, log, By::LastEventId))?;
        for memory in memories {
            let had: Vec<_> = memory.had.iter().map(|(had, _)| *had.start()).collect();
            prop_assert_eq!((had, memory.gaps), (published.clone(), 0));
        }
    }

    /// However little the log holds: what a client has not had lies in a gap that it was told of in its place.
    #[test]
    fn every_missing_event_lies_in_a_gap(
        steps in prop::collection::vec(step(), 1..60),
        max_age in prop_oneof![1 => Just(0), 4 => 1..200_u64],
        max_bytes in 0..1_500_000_usize,
    ) {
        let (memories, published) = paused(run(steps, LogLimits { max_age: s(max_age), max_bytes }, By::LastEventId))?;
        for memory in memories {
            for event in &published {
                prop_assert!(memory.has(*event), "{event} is missing in {:?}", memory.had);
            }
        }
    }

    /// A client that cannot say what it has had gets each event at least once, although what was written to it in the last minute before
    /// it left has not arrived.
    #[test]
    fn there_is_no_hole_for_a_client_that_repeats_its_request_id(steps in prop::collection::vec(step(), 1..60)) {
        let log = LogLimits { max_age: Duration::from_hours(24), max_bytes: usize::MAX };
        let by = By::RequestId { lost: POLICY.unacknowledged };
        let (memories, published) = paused(run(steps, log, by))?;
        for memory in memories {
            for event in &published {
                prop_assert!(memory.has(*event), "{event} is missing in {:?}", memory.had);
            }
        }
    }
}
