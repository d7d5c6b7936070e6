//! The manual page, which follows from the command line and the list of settings.

use clap::{Arg, Command, CommandFactory as _, builder::PossibleValue};
use roff::{Inline, Roff, bold, italic, roman};

use super::CommandLine;
use crate::configuration::{SETTINGS, Setting};

/// Exit statuses with their meanings.
const EXIT_STATUSES: [(&str, &str); 5] = [
    ("0", "The command has succeeded; the service has stopped after a signal"),
    ("1", "A fault has prevented the start, or the running instance is not healthy"),
    ("2", "The command line is invalid"),
    ("64", "The configuration is invalid; each error is named"),
    ("143", "A second signal has ended the service at once"),
];
/// Signals with their effects.
const SIGNALS: [(&str, &str); 2] = [
    (
        "SIGTERM, SIGINT",
        "End all streams within SSE_DRAIN_TIMEOUT, and then the service; a second one ends it at once",
    ),
    ("SIGHUP", "Reload the configuration and the certificate; if there is an error, nothing changes"),
];
/// Files with their contents.
const FILES: [(&str, &str); 2] = [
    ("/etc/ocis/sse.yaml", "The configuration file; each setting has a key in it"),
    ("/etc/ocis/sse.env", "The environment of the service under systemd, as NAME=value lines"),
];

/// Returns the manual page in section 1, in roff.
#[must_use]
pub fn man_page() -> String {
    let mut command = CommandLine::command();
    // Completes the command with what an argument is printed with.
    command.build();
    let name = command.get_name();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut page = Roff::new();
    page.control("TH", [name, "1"]);
    page.control("SH", ["NAME"]).text([roman(format!("{name} - {about}"))]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([bold(name), roman(" "), italic("COMMAND"), roman(" ["), italic("OPTION"), roman("]...")]);
    page.control("SH", ["COMMANDS"]);
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        document(&mut page, subcommand);
    }
    page.control("SH", ["ENVIRONMENT"]);
    page.text([roman(
        "The settings. Each variable has a variant with the suffix _FILE that names a file with the value.",
    )]);
    for Setting { variables, meaning, default, .. } in SETTINGS {
        let default = match default {
            None => "required".to_owned(),
            Some("") => "default: none".to_owned(),
            Some(default) => format!("default: {default}"),
        };
        item(&mut page, [bold(variables.join(", "))], &format!("{meaning} ({default})."));
    }
    for (section, items) in [("FILES", &FILES[..]), ("SIGNALS", &SIGNALS), ("EXIT STATUS", &EXIT_STATUSES)] {
        page.control("SH", [section]);
        for (term, meaning) in items {
            item(&mut page, [bold(*term)], &format!("{meaning}."));
        }
    }
    page.control("SH", ["VERSION"]).text([roman(command.get_version().unwrap_or_default())]);
    page.render()
}

/// Adds a subcommand with its arguments.
fn document(page: &mut Roff, subcommand: &Command) {
    let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
    item(page, [bold(subcommand.get_name())], &format!("{about}."));
    for argument in subcommand.get_arguments().filter(|argument| argument.get_id() != "help") {
        let meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
        page.control("RS", []);
        item(page, [bold(argument.to_string())], &format!("{meaning}{}.", values_of(argument)));
        page.control("RE", []);
    }
}

/// Returns the default of an argument, or else its possible values.
fn values_of(argument: &Arg) -> String {
    if !argument.get_action().takes_values() {
        return String::new();
    }
    let defaults: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let possible = argument.get_possible_values();
    let possible: Vec<_> = possible.iter().map(PossibleValue::get_name).collect();
    match (&defaults[..], &possible[..]) {
        ([], []) => String::new(),
        ([], possible) => format!(": {}", possible.join(", ")),
        (defaults, _) => format!(" (default: {})", defaults.join(", ")),
    }
}

/// Adds a term and its meaning.
fn item<const N: usize>(page: &mut Roff, term: [Inline; N], meaning: &str) {
    page.control("TP", []).text(term).text([roman(meaning)]);
}
