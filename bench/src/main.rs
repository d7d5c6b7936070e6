//! Loads a running service: opens very many streams, publishes on the bus, and says what arrived and what it cost.
//!
//! What is worth comparing are ratios within one run, and the server's CPU and memory by the kernel's accounts: a noisy machine
//! disturbs these least. `floor` measures what a delivery costs at least on the same machine.

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
