//! Loads a running service: opens many streams, publishes events through NATS, and reports the deliveries and their
//! cost.
//!
//! Ratios within one run are comparable, as are the server's CPU time and memory by the kernel's accounting: other load
//! on the machine affects these least. `floor` measures the lower bound of the cost of a delivery on the same machine.

#![expect(clippy::cast_precision_loss, reason = "figures are rounded for people anyway")]

mod arguments;
mod event_stream;
mod floor;
mod hostile;
mod ledger;
mod process;
mod publisher;
mod report;
mod run;
mod slow;
mod streams;
mod tls_floor;
mod unicast_floor;

use std::process::ExitCode;

use clap::Parser as _;

use self::{
    arguments::{Arguments, Mode},
    run::run,
};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.json;
    let is_complete = match (arguments.mode, arguments.kind) {
        (Mode::Hostile, Some(kind)) => {
            let report = hostile::run(&arguments, kind).await;
            report.inspect(|report| report::print(report, json)).map(|report| report.is_complete())
        }
        (Mode::Slow, _) => {
            let report = slow::run(&arguments).await;
            report.inspect(|report| report::print(report, json)).map(|report| report.is_complete())
        }
        _ => {
            let report = run(&arguments).await;
            report.inspect(|report| report::print(report, json)).map(|report| report.is_complete())
        }
    };
    match is_complete {
        Ok(is_complete) => ExitCode::from(u8::from(!is_complete)),
        Err(error) => {
            fail(&*error);
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stderr, reason = "it has no log")]
fn fail(error: &(dyn std::error::Error + 'static)) {
    eprintln!("{error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because {error}");
        cause = error.source();
    }
}
