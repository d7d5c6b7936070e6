//! The command line.

use std::{env, net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

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
    /// Print the version
    Version,
}

/// The arguments of the subcommands that read the configuration.
#[derive(Args, Debug)]
pub struct Configured {
    /// Configuration file, instead of sse.yaml in a default directory
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
