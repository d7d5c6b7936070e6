//! The start of a successor by the running process.

use std::{env, io, path::PathBuf, process::ExitStatus};

use tokio::process::Command;

/// The argument that makes a process take over.
const TAKE_OVER: &str = "--take-over";
/// The variables of sockets from the service manager, which a successor gets from its predecessor (`sd_listen_fds(3)`).
const SOCKET_VARIABLES: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// Starts the program again, with the same arguments and `--take-over`, and waits until it ends. A successor that takes over outlives this
/// process.
///
/// # Errors
///
/// The program cannot be started.
pub async fn start_successor() -> io::Result<ExitStatus> {
    successor()?.spawn()?.wait().await
}

fn successor() -> io::Result<Command> {
    let mut arguments = env::args_os();
    let name = arguments.next().map(PathBuf::from).unwrap_or_default();
    // A path names the program that is there now, after an upgrade the new one. The path of this process would name the old one.
    let program = if name.is_absolute() { name } else { env::current_exe()? };
    let mut command = Command::new(program);
    command.args(arguments.filter(|argument| argument != TAKE_OVER)).arg(TAKE_OVER);
    for variable in SOCKET_VARIABLES {
        command.env_remove(variable);
    }
    Ok(command)
}
