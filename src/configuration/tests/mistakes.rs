//! No mistake is passed over.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use super::*;

/// Of a file and variables, what is wrong.
#[test]
fn each_mistake_is_named() {
    const PASSWORD: (&str, &str) = ("OCIS_EVENTS_AUTH_PASSWORD", "hidden");
    const TRACING: (&str, &str) = ("OCIS_TRACING_ENABLED", "true");
    let rows: &[(&str, Variables<'_>, &str)] = &[
        // A key that stands twice: one of both would be dropped.
        ("debug: {token: a, token: b}", &[], "FILE, debug.token: stands twice"),
        ("log: {level: info}\ndebug:\nlog: {pretty: true}", &[], "FILE, log: stands twice"),
        (
            "log: {level: info}\nloglevel: warn",
            &[],
            "FILE, loglevel: is log.level, which stands in the file as well",
        ),
        // A name that is nearly a setting's.
        ("", &[("SSE_DEBUG_TOKN", "a")], "SSE_DEBUG_TOKN: is no setting; right would be: SSE_DEBUG_TOKEN"),
        ("", &[("SSE_JWT_SECRET_FIEL", "a")], "right would be: SSE_JWT_SECRET_FILE"),
        // What counts for nothing.
        ("", &[PASSWORD], "events.username: \"\" is missing: events.password is useless without it"),
        (
            "",
            &[("MICRO_REGISTRY_AUTH_PASSWORD", "hidden")],
            "registry.username: \"\" is missing: registry.password is useless without it",
        ),
        (
            "tracing: {type: otlp_grpc, collector: 'a:4318'}",
            &[TRACING],
            "tracing.endpoint: \"\" is missing: with tracing.type otlp_grpc, tracing.collector does not count",
        ),
        (
            "tracing: {type: otlp_http, endpoint: 'a:4317'}",
            &[TRACING],
            "tracing.collector: \"\" is missing: tracing.type otlp_http needs it",
        ),
        // Numbers and truths that would lose their form.
        ("events: {username: 1e5}", &[], "FILE, events.username: \"100000\" has to stand in quotes"),
        ("events: {username: 0x1F}", &[], "FILE, events.username: \"31\" has to stand in quotes"),
        ("events: {username: True}", &[], "FILE, events.username: \"true\" has to stand in quotes"),
        ("registry: {service_name: 1.0}", &[], "FILE, registry.service_name: \"1\" has to stand in quotes"),
        ("log: {file: 007e1}", &[], "FILE, log.file: \"70\" has to stand in quotes"),
        ("debug: {token: 1e5}", &[], "FILE, debug.token: has to stand in quotes"),
        // Origins that no browser sends.
        ("", &[("SSE_CORS_ALLOW_ORIGINS", "https://a.example/")], "has a path, which browsers leave out"),
        ("", &[("SSE_CORS_ALLOW_ORIGINS", "a.example")], "has no scheme"),
        ("", &[("SSE_CORS_ALLOW_ORIGINS", "https://a.example:443")], "has the port of its scheme"),
        ("", &[("SSE_CORS_ALLOW_ORIGINS", "\"https://a.example\"")], "has no scheme"),
        ("", &[("SSE_CORS_ALLOW_ORIGINS", "https://a.example;https://b.example")], "has a path"),
        ("", &[("SSE_CORS_ALLOW_ORIGINS", "[https://a.example]")], "has no scheme"),
        ("", &[("SSE_CORS_ALLOW_METHODS", "GET;PUT")], "has what is no method"),
        ("", &[("SSE_CORS_ALLOW_METHODS", "\"GET\"")], "has what is no method"),
        ("", &[("SSE_CORS_ALLOW_HEADERS", "X-Request-Id X-Other")], "has what is no name of a header"),
        // Empty where something is needed.
        ("", &[("SSE_SERVICE_NAME", " ")], "SSE_SERVICE_NAME: \" \" is empty"),
        ("", &[("SSE_HTTP_ADDR", "")], "SSE_HTTP_ADDR: \"\" is no address"),
        ("", &[("SSE_JWT_SECRET", "")], "SSE_JWT_SECRET: is empty"),
        (
            "debug: {token: '${TOKEN}'}",
            &[("TOKEN", "")],
            "FILE, debug.token: names a variable that is not set",
        ),
        // What the kernel, NATS or browsers cannot hold.
        ("", &[("SSE_TCP_USER_TIMEOUT", "28h")], "SSE_TCP_USER_TIMEOUT: \"28h\" is too long for the kernel"),
        (
            "",
            &[("SSE_TCP_USER_TIMEOUT", "65534.001s")],
            "is too long for the kernel, which takes up to 18h12m14s",
        ),
        ("", &[("SSE_SEND_BUFFER", "4GiB")], "SSE_SEND_BUFFER: \"4GiB\" is too large for the kernel"),
        ("", &[("SSE_RETRY", "385h")], "SSE_RETRY: \"385h\" is too long for browsers"),
        ("", &[("SSE_RESUME_WINDOW", "99ms")], "SSE_RESUME_WINDOW: \"99ms\" is too short for NATS"),
        (
            "",
            &[("EXPERIMENTAL_REGISTER_TTL", "1ms")],
            "EXPERIMENTAL_REGISTER_TTL: \"1ms\" is too short for NATS",
        ),
        ("", &[("SSE_WRITE_TIMEOUT", "8761h")], "SSE_WRITE_TIMEOUT: \"8761h\" is too long"),
        // Addresses.
        ("", &[("OCIS_EVENTS_ENDPOINT", "http://nats:4222")], "\"http\" is neither nats nor tls"),
        ("", &[("OCIS_EVENTS_ENDPOINT", "nats://:hidden@nats")], "\"nats://***@nats\" is no address"),
    ];
    for (file, variables, wrong) in rows {
        let environment = [SECRET].iter().chain(*variables).copied().collect();
        let found = mistakes_of(file, &environment);
        assert!(found.len() == 1 && found[0].contains(wrong), "{file} {variables:?}: {found:?}");
        assert!(!found[0].contains("hidden"), "{found:?}");
    }
}

#[test]
fn a_variable_that_is_no_text_is_not_passed_over() {
    let no_text = || OsString::from_vec(b"a\xff".to_vec());
    for setting in SETTINGS {
        for name in setting.all_variables() {
            // What turns a feature off hides what belongs to it.
            let variables = [("OCIS_JWT_SECRET", SECRET.1.into()), (name.as_str(), no_text())];
            let on = ["OCIS_TRACING_ENABLED", "OCIS_EVENTS_ENABLE_TLS", "OCIS_HTTP_TLS_ENABLED"]
                .map(|switch| (switch, "true".into()));
            let environment = on.into_iter().chain(variables).collect();
            let found = mistakes_of("", &environment);
            assert_eq!(found, [format!("{name}: is no UTF-8")]);
        }
    }
}

/// Kubernetes sets these beside services of the names `sse`, `sse-http` and `oc`; the last one is the platform's.
#[test]
fn variables_of_others_are_no_mistakes() {
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
    let service = configuration.expect("no mistake").registry.service_name;
    assert_eq!(service.as_str(), "com.owncloud.sse.sse", "it is not OpenCloud");
}

/// One mistake of what is off would keep the service from starting.
#[test]
fn what_is_off_is_not_looked_at() {
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
        let configuration = configuration.unwrap_or_else(|mistakes| panic!("{variables:?}: {mistakes}"));
        assert_eq!(configuration.tls.cert, None);
        assert_eq!(configuration.events.tls_root_ca_certificate, None);
        assert!(!configuration.events.tls_insecure);
    }
}

/// A file's name may have any character; the line of what is printed goes on.
#[test]
fn the_name_of_a_file_stays_in_its_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a\nlog: {level: trace}\u{2028}b");
    std::fs::write(&path, "b").expect("written");
    let path = path.to_str().expect("Unicode");
    let environment = [SECRET, ("SSE_SERVICE_NAME_FILE", path)].into();
    let configuration = Configuration::read(None, &environment).expect("no mistake");
    let printed = configuration.effective.to_string();
    let again = with_file(&printed, |path| Configuration::read(Some(path), &[SECRET].into()));
    assert_eq!(again.expect("no mistake").registry.service_name, "b", "{printed}");
}
