//! The command line, its manual page and its completions.

mod man_page;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueHint};
pub use clap_complete::Shell;

pub use self::man_page::man_page;

/// Pushes events of Infinite Scale and OpenCloud to browsers as Server-Sent Events.
#[derive(Debug, Parser)]
#[command(name = "ocis-sse", version)]
pub struct CommandLine {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service
    Server(Configured),
    /// Check the health of the running instance on this machine; exits with 0 if it is healthy, otherwise with 1
    Health(Configured),
    /// Print the settings in effect and the source of each, with secrets masked
    Config {
        /// Print a configuration file with all defaults and their meaning instead
        #[arg(long, conflicts_with = "config")]
        defaults: bool,
        /// The configuration file.
        #[command(flatten)]
        configured: Configured,
    },
    /// Run a demo: the real endpoint with an event bus in memory, and a page to publish events
    Demo {
        /// Address to listen on
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9135")]
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

/// Returns the completions of the command line for `shell`.
#[must_use]
pub fn completions(shell: Shell) -> String {
    let mut completions = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "ocis-sse", &mut completions);
    String::from_utf8_lossy(&completions).into_owned()
}
