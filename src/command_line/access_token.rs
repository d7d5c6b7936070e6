//! The access token of `doctor`.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Stdin};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::printing::print_error;

/// Maximum size of an access token on standard input, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// Returns the token of the argument. `-` stands for the first line of standard input.
///
/// # Errors
///
/// Returns the problem, as the rest of a sentence.
pub(super) fn access_token(argument: String) -> Result<String, String> {
    let token = if argument == "-" {
        read_line().map_err(|error| format!("standard input cannot be read: {error}"))?
    } else {
        argument
    };
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

/// Reads a line of standard input. A terminal does not show it.
fn read_line() -> io::Result<String> {
    let input = io::stdin();
    let hidden = input.is_terminal().then(|| WithoutEcho::start(&input)).transpose()?;
    if hidden.is_some() {
        print_error("type or paste the access token, which is not shown, and press Enter");
    }
    let mut line = String::new();
    input.lock().take(MAX_BYTES).read_line(&mut line)?;
    Ok(line)
}

/// A terminal that does not show what is typed. Dropping it restores the former state.
struct WithoutEcho<'a> {
    terminal: &'a Stdin,
    before: Termios,
}

impl<'a> WithoutEcho<'a> {
    fn start(terminal: &'a Stdin) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        // The line break is shown, so that the next line of the program is a line of its own.
        hidden.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(terminal, OptionalActions::Flush, &hidden)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for WithoutEcho<'_> {
    fn drop(&mut self) {
        // If it fails, the terminal is gone.
        tcsetattr(self.terminal, OptionalActions::Now, &self.before).ok();
    }
}
