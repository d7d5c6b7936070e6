//! The subcommand `doctor`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use super::{
    Configured, Doctor,
    access_token::access_token,
    printing::{print, print_error},
};
use crate::{
    composition::{self, with_causes},
    configuration::{ConfigErrors, Configuration, Environment},
    use_cases::{Finding, PublicName, Report, Verdict},
};

/// Exit status for an invalid command line, as clap has it.
const INVALID_COMMAND_LINE: u8 = 2;

/// Checks the service and prints the findings, as text at once, or as a document at the end. It must be called within a runtime.
pub async fn doctor(arguments: Doctor) -> ExitCode {
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
            print(&in_columns(&finding));
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
                    report(Finding::failed("configuration", with_causes(&error), "correct this setting"));
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

/// Returns the verdict, the check and what was seen in columns, and the advice below.
fn in_columns(Finding { check, verdict, seen, advice }: &Finding) -> String {
    let verdict = match verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Failed => "FAILED",
        Verdict::Skipped => "skipped",
    };
    let line = format!("{verdict:8} {check:18} {seen}");
    match advice {
        Some(advice) => format!("{line}\n{:28}→ {advice}", ""),
        None => line,
    }
}
