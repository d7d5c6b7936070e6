//! The program: parses the command line, composes the service and runs it.

use std::{io, net::SocketAddr, path::PathBuf, process::ExitCode};

use ocis_sse::{
    command_line::{Command, CommandLine, Configured, completions, doctor, man_page, print, print_error},
    composition::{
        self, Application, Demo, PassedSockets, Signal, StartError, TakeOver, Telemetry, UnusableSocket,
        hangups, stop_on_signals, successor_requests, with_causes,
    },
    configuration::{self, Configuration, Environment},
};
use tikv_jemallocator::Jemalloc;

/// Exit status for an invalid configuration (`EX_USAGE` of sysexits.h).
const INVALID_CONFIGURATION: u8 = 64;

/// jemalloc returns memory to the kernel after many connections have closed. The system's allocator keeps it. `.cargo/config.toml` has its
/// options.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    // Before the runtime opens descriptors, because the sockets are found by their numbers.
    let sockets = PassedSockets::take();
    run(CommandLine::of_process().command, sockets)
}

#[tokio::main]
async fn run(command: Command, sockets: Result<PassedSockets, UnusableSocket>) -> ExitCode {
    match command {
        Command::Server { take_over, configured: Configured { config } } => {
            // Installed before the configuration is read, so that a signal in the meantime does not end the process.
            let signals = hangups().and_then(|hangups| Ok((hangups, successor_requests()?)));
            match configured(config) {
                Ok(configuration) => {
                    let take_over = take_over || configuration.handover.take_over;
                    finish(server(&configuration, signals, sockets, take_over).await)
                }
                Err(status) => status,
            }
        }
        Command::Health(Configured { config }) => match configured(config) {
            Ok(configuration) => health(&configuration).await,
            Err(status) => status,
        },
        Command::Doctor(arguments) => doctor(arguments).await,
        Command::Config { schema: true, .. } => printed(&configuration::Schema.to_string()),
        Command::Config { defaults: true, .. } => printed(&configuration::Defaults.to_string()),
        Command::Config { configured: Configured { config }, .. } => match configured(config) {
            Ok(configuration) => printed(&configuration.effective.to_string()),
            Err(status) => status,
        },
        Command::Demo { addr } => finish(demo(addr).await),
        Command::Completions { shell } => printed(&completions(shell)),
        Command::Man => printed(&man_page()),
        Command::Openapi => match composition::specification() {
            Ok(description) => printed(&description),
            Err(error) => finish(Err(error)),
        },
        Command::Version => printed(composition::VERSION),
    }
}

async fn server(
    configuration: &Configuration,
    signals: io::Result<(Signal, Signal)>,
    sockets: Result<PassedSockets, UnusableSocket>,
    take_over: bool,
) -> Result<(), StartError> {
    let sockets = sockets.map_err(StartError::Sockets)?;
    let (hangups, successor_requests) = signals.map_err(StartError::Signals)?;
    let telemetry = Telemetry::start(configuration)?;
    let stop = stop_on_signals(&telemetry)?;
    let take_over = if take_over { TakeOver::ask(&configuration.handover).await? } else { None };
    let application = Application::build(configuration, Some(&telemetry), sockets, take_over)?;
    let application =
        application.reload_on(hangups, Environment::of_process()).hand_over_on(successor_requests);
    application.run_until(stop.cancelled()).await
}

async fn demo(address: SocketAddr) -> Result<(), StartError> {
    let telemetry = Telemetry::of_demo()?;
    let stop = stop_on_signals(&telemetry)?;
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
                    Ok(()) => return printed("healthy"),
                    Err(error) => print_error(&format!("{resolved}: {}", with_causes(&error))),
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
            print_error(&with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// Prints the whole output of a subcommand.
fn printed(text: &str) -> ExitCode {
    print(text);
    ExitCode::SUCCESS
}
