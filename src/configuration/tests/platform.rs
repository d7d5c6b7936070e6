//! Compatibility with the configuration of the platform.

use super::*;

/// Returns the printed settings of a file and variables, without indentation and with the path of the file replaced by `FILE`.
fn printed(file: &str, variables: Variables<'_>) -> Vec<String> {
    with_file(file, |path| {
        let location = path.display().to_string();
        let environment = [SECRET].iter().chain(variables).copied().collect();
        let configuration = Configuration::read(Some(path), &environment);
        let configuration = configuration.unwrap_or_else(|errors| panic!("{variables:?} {file}: {errors}"));
        let printed = configuration.effective.to_string().replace(&location, "FILE");
        printed.lines().map(|line| line.trim_start().to_owned()).collect()
    })
}

#[test]
fn platform_notations_are_accepted() {
    let rows: &[(&str, Variables<'_>, &str)] = &[
        ("log: {level: info}", &[], "level: info # FILE"),
        ("loglevel: info", &[], "level: info # FILE"),
        ("loglevel: info", &[("SSE_LOG_LEVEL", "warn")], "level: warn # SSE_LOG_LEVEL"),
        ("keepalive_interval: ${NONE|30s}", &[], "keepalive_interval: 30s # FILE"),
        ("keepalive_interval: ${ SET | 30s }", &[("SET", "40s")], "keepalive_interval: 40s # FILE"),
        ("", &[("SSE_KEEPALIVE_INTERVAL", "+5s")], "keepalive_interval: \"+5s\" # SSE_KEEPALIVE_INTERVAL"),
        ("events: {username: '1e5'}", &[], "username: \"1e5\" # FILE"),
        ("", &[("MICRO_REGISTRY", "natsjs")], "kind: natsjs # MICRO_REGISTRY"),
        ("", &[("MICRO_REGISTRY", "etcd")], "kind: etcd # MICRO_REGISTRY"),
        ("", &[("OCIS_EVENTS_ENDPOINT", "nats")], "endpoint: nats # OCIS_EVENTS_ENDPOINT"),
        (
            "",
            &[("OCIS_EVENTS_ENDPOINT", "nats://user:hidden@nats:4222/,tls://user:hidden@b")],
            "endpoint: \"nats://***@nats:4222/,tls://***@b\" # OCIS_EVENTS_ENDPOINT",
        ),
        (
            "",
            &[("OCIS_EVENTS_ENDPOINT", "hidden,user:hidden@b")],
            "endpoint: \"***,***@b\" # OCIS_EVENTS_ENDPOINT",
        ),
        (
            "",
            &[("MICRO_REGISTRY", "memory"), ("MICRO_REGISTRY_ADDRESS", "http://user:hidden@b")],
            "address: \"***@b\" # MICRO_REGISTRY_ADDRESS",
        ),
        ("", &[("OCIS_TRACING_ENDPOINT", "user:hidden@b")], "endpoint: \"***@b\" # OCIS_TRACING_ENDPOINT"),
    ];
    for (file, variables, line) in rows {
        let printed = printed(file, variables);
        assert!(printed.iter().any(|printed| printed == line), "{line} is not in {printed:#?}");
        assert!(!printed.iter().any(|line| line.contains("hidden")), "{printed:#?}");
    }
}

/// An empty variable sets a string. For a value of another type it is ignored, so that the file or the default applies.
#[test]
fn empty_variable_means_same_as_on_platform() {
    let file = "
log: {level: info, pretty: true, file: /dev/null}
debug: {token: a}
keepalive_interval: 30s
events: {username: a}
http: {root: /a, cors: {allow_methods: [GET]}}
limits: {max_connections: 5}
";
    let rows: &[(&str, &str, &str)] = &[
        ("SSE_LOG_LEVEL", "OCIS_LOG_LEVEL=warn", "level: info # FILE"),
        ("SSE_LOG_PRETTY", "OCIS_LOG_PRETTY=false", "pretty: true # FILE"),
        ("SSE_LOG_FILE", "OCIS_LOG_FILE=b", "file: \"\" # SSE_LOG_FILE"),
        ("SSE_DEBUG_TOKEN", "", "token: \"\" # SSE_DEBUG_TOKEN"),
        ("SSE_KEEPALIVE_INTERVAL", "", "keepalive_interval: 30s # FILE"),
        (
            "SSE_EVENTS_AUTH_USERNAME",
            "OCIS_EVENTS_AUTH_USERNAME=b",
            "username: \"\" # SSE_EVENTS_AUTH_USERNAME",
        ),
        ("SSE_HTTP_ROOT", "", "root: \"\" # SSE_HTTP_ROOT"),
        ("SSE_CORS_ALLOW_METHODS", "OCIS_CORS_ALLOW_METHODS=PUT", "allow_methods: GET # FILE"),
        ("SSE_MAX_CONNECTIONS", "", "max_connections: 5 # FILE"),
        ("SSE_REPLACE_STREAMS", "", "replace: true # default"),
        ("MICRO_REGISTRY", "", "kind: nats-js-kv # default"),
        ("MICRO_REGISTRY_ADDRESS", "", "address: \"\" # MICRO_REGISTRY_ADDRESS"),
    ];
    for (empty, other, line) in rows {
        let printed = printed(file, &[(empty, ""), other.split_once('=').unwrap_or(("OTHER", ""))]);
        assert!(printed.iter().any(|printed| printed == line), "{line} is not in {printed:#?}");
    }
}

/// A setting of the built-in service that has no meaning here.
#[test]
fn name_of_nats_cluster_is_ignored() {
    let printed =
        printed("events: {cluster: a}", &[("SSE_EVENTS_CLUSTER", "b"), ("OCIS_EVENTS_CLUSTER", "c")]);
    assert!(!printed.iter().any(|line| line.contains("cluster")), "{printed:#?}");
}

#[test]
fn each_variable_can_be_read_from_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("value");
    let value = path.to_str().expect("Unicode");
    for setting in SETTINGS {
        // The example turns some features on or off, so that settings that belong together are set together.
        for (position, name) in setting.all_variables().enumerate() {
            if name == SECRET.0 {
                continue;
            }
            let (content, shown) = match setting.key {
                "http.tls.cert" | "http.tls.key" | "events.tls_root_ca_certificate" => (value, value),
                key if key.ends_with("password") => ("a b \r\n", "***"),
                _ if setting.secret => (" a secret of at least thirty-two bytes\n\n", "***"),
                _ => (setting.example, setting.example),
            };
            std::fs::write(&path, content).expect("written");
            let file = format!("{name}_FILE");
            let less =
                (position > 0).then(|| (setting.all_variables().next().expect("a variable"), "b".to_owned()));
            let mut variables = vec![(file.as_str(), value)];
            variables.extend(less.as_ref().map(|(name, value)| (name.as_str(), value.as_str())));
            if setting.key.ends_with("password") {
                variables.extend([("SSE_EVENTS_AUTH_USERNAME", "a"), ("MICRO_REGISTRY_AUTH_USERNAME", "a")]);
            }
            if setting.key == "handover.take_over" {
                variables.push(("SSE_HANDOVER_SOCKET", "/a"));
            }
            if setting.key == "http.cors.token_cookie" {
                variables.push(("SSE_CORS_ALLOW_ORIGINS", "https://a.example"));
            }
            let printed = printed("", &variables);
            let line = printed.iter().find(|line| line.ends_with(&format!("# {file} ({value})")));
            let line = line.unwrap_or_else(|| panic!("no {file} in {printed:#?}"));
            assert!(line.contains(shown), "{shown} is not in {line}");
        }
    }
}

#[test]
fn secret_in_file_ends_before_line_break() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("secret");
    let value = path.to_str().expect("Unicode");
    let secret = |variables: Variables<'_>| {
        let environment = variables.iter().copied().collect();
        let configuration = Configuration::read(None, &environment).expect("a valid configuration");
        configuration.token_manager.jwt_secret.reveal().to_owned()
    };
    for content in [" hidden \t", " hidden \t\n", " hidden \t\r\n"] {
        std::fs::write(&path, content).expect("written");
        assert_eq!(secret(&[("OCIS_JWT_SECRET_FILE", value)]), " hidden \t", "{content:?}");
    }
    let file = ("SSE_JWT_SECRET_FILE", value);
    assert_eq!(secret(&[file, ("SSE_JWT_SECRET", "plain")]), "plain");
    assert_eq!(secret(&[file, ("OCIS_JWT_SECRET", "plain")]), " hidden \t");
    // A variable that is overridden is not read.
    assert_eq!(secret(&[("SSE_JWT_SECRET_FILE", "/nowhere"), ("SSE_JWT_SECRET", "plain")]), "plain");
}

#[test]
fn defaults_depend_on_product() {
    let infinite_scale = "service_name: com.owncloud.sse.sse # default";
    let open_cloud = "service_name: eu.opencloud.sse.sse # default for OpenCloud:";
    let rows: &[(Variables<'_>, &str)] = &[
        (&[], infinite_scale),
        (&[("OC_URL", "")], infinite_scale),
        (&[("OCIS_URL", "https://a.example")], infinite_scale),
        (&[("OC_URL", "https://a.example")], &format!("{open_cloud} OC_URL is set")),
        (
            &[("OC_URL", "https://a.example"), ("SSE_SERVICE_NAME", "com.owncloud.sse.sse")],
            "service_name: com.owncloud.sse.sse # SSE_SERVICE_NAME",
        ),
    ];
    for (variables, line) in rows {
        let printed = printed("", variables);
        assert!(printed.iter().any(|printed| printed == line), "{line} is not in {printed:#?}");
    }
}

#[test]
fn file_is_found_in_directories_of_each_product() {
    let home = tempfile::tempdir().expect("a directory");
    let file = |product: &str, level: &str| {
        let directory = home.path().join(product).join("config");
        std::fs::create_dir_all(&directory).expect("made");
        std::fs::write(directory.join("sse.yaml"), format!("log: {{level: {level}}}")).expect("written");
    };
    let read = |variables: Variables<'_>| {
        let home = ("HOME", home.path().to_str().expect("Unicode"));
        let environment = [SECRET, home].iter().chain(variables).copied().collect();
        let configuration = Configuration::read(None, &environment).expect("a valid configuration");
        (configuration.log.level.0, configuration.registry.service_name)
    };
    let open_cloud = "eu.opencloud.sse.sse".to_owned();
    file(".opencloud", "trace");
    assert_eq!(read(&[]), (Level::TRACE, open_cloud.clone()));
    file(".ocis", "info");
    assert_eq!(read(&[]), (Level::INFO, "com.owncloud.sse.sse".into()));
    assert_eq!(read(&[("OC_URL", "https://a.example")]), (Level::TRACE, open_cloud));
}
