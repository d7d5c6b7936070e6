//! What can be asked of the program.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

/// Pushes the events of Infinite Scale and OpenCloud to people's browsers, as Server-Sent Events.
#[derive(Debug, Parser)]
#[command(name = "ocis-sse", version)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve: read the bus and push its events to open streams
    Server(Configured),
    /// Ask the running instance on this machine whether it lives; exits with 0 or 1
    Health(Configured),
    /// Print the settings that are in effect and where each is from, with secrets masked
    Config {
        /// Print a file with every default instead, and what it means
        #[arg(long, conflicts_with = "config")]
        defaults: bool,
        /// Which configuration
        #[command(flatten)]
        configured: Configured,
    },
    /// Try it out: the real endpoint on a bus in memory, with a page to publish events on
    Demo {
        /// Where to listen
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9135")]
        addr: SocketAddr,
    },
    /// Print the OpenAPI description
    Openapi,
    /// Print the version
    Version,
}

/// For what needs the configuration.
#[derive(Args, Debug)]
pub struct Configured {
    /// The configuration, instead of sse.yaml in its usual directory
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
