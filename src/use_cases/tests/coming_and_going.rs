//! Whatever clients do and whenever: each event once, and in order.

use proptest::prelude::*;

use super::{returning::after, *};

/// What happens to one user's clients and on the bus.
#[derive(Clone, Copy, Debug)]
enum Step {
    Publish,
    PublishToOthers,
    Leave,
    Return,
    Read,
    /// Lets the relay run for so many turns, or not at all.
    Run(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Publish),
        2 => Just(Step::PublishToOthers),
        2 => Just(Step::Leave),
        3 => Just(Step::Return),
        3 => Just(Step::Read),
        3 => (0..6_u8).prop_map(Step::Run),
    ]
}

/// The client's memory: every event it has had, and the id it was told last.
#[derive(Default)]
struct Memory {
    events: Vec<u64>,
    last_event_id: Option<String>,
}

impl Memory {
    fn read(&mut self, frames: Vec<String>) {
        for frame in frames {
            if let Some(position) = frame.strip_prefix("at ") {
                self.last_event_id = Some(position.to_owned());
            } else {
                let sequence = frame.parse().expect("an event, and no gap");
                self.events.push(sequence);
                self.last_event_id = Some(id(sequence).to_string());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// However a client comes and goes, and whatever is published in the very moment of its joining: it has each event once
    /// and in order.
    #[test]
    fn there_is_no_hole_and_no_duplicate(
        steps in prop::collection::vec(step(), 1..60),
        places in 1..6_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let mut house = House::with(POLICY).await;
            let mut memory = Memory { last_event_id: Some(id(0).to_string()), ..Memory::default() };
            let mut published = Vec::new();
            let mut stream: Option<(Arc<FakeOutbox>, Subscription)> = None;
            for step in steps.into_iter().chain([Step::Return]) {
                match step {
                    Step::Publish => {
                        let content = (house.sequence + 1).to_string();
                        house.publish(&["a"], &content);
                        published.push(house.sequence);
                    }
                    Step::PublishToOthers => house.publish(&["b"], "of b"),
                    // What was in its queue it has not had.
                    Step::Leave => {
                        if let Some((outbox, _)) = stream.take() {
                            outbox.end(EndReason::Client, None);
                        }
                    }
                    Step::Return => {
                        if stream.as_ref().is_none_or(|(outbox, _)| outbox.ended().is_some()) {
                            let outbox = FakeOutbox::new(places);
                            let last = memory.last_event_id.clone().expect("told");
                            let open = house.ask(after("a", last), &outbox).expect("a place");
                            stream = Some((outbox, open));
                        }
                    }
                    Step::Read => {
                        if let Some((outbox, _)) = &stream {
                            memory.read(outbox.take());
                        }
                    }
                    Step::Run(turns) => {
                        for _ in 0..turns {
                            tokio::task::yield_now().await;
                        }
                    }
                }
            }
            let (outbox, _open) = stream.expect("it came back at last");
            for _ in 0..100 {
                settle().await;
                memory.read(outbox.take());
                tokio::time::advance(Duration::from_millis(1)).await;
            }
            prop_assert_eq!(memory.events, published);
            Ok(())
        })?;
    }
}
