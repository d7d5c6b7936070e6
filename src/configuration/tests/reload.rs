//! Reloading the configuration.

use super::*;
use crate::configuration::Reloaded;

/// Returns the result of reloading when the file changes from `before` to `after`.
fn reloaded(before: &str, after: &str) -> Reloaded {
    let [before, after] = [before, after].map(|file| {
        with_file(file, |path| Configuration::read(Some(path), &[SECRET].into()))
            .expect("a valid configuration")
    });
    before.reloaded(after)
}

fn texts(changes: &[Change]) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}

#[test]
fn only_reloadable_settings_change() {
    let reloaded = reloaded(
        "log: {level: info}\nlimits: {max_connections_per_user: 5, write_timeout: 10s}",
        "keepalive_interval: 30s\nlimits: {max_connections_per_user: 2, write_timeout: 20s}",
    );
    assert_eq!(
        texts(&reloaded.changed),
        [
            "log.level: \"info\" -> \"error\"",
            "keepalive_interval: \"0s\" -> \"30s\"",
            "limits.max_connections_per_user: \"5\" -> \"2\"",
        ]
    );
    assert_eq!(texts(&reloaded.pending), ["limits.write_timeout: \"10s\" -> \"20s\""]);
    let Configuration { log, keepalive, limits, effective, .. } = reloaded.configuration;
    assert_eq!((log.level.0, keepalive.interval.0.as_secs()), (Level::ERROR, 30));
    assert_eq!((limits.max_connections_per_user.0, limits.write_timeout.0.as_secs()), (2, 10));
    let shown = effective.to_string();
    for line in ["\n  max_connections_per_user: 2 # ", "\n  write_timeout: 10s # "] {
        assert!(shown.contains(line), "{line:?} is not in\n{shown}");
    }
}

#[test]
fn equal_values_are_no_change() {
    let check = |before: &str, after: &str| {
        let Reloaded { changed, pending, .. } = reloaded(before, after);
        assert_eq!((texts(&changed), texts(&pending)), (vec![], vec![]), "{before:?} {after:?}");
    };
    check("", "");
    check("", "log: {level: fatal}\nstreams: {drain_timeout: 10000ms}");
    check(
        "http: {cors: {allow_origins: 'https://a.example'}}",
        "http: {cors: {allow_origins: ['https://a.example']}}",
    );
    // Settings of a disabled feature.
    check("", "http: {tls: {cert: /nowhere, key: /nowhere}}");
}

#[test]
fn changed_secrets_are_reported_without_values() {
    let reloaded = reloaded(
        "debug: {token: hidden}\nevents: {endpoint: 'nats://u:hidden@a'}",
        "debug: {token: hidden-too}\ntoken_manager: {jwt_secret_previous: hidden}\nevents: {endpoint: 'nats://u:hidden-too@b'}",
    );
    assert_eq!(
        texts(&reloaded.changed),
        ["debug.token", "token_manager.jwt_secret_previous: \"\" -> \"***\""]
    );
    assert_eq!(texts(&reloaded.pending), ["events.endpoint: \"nats://***@a\" -> \"nats://***@b\""]);
    assert!(!format!("{reloaded:?}").contains("hidden"));
}

#[test]
fn found_file_is_required_from_then_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let environment = [SECRET, ("OCIS_CONFIG_DIR", directory.path().to_str().expect("Unicode"))].into();
    let read = |file| Configuration::read(file, &environment);
    let without = read(None).expect("a valid configuration");
    assert_eq!(without.file, None);
    let path = directory.path().join("sse.yaml");
    std::fs::write(&path, "").expect("written");
    let with = without.reloaded(read(without.file.clone()).expect("a valid configuration")).configuration;
    assert_eq!(with.file, Some(path.clone()));
    std::fs::remove_file(&path).expect("removed");
    assert!(read(with.file).is_err());
}

/// A rule that ties settings together must not see a mixture of old and new values, so all of these settings are reloadable or none is.
#[test]
fn groups_with_rules_are_reloaded_as_whole() {
    for group in ["tracing.", "events.", "registry.", "http.cors.", "http.tls."] {
        let mut settings = SETTINGS.iter().filter(|setting| setting.key.starts_with(group));
        let first = settings.next().expect("a setting");
        assert!(settings.all(|setting| setting.reloadable == first.reloadable), "{group}");
    }
}

/// `composition::reload` applies each of these settings.
#[test]
fn reloadable_settings_are_listed() {
    let reloadable = SETTINGS.iter().filter(|setting| setting.reloadable).map(|setting| setting.key);
    assert_eq!(
        reloadable.collect::<Vec<_>>(),
        [
            "log.level",
            "log.audit",
            "debug.token",
            "keepalive_interval",
            "http.trusted_proxies",
            "http.ticket_clients",
            "http.cors.allow_origins",
            "http.cors.allow_methods",
            "http.cors.allow_headers",
            "http.cors.allow_credentials",
            "http.cors.token_cookie",
            "token_manager.jwt_secret",
            "token_manager.jwt_secret_previous",
            "streams.reconnection_time",
            "streams.max_age",
            "streams.close_on_logout",
            "streams.replace",
            "streams.drain_rate",
            "limits.max_connections",
            "limits.max_connections_per_user",
        ]
    );
}
