//! The command line, its manual page and its completions.

mod access_token;
mod doctor;
mod man_page;
mod printing;

use std::{env, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueHint};
pub use clap_complete::Shell;

pub use self::{
    doctor::doctor,
    man_page::man_page,
    printing::{print, print_error},
};

use crate::{
    composition::PublicUrl,
    configuration::{GoDuration, SETTINGS},
};

/// Minimum and maximum time of `--idle`.
const MIN_IDLE: Duration = Duration::from_secs(1);
const MAX_IDLE: Duration = Duration::from_hours(1);

/// Pushes events of Infinite Scale and OpenCloud to browsers as Server-Sent Events.
#[derive(Debug, Parser)]
#[command(name = "ocis-sse", version)]
pub struct CommandLine {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

impl CommandLine {
    /// Parses the arguments of the process. Prints a text and ends the process for a wrong command line or `--help`.
    ///
    /// A first argument `sse` is ignored: the platforms start their services with `ocis sse server` and
    /// `opencloud sse server`, and Infinite Scale's Helm chart does not let these words be changed.
    #[must_use]
    pub fn of_process() -> Self {
        let mut arguments: Vec<_> = env::args_os().collect();
        if arguments.get(1).is_some_and(|first| first == "sse") {
            arguments.remove(1);
        }
        Self::parse_from(arguments)
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service
    Server {
        /// Continue the open streams of the process that listens at handover.socket; without such a process, start as usual
        #[arg(long)]
        take_over: bool,
        /// The configuration file.
        #[command(flatten)]
        configured: Configured,
    },
    /// Check the health of the running instance on this machine; exits with 0 if it is healthy, otherwise with 1
    Health(Configured),
    /// Check each part of an event's path, and say what to do about a fault; exits with 0 if no check has failed, otherwise with 1
    Doctor(Doctor),
    /// Print the settings in effect and the source of each, with secrets masked
    Config {
        /// Print a configuration file with all defaults and their meaning instead
        #[arg(long, conflicts_with = "config")]
        defaults: bool,
        /// Print the JSON Schema of the configuration file instead, for editors
        #[arg(long, conflicts_with_all = ["config", "defaults"])]
        schema: bool,
        /// The configuration file.
        #[command(flatten)]
        configured: Configured,
    },
    /// Run a demo: the real endpoint with an event bus in memory, and a page to publish events
    Demo {
        /// Address to listen on
        #[arg(long, value_name = "HOST:PORT", default_value = default_address())]
        addr: SocketAddr,
    },
    /// Print the OpenAPI description
    Openapi,
    /// Print the completions of this command line for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
    /// Print the version
    Version,
}

/// The arguments of the subcommands that read the configuration.
#[derive(Args, Debug)]
pub struct Configured {
    /// Configuration file, instead of sse.yaml in a default directory
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
}

/// The arguments of `doctor`.
#[derive(Args, Debug)]
pub struct Doctor {
    /// The configuration file.
    #[command(flatten)]
    pub configured: Configured,
    /// Public URL of the platform: check the way through it as well
    #[arg(long, value_name = "URL")]
    pub url: Option<PublicUrl>,
    /// Access token of a signed-in user, as browsers send it: open a stream through the platform with it; - reads it from standard input
    #[arg(long, value_name = "TOKEN", requires = "url")]
    pub token: Option<String>,
    /// Wait in silence, and say after which time the connection is cut
    #[arg(long, value_name = "DURATION", requires = "url", num_args = 0..=1, default_missing_value = "2m", value_parser = idle)]
    pub idle: Option<Duration>,
    /// Accept any certificate at the public URL
    #[arg(long, requires = "url")]
    pub insecure: bool,
    /// Print a JSON document instead of text
    #[arg(long)]
    pub json: bool,
}

/// Parses the time of `--idle`, which a token has to outlast.
fn idle(text: &str) -> Result<Duration, String> {
    match text.parse()? {
        GoDuration(time) if (MIN_IDLE..=MAX_IDLE).contains(&time) => Ok(time),
        GoDuration(_) => Err("must be between 1s and 1h".into()),
    }
}

/// Returns the default of `http.addr`: without settings, the demo listens where the service does.
fn default_address() -> &'static str {
    let setting = SETTINGS.iter().find(|setting| setting.key == "http.addr");
    setting.and_then(|setting| setting.default).unwrap_or_default()
}

/// Returns the completions of the command line for `shell`.
#[must_use]
pub fn completions(shell: Shell) -> String {
    let mut completions = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "ocis-sse", &mut completions);
    String::from_utf8_lossy(&completions).into_owned()
}
