//! Errors of the configuration: none is ignored.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use super::*;

/// Each row has a file, variables and the expected error.
#[test]
fn each_error_is_reported() {
    const PASSWORD: (&str, &str) = ("OCIS_EVENTS_AUTH_PASSWORD", "hidden");
    const TRACING: (&str, &str) = ("OCIS_TRACING_ENABLED", "true");
    let rows: &[(&str, Variables<'_>, &str)] = &[
        // Duplicate keys.
        ("debug: {token: a, token: b}", &[], "FILE, debug.token: is set twice"),
        ("log: {level: info}\ndebug:\nlog: {pretty: true}", &[], "FILE, log: is set twice"),
        (
            "log: {level: info}\nloglevel: warn",
            &[],
            "FILE, loglevel: is another name of log.level, which is set as well",
        ),
        // Misspelled names.
        ("", &[("SSE_DEBUG_TOKN", "a")], "SSE_DEBUG_TOKN: is not a setting; use SSE_DEBUG_TOKEN"),
        ("", &[("SSE_JWT_SECRET_FIEL", "a")], "; use SSE_JWT_SECRET_FILE"),
        // Values without effect.
        (
            "",
            &[PASSWORD],
            "events.username: must be set, because events.password is set; use for example sse",
        ),
        (
            "events: {username: ''}",
            &[PASSWORD],
            "FILE, events.username: \"\" must be set, because events.password is set; use for example sse",
        ),
        (
            "",
            &[("MICRO_REGISTRY_AUTH_PASSWORD", "hidden")],
            "registry.username: must be set, because registry.password is set; use for example sse",
        ),
        (
            "tracing: {type: otlp_grpc, collector: 'a:4318'}",
            &[TRACING],
            "tracing.endpoint: must be set, because tracing.type is otlp_grpc, which does not use tracing.collector; \
             use for example 127.0.0.1:4317",
        ),
        (
            "tracing: {type: otlp_http, endpoint: 'a:4317'}",
            &[TRACING],
            "tracing.collector: must be set, because tracing.type is otlp_http; use for example http://127.0.0.1:4318",
        ),
        // Numbers and booleans whose notation would be lost.
        ("events: {username: 1e5}", &[], "FILE, events.username: \"100000\" must be in quotes"),
        ("events: {username: 0x1F}", &[], "FILE, events.username: \"31\" must be in quotes"),
        ("events: {username: True}", &[], "FILE, events.username: \"true\" must be in quotes"),
        ("registry: {service_name: 1.0}", &[], "FILE, registry.service_name: \"1\" must be in quotes"),
        ("log: {file: 007e1}", &[], "FILE, log.file: \"70\" must be in quotes"),
        ("debug: {token: 1e5}", &[], "FILE, debug.token: must be in quotes"),
        // Origins that browsers do not send.
        ("", &[("SSE_CORS_ALLOW_ORIGINS", "https://a.example/")], "has a path, which browsers do not send"),
        ("", &[("SSE_CORS_ALLOW_ORIGINS", "a.example")], "has no scheme"),
        ("", &[("SSE_CORS_ALLOW_ORIGINS", "https://a.example:443")], "has the default port of its scheme"),
        ("", &[("SSE_CORS_ALLOW_ORIGINS", "\"https://a.example\"")], "has no scheme"),
        ("", &[("SSE_CORS_ALLOW_ORIGINS", "https://a.example;https://b.example")], "has a path"),
        ("", &[("SSE_CORS_ALLOW_ORIGINS", "[https://a.example]")], "has no scheme"),
        ("", &[("SSE_CORS_ALLOW_METHODS", "GET;PUT")], "has an invalid method"),
        ("", &[("SSE_CORS_ALLOW_METHODS", "\"GET\"")], "has an invalid method"),
        ("", &[("SSE_CORS_ALLOW_HEADERS", "X-Request-Id X-Other")], "has an invalid header name"),
        // Empty values of settings that need one.
        ("", &[("SSE_SERVICE_NAME", " ")], "SSE_SERVICE_NAME: \" \" is empty"),
        ("", &[("SSE_HTTP_ADDR", "")], "SSE_HTTP_ADDR: \"\" is not an address"),
        ("", &[("SSE_JWT_SECRET", "")], "SSE_JWT_SECRET: is empty"),
        (
            "debug: {token: '${TOKEN}'}",
            &[("TOKEN", "")],
            "FILE, debug.token: refers to a variable that is not set",
        ),
        // Limits of the kernel, of NATS and of browsers.
        ("", &[("SSE_TCP_USER_TIMEOUT", "28h")], "SSE_TCP_USER_TIMEOUT: \"28h\" is too long for the kernel"),
        (
            "",
            &[("SSE_TCP_USER_TIMEOUT", "65534.001s")],
            "is too long for the kernel, which accepts up to 18h12m14s",
        ),
        ("", &[("SSE_SEND_BUFFER", "4GiB")], "SSE_SEND_BUFFER: \"4GiB\" is too large for the kernel"),
        ("", &[("SSE_RETRY", "385h")], "SSE_RETRY: \"385h\" is too long for browsers"),
        ("", &[("SSE_DRAIN_RATE", "0")], "SSE_DRAIN_RATE: \"0\" must be at least 1; use for example 20"),
        (
            "",
            &[("SSE_DRAIN_RATE", "20"), ("SSE_RETRY", "0s")],
            "SSE_RETRY: \"0s\" must be longer than 0s with streams.drain_rate",
        ),
        ("", &[("SSE_RESUME_WINDOW", "99ms")], "SSE_RESUME_WINDOW: \"99ms\" is too short for NATS"),
        (
            "",
            &[("EXPERIMENTAL_REGISTER_TTL", "1ms")],
            "EXPERIMENTAL_REGISTER_TTL: \"1ms\" is too short for NATS",
        ),
        ("", &[("SSE_WRITE_TIMEOUT", "8761h")], "SSE_WRITE_TIMEOUT: \"8761h\" is too long"),
        // Addresses.
        ("", &[("OCIS_EVENTS_ENDPOINT", "http://nats:4222")], "\"http\" is neither nats nor tls"),
        ("", &[("OCIS_EVENTS_ENDPOINT", "nats://:hidden@nats")], "\"nats://***@nats\" is not an address"),
        // The rest of the sentence would quote a part of the value, which may be a password.
        (
            "",
            &[("OCIS_EVENTS_ENDPOINT", "nats://user:hidden@nats:port")],
            "\"nats://***@nats:port\" is not an address; use for example ",
        ),
        ("", &[("SSE_RETRY", "3hidden@a")], "SSE_RETRY: \"***@a\" is not a duration; use for example 3s"),
    ];
    for (file, variables, problem) in rows {
        let environment = [SECRET].iter().chain(*variables).copied().collect();
        let found = errors_of(file, &environment);
        assert!(found.len() == 1 && found[0].contains(problem), "{file} {variables:?}: {found:?}");
        assert!(!found[0].contains("hidden"), "{found:?}");
    }
}

#[test]
fn broken_rules_are_reported_with_invalid_values() {
    let environment = [
        ("OCIS_JWT_SECRET", ""),
        ("OCIS_EVENTS_AUTH_PASSWORD", "a"),
        ("MICRO_REGISTRY_AUTH_PASSWORD", "a"),
        ("SSE_TOKEN_COOKIE", "a"),
        ("SSE_RETRY", "a"),
    ];
    let found = errors("", environment);
    let of = [
        "events.username: ",
        "registry.username: ",
        "http.cors.allow_origins: ",
        "OCIS_JWT_SECRET: ",
        "SSE_RETRY: ",
    ];
    assert!(
        found.len() == of.len() && found.iter().zip(of).all(|(found, of)| found.contains(of)),
        "{found:#?}"
    );
}

#[test]
fn variable_without_utf_8_is_error() {
    let no_text = || OsString::from_vec(b"a\xff".to_vec());
    for setting in SETTINGS {
        for name in setting.all_variables() {
            // Settings of a disabled feature are not checked.
            let variables = [("OCIS_JWT_SECRET", SECRET.1.into()), (name.as_str(), no_text())];
            let on = ["OCIS_TRACING_ENABLED", "OCIS_EVENTS_ENABLE_TLS", "OCIS_HTTP_TLS_ENABLED"]
                .map(|switch| (switch, "true".into()));
            let environment = on.into_iter().chain(variables).collect();
            let found = errors_of("", &environment);
            assert_eq!(found, [format!("{name}: is not UTF-8")]);
        }
    }
}

/// Kubernetes sets these for services named `sse`, `sse-http` and `oc`. The last one belongs to the platform.
#[test]
fn variables_of_other_services_are_ignored() {
    let others = [
        ("SSE_SERVICE_HOST", "10.0.0.1"),
        ("SSE_SERVICE_PORT", "80"),
        ("SSE_PORT", "tcp://10.0.0.1:80"),
        ("SSE_PORT_9135_TCP_ADDR", "10.0.0.1"),
        ("SSE_HTTP_SERVICE_HOST", "10.0.0.1"),
        ("SSE_HTTP_PORT", "tcp://10.0.0.1:80"),
        ("OC_SERVICE_HOST", "10.0.0.1"),
        ("OC_PORT", "udp://10.0.0.1:80"),
        ("OCIS_LOG_LEVELS", "a"),
    ];
    let configuration = Configuration::read(None, &others.into_iter().chain([SECRET]).collect());
    let service = configuration.expect("a valid configuration").registry.service_name;
    assert_eq!(service.as_str(), "com.owncloud.sse.sse", "it is not OpenCloud");
}

/// Otherwise an error in a disabled feature would keep the service from starting.
#[test]
fn settings_of_disabled_features_are_not_checked() {
    let rows: &[Variables<'_>] = &[
        &[("OCIS_HTTP_TLS_CERTIFICATE", "/nowhere"), ("OCIS_HTTP_TLS_ENABLED", "false")],
        &[("OCIS_HTTP_TLS_KEY_FILE", "/nowhere")],
        &[("OCIS_EVENTS_TLS_ROOT_CA_CERTIFICATE", "/nowhere"), ("OCIS_INSECURE", "perhaps")],
        &[("OCIS_TRACING_TYPE", "zipkin"), ("OCIS_TRACING_ENDPOINT", "nowhere")],
        &[("OCIS_TRACING_COLLECTOR", "http://jaeger:14268/api/traces"), ("OCIS_TRACING_ENABLED", "")],
        &[
            ("MICRO_REGISTRY", "memory"),
            ("MICRO_REGISTRY_ADDRESS", "http://nowhere"),
            ("MICRO_REGISTRY_AUTH_PASSWORD", "a"),
            ("SSE_HTTP_ADVERTISE_ADDR", "nowhere"),
        ],
    ];
    for variables in rows {
        let environment = [SECRET].iter().chain(*variables).copied().collect();
        let configuration = Configuration::read(None, &environment);
        let configuration = configuration.unwrap_or_else(|errors| panic!("{variables:?}: {errors}"));
        assert_eq!(configuration.tls.cert, None);
        assert_eq!(configuration.events.tls_root_ca_certificate, None);
        assert!(!configuration.events.tls_insecure);
    }
}

/// The name of a file may contain a line break, which must not end the comment in the printed settings.
#[test]
fn file_name_stays_on_its_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a\nlog: {level: trace}\u{2028}b");
    std::fs::write(&path, "b").expect("written");
    let path = path.to_str().expect("Unicode");
    let environment = [SECRET, ("SSE_SERVICE_NAME_FILE", path)].into();
    let configuration = Configuration::read(None, &environment).expect("a valid configuration");
    let printed = configuration.effective.to_string();
    let again = with_file(&printed, |path| Configuration::read(Some(path), &[SECRET].into()));
    assert_eq!(again.expect("a valid configuration").registry.service_name, "b", "{printed}");
}
