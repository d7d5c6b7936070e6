//! Connections that move between two reactors again and again.

use proptest::{collection::vec as many, prelude::*};

use super::*;

/// A step of a connection that moves between two reactors.
#[derive(Clone, Debug)]
enum Step {
    /// A turn with frames of these sizes.
    Push(Vec<usize>),
    Read(usize),
    Run,
    Move {
        adopts_first: bool,
    },
    /// The successor is lost.
    Fail,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop_oneof![30 => 0..20_usize, 1 => 0..70_000_usize];
    let step = prop_oneof![
        3 => many(size, 1..150).prop_map(Step::Push),
        3 => (1..30_000_usize).prop_map(Step::Read),
        2 => Just(Step::Run),
        2 => any::<bool>().prop_map(|adopts_first| Step::Move { adopts_first }),
        1 => Just(Step::Fail),
    ];
    many(step, 1..30)
}

async fn run(steps: Vec<Step>, chunked: bool) -> Result<(), TestCaseError> {
    let servers = [Server::start(), Server::start()];
    let mut stream = servers[0].open(chunked).await;
    let (mut at, mut sent, mut received) = (0, Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Push(sizes) => {
                let frame = |size| {
                    let frame: Vec<u8> = (0..=250).cycle().skip(sent.len() % 251).take(size).collect();
                    sent.extend_from_slice(&frame);
                    frame.into()
                };
                let turn: Vec<Bytes> = sizes.into_iter().map(frame).collect();
                stream.push(turn);
            }
            Step::Read(limit) => {
                stream.read_arrived(limit, &mut received);
            }
            Step::Run => {
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
            }
            Step::Move { adopts_first } => {
                let suspended = suspend(&stream.handle).await.expect("suspended");
                at = 1 - at;
                let old = stream.handle.connection();
                if adopts_first {
                    stream.handle = servers[at].adopt(suspended, &stream.log).await;
                    old.release();
                } else {
                    old.release();
                    tokio::task::yield_now().await;
                    stream.handle = servers[at].adopt(suspended, &stream.log).await;
                }
            }
            Step::Fail => {
                suspend(&stream.handle).await.expect("suspended");
                stream.handle.connection().resume();
            }
        }
    }
    stream.end();
    stream.read_to_end(&mut received).await;
    let received = if chunked { decode(&received) } else { received };
    prop_assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    drop(stream);
    while servers.iter().any(|server| server.open_connections() > 0) {
        tokio::task::yield_now().await;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn moving_connection_loses_no_byte(steps in steps(), chunked in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            tokio::time::timeout(Duration::from_mins(1), run(steps, chunked)).await.expect("in time")
        })?;
    }
}
