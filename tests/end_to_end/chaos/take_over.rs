//! Take-overs: new processes continue the open streams, and no client notices.

use rustix::process::Signal;
use tempfile::TempDir;

use super::Scene;
use crate::{
    browser::ResumeBy::{LastEventId, RequestId},
    ledger::Ledger,
    nats::{Nats, ReservedPort},
    program::{Program, server_with},
    transport,
};

/// The processes of a service that take over from each other.
struct Generations {
    nats: Nats,
    port: ReservedPort,
    directory: TempDir,
}

impl Generations {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { nats: Nats::start().await, port: ReservedPort::any(), directory }
    }

    /// Starts a process that takes over if one runs. Waits until it says so in its log.
    async fn start(&self, settings: &[(&str, &str)]) -> Program {
        let (address, socket) = (self.port.address.to_string(), self.directory.path().join("handover.sock"));
        let socket = socket.to_str().expect("Unicode");
        let ours = [("SSE_HTTP_ADDR", &*address), ("SSE_HANDOVER_SOCKET", socket), ("SSE_TAKE_OVER", "true")];
        server_with(&self.nats, &[&ours, settings].concat())
    }
}

/// Waits for this message in the log.
async fn logged(program: &mut Program, message: &str) -> serde_json::Value {
    loop {
        let line = program.log_line().await;
        if line["message"] == message {
            return line;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn take_overs_in_the_clear_are_not_noticed() {
    for resume_by in [LastEventId, RequestId] {
        let generations = Generations::new().await;
        let mut program = generations.start(&[]).await;
        logged(&mut program, "listening").await;
        let service = transport::service_at(generations.port.address);
        let scene = Scene::open(&generations.nats.address(), service, resume_by).await;
        for _ in 0..scene.size.rounds {
            let take_overs = async {
                for _ in 0..10 {
                    let mut successor = generations.start(&[]).await;
                    let line = logged(&mut successor, "the previous process has ended").await;
                    assert_eq!(line["streams"], scene.size.streams);
                    assert_eq!(program.status().await, Some(0));
                    program = successor;
                }
            };
            scene.round(take_overs).await;
            scene.check_ledgers(Ledger::holds_each_once).await;
        }
        assert_eq!((scene.gaps(), scene.ended()), (0, 0));
        program.signal(Signal::TERM);
        assert_eq!(program.status().await, Some(0));
    }
}
