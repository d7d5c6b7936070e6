//! The program: parses the command line, composes the service and runs it.

use std::{
    error::Error,
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use ocis_sse::{
    command_line::{Command, CommandLine, Configured},
    composition::{
        self, Application, Demo, Signal, StartError, Telemetry, hangups, start_demo_log, stop_on_signals,
    },
    configuration::{self, Configuration, Environment},
};
use tikv_jemallocator::Jemalloc;

/// Exit status for an invalid configuration (`EX_USAGE` of sysexits.h).
const INVALID_CONFIGURATION: u8 = 64;

/// jemalloc returns memory to the system after many connections have closed. The system's allocator keeps it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match CommandLine::of_process().command {
        Command::Server(Configured { config }) => {
            // Installed before the configuration is read, so that a SIGHUP in the meantime does not end the process.
            let hangups = hangups();
            match configured(config) {
                Ok(configuration) => finish(server(&configuration, hangups).await),
                Err(status) => status,
            }
        }
        Command::Health(Configured { config }) => match configured(config) {
            Ok(configuration) => health(&configuration).await,
            Err(status) => status,
        },
        Command::Config { defaults: true, .. } => print(&configuration::Defaults.to_string()),
        Command::Config { configured: Configured { config }, .. } => match configured(config) {
            Ok(configuration) => print(&configuration.effective.to_string()),
            Err(status) => status,
        },
        Command::Demo { addr } => finish(demo(addr).await),
        Command::Openapi => print(&composition::specification()),
        Command::Version => print(composition::VERSION),
    }
}

async fn server(configuration: &Configuration, hangups: io::Result<Signal>) -> Result<(), StartError> {
    let hangups = hangups.map_err(StartError::Signals)?;
    let telemetry = Telemetry::start(configuration)?;
    let stop = stop_on_signals().map_err(StartError::Signals)?;
    let application = Application::build(configuration, Some(&telemetry))?;
    application.reload_on(hangups, Environment::of_process()).run_until(stop.cancelled()).await
}

async fn demo(address: SocketAddr) -> Result<(), StartError> {
    start_demo_log();
    let stop = stop_on_signals().map_err(StartError::Signals)?;
    let demo = Demo::build(address)?;
    print(&demo.introduction());
    demo.run_until(stop.cancelled()).await
}

async fn health(configuration: &Configuration) -> ExitCode {
    let address = &configuration.debug.addr;
    match address.resolve() {
        Ok(addresses) => {
            for resolved in addresses {
                match composition::check_health(resolved).await {
                    Ok(()) => return print("healthy"),
                    Err(error) => print_error(&format!("{resolved}: {}", with_cause(&error))),
                }
            }
        }
        Err(error) => print_error(&format!("debug.addr: cannot resolve {address}: {error}")),
    }
    ExitCode::FAILURE
}

fn configured(file: Option<PathBuf>) -> Result<Configuration, ExitCode> {
    Configuration::read(file, &Environment::of_process()).map_err(|errors| {
        print_error(&errors.to_string());
        ExitCode::from(INVALID_CONFIGURATION)
    })
}

fn finish(outcome: Result<(), StartError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&with_cause(&error));
            ExitCode::FAILURE
        }
    }
}

/// Returns the message of `error` with those of its causes.
fn with_cause(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_cause(cause)),
        None => error.to_string(),
    }
}

/// Prints `text`. A closed standard output is not an error.
fn print(text: &str) -> ExitCode {
    writeln!(io::stdout(), "{text}").ok();
    ExitCode::SUCCESS
}

fn print_error(text: &str) {
    writeln!(io::stderr(), "ocis-sse: {text}").ok();
}
