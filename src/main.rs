//! The program: parses the command line, composes the service and runs it.

use std::{
    error::Error,
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

use ocis_sse::{
    command_line::{Command, CommandLine, Configured, Doctor, completions, man_page},
    composition::{
        self, Application, Demo, PassedSockets, Signal, StartError, TakeOver, Telemetry, UnusableSocket,
        hangups, stop_on_signals, successor_requests,
    },
    configuration::{self, ConfigErrors, Configuration, Environment},
    use_cases::{Finding, PublicName, Report},
};
use tikv_jemallocator::Jemalloc;

/// Exit status for an invalid configuration (`EX_USAGE` of sysexits.h).
const INVALID_CONFIGURATION: u8 = 64;

/// Maximum size of an access token on standard input, in bytes.
const MAX_TOKEN_BYTES: u64 = 64 << 10;

/// Exit status for an invalid command line, as clap has it.
const INVALID_COMMAND_LINE: u8 = 2;

/// Maximum time for which a message waits for the reader of standard error.
const PRINT_TIMEOUT: Duration = Duration::from_secs(1);

/// jemalloc returns memory to the system after many connections have closed. The system's allocator keeps it.
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
        Command::Config { schema: true, .. } => print(&configuration::Schema.to_string()),
        Command::Config { defaults: true, .. } => print(&configuration::Defaults.to_string()),
        Command::Config { configured: Configured { config }, .. } => match configured(config) {
            Ok(configuration) => print(&configuration.effective.to_string()),
            Err(status) => status,
        },
        Command::Demo { addr } => finish(demo(addr).await),
        Command::Completions { shell } => print(&completions(shell)),
        Command::Man => print(&man_page()),
        Command::Openapi => match composition::specification() {
            Ok(description) => print(&description),
            Err(error) => finish(Err(error)),
        },
        Command::Version => print(composition::VERSION),
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
                    Ok(()) => return print("healthy"),
                    Err(error) => print_error(&format!("{resolved}: {}", with_cause(&error))),
                }
            }
        }
        Err(error) => print_error(&format!("debug.addr: cannot resolve {address}: {error}")),
    }
    ExitCode::FAILURE
}

/// Checks the service and prints the findings, as text at once, or as a document at the end.
async fn doctor(arguments: Doctor) -> ExitCode {
    let Doctor { configured: Configured { config }, url, token, idle, insecure, json } = arguments;
    let access_token = match token.map(access_token).transpose() {
        Ok(access_token) => access_token,
        Err(problem) => {
            print_error(&format!("--token: {problem}"));
            return ExitCode::from(INVALID_COMMAND_LINE);
        }
    };
    let mut findings = Vec::new();
    let mut report = |finding: Finding| {
        if !json {
            print(&finding.to_string());
        }
        findings.push(finding);
    };
    match Configuration::read(config, &Environment::of_process()) {
        Ok(configuration) => {
            report(configuration_finding(&configuration));
            let public =
                url.map(|url| PublicName { url: url.into_string(), verify: !insecure, access_token, idle });
            match composition::diagnosis(&configuration, public) {
                Ok(diagnosis) => diagnosis.run(&mut report).await,
                Err(error) => {
                    report(Finding::failed("configuration", with_cause(&error), "correct this setting"));
                }
            }
        }
        Err(ConfigErrors(errors)) => {
            for error in errors {
                report(Finding::failed(
                    "configuration",
                    error.to_string(),
                    "correct the setting or the file",
                ));
            }
        }
    }
    let report = Report::new(composition::VERSION, findings);
    // A program that reads the document must notice that it is not complete.
    let is_written = !json || writeln!(io::stdout(), "{report}").and_then(|()| io::stdout().flush()).is_ok();
    if report.ok && is_written { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn configuration_finding(configuration: &Configuration) -> Finding {
    match &configuration.file {
        Some(file) => {
            Finding::ok("configuration", format!("read from {} and the environment", file.display()))
        }
        None => Finding::ok("configuration", "read from the environment; there is no file"),
    }
}

/// Returns the token of the argument. `-` stands for the first line of standard input.
///
/// # Errors
///
/// Returns the problem, as the rest of a sentence.
fn access_token(argument: String) -> Result<String, String> {
    let mut token = argument;
    if token == "-" {
        if io::stdin().is_terminal() {
            print_error("type or paste the access token, and press Enter");
        }
        token.clear();
        let read = io::stdin().lock().take(MAX_TOKEN_BYTES).read_line(&mut token);
        read.map_err(|error| format!("standard input cannot be read: {error}"))?;
    }
    // As it is copied from the header of a request.
    let mut words = token.split_whitespace().skip_while(|word| *word == "Bearer");
    let (token, rest) = (words.next().unwrap_or_default(), words.next());
    if token.is_empty() || rest.is_some() || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(
            "is empty or not a token; use the value after \"Bearer\" in the Authorization header".into()
        );
    }
    Ok(token.to_owned())
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

/// Prints `text` on standard error. If nobody reads that, it gives up after a second: the program must be able to end.
fn print_error(text: &str) {
    let line = format!("ocis-sse: {text}\n");
    let (sender, written) = mpsc::channel();
    thread::spawn(move || {
        io::stderr().write_all(line.as_bytes()).ok();
        sender.send(()).ok();
    });
    written.recv_timeout(PRINT_TIMEOUT).ok();
}
