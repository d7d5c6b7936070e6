//! The values of the configuration. Each line of the input is an environment variable. `{password}` in a value stands
//! for a user and a password in front of an address.

#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use ocis_sse::configuration::{Configuration, Environment, SETTINGS};
use tempfile::NamedTempFile;

/// A secret that must never be printed.
const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

/// The names of all variables, and whether they hold a secret. The path of the configuration file is not read from the
/// input.
static VARIABLES: LazyLock<Vec<(String, bool)>> = LazyLock::new(|| {
    let variables = |setting: &'static ocis_sse::configuration::Setting| {
        setting.all_variables().map(|name| (name, setting.secret))
    };
    SETTINGS.iter().flat_map(variables).collect()
});

fuzz_target!(|text: &str| {
    let mut variables = vec![("HOME", "/nowhere".to_owned()), ("OC_JWT_SECRET", SECRET.to_owned())];
    let mut may_show = false;
    for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
        let Some((name, is_secret)) = VARIABLES.iter().find(|(known, _)| known == name) else { continue };
        let value = if *is_secret {
            format!("{value}{SECRET}")
        } else {
            value.replace("{password}", &format!("user:{SECRET}@"))
        };
        may_show |= value.contains(SECRET) && !is_secret && !is_address(name);
        variables.push((name, value));
    }
    let environment: Environment = variables.iter().map(|(name, value)| (*name, &**value)).collect();
    match Configuration::read(None, &environment) {
        Ok(configuration) => {
            let shown = configuration.effective.to_string();
            // The secret is printed only if `{password}` was in a value that is not an address.
            assert!(may_show || !shown.contains(SECRET), "{shown}");
            assert!(may_show || !format!("{configuration:?}").contains(SECRET));
            if !shown.contains("${") && !shown.contains("***@") {
                read_again(&configuration, &shown, &variables);
            }
        }
        Err(errors) => {
            let errors = errors.to_string();
            assert!(!errors.contains(SECRET), "{errors}");
        }
    }
});

/// Returns whether a user and a password in the variable are masked.
fn is_address(variable: &str) -> bool {
    ["EVENTS_ENDPOINT", "REGISTRY_ADDRESS", "TRACING_ENDPOINT", "TRACING_COLLECTOR", "ADVERTISE_ADDR"]
        .iter()
        .any(|end| variable.ends_with(end))
}

/// Checks that the printed configuration can replace the environment, apart from the secrets.
fn read_again(configuration: &Configuration, shown: &str, variables: &[(&str, String)]) {
    let file = written(shown);
    let secrets = variables.iter().filter(|(name, _)| VARIABLES.contains(&((*name).to_owned(), true)));
    let secrets: Environment = secrets.map(|(name, value)| (*name, &**value)).collect();
    let again = Configuration::read(Some(file), &secrets);
    let again = again.unwrap_or_else(|errors| panic!("{errors}\n{shown}"));
    assert_eq!(settings(&again), settings(configuration), "{shown}");
}

fn settings(configuration: &Configuration) -> String {
    let Configuration {
        file: _,
        log,
        tracing,
        debug,
        keepalive,
        events,
        registry,
        http,
        cors,
        tls,
        token_manager,
        history,
        streams,
        handover,
        languages,
        limits,
        effective: _,
    } = configuration;
    let first =
        format!("{log:?} {tracing:?} {debug:?} {keepalive:?} {events:?} {registry:?} {http:?} {cors:?}");
    format!("{first} {tls:?} {token_manager:?} {history:?} {streams:?} {handover:?} {languages:?} {limits:?}")
}

/// Returns a file with this text. All inputs use the same file.
fn written(text: &str) -> PathBuf {
    static FILE: LazyLock<NamedTempFile> = LazyLock::new(|| NamedTempFile::new().expect("a file"));
    fs::write(FILE.path(), text).expect("written");
    FILE.path().to_owned()
}
