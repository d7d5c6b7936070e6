use std::{io::Write as _, path::PathBuf, time::Duration};

use domain::origin::AllowedOrigin;
use tracing::Level;

use super::*;

mod errors;
mod files;
mod platform;
mod reload;
mod schema;

type Variables<'a> = &'a [(&'a str, &'a str)];

const SECRET: (&str, &str) = ("OCIS_JWT_SECRET", "a secret of at least thirty-two bytes");

fn with_file<T>(text: &str, check: impl FnOnce(PathBuf) -> T) -> T {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    check(file.path().to_owned())
}

/// Returns the errors of a file and an environment, with the path of the file replaced by `FILE`.
fn errors<const N: usize>(file: &str, variables: [(&str, &str); N]) -> Vec<String> {
    errors_of(file, &variables.into())
}

fn errors_of(file: &str, environment: &Environment) -> Vec<String> {
    with_file(file, |path| {
        let location = path.display().to_string();
        let errors = Configuration::read(Some(path), environment).expect_err("errors");
        errors.0.iter().map(|error| error.to_string().replace(&location, "FILE")).collect()
    })
}

#[test]
fn only_secret_is_required() {
    let configuration =
        Configuration::read(None, &[SECRET, ("HOME", "/nowhere")].into()).expect("a valid configuration");
    assert_eq!(configuration.http.addr.to_string(), "127.0.0.1:9135");
    assert_eq!(configuration.history.max_bytes, Bytes(256 << 20));
    assert_eq!(configuration.keepalive.interval, GoDuration(Duration::ZERO));
    assert_eq!(configuration.cors.allow_headers.len(), 8);

    assert_eq!(
        errors("", []),
        [
            "OCIS_JWT_SECRET, OC_JWT_SECRET, SSE_JWT_SECRET or token_manager.jwt_secret: is required but not set (Secret \
          with which the platform signs its tokens; at least 32 bytes); use the text that the \
          platform's other services have in OCIS_JWT_SECRET"
        ]
    );
}

#[test]
fn defaults_are_those_of_settings() {
    let configuration = Configuration::defaults(SECRET.1).expect("valid defaults");
    assert_eq!(configuration.token_manager.jwt_secret.reveal(), SECRET.1);
    let shown = configuration.effective.to_string();
    let values = shown.lines().filter_map(|line| line.split_once(" # "));
    let (defaults, others): (Vec<_>, Vec<_>) = values.partition(|(_, source)| *source == "default");
    assert_eq!(others, [("  jwt_secret: \"***\"", "SSE_JWT_SECRET")]);
    assert_eq!(defaults.len(), SETTINGS.len() - 1);
}

#[test]
fn last_variable_overrides_others_and_file() {
    let level = |file: &str, variables: &[(&str, &str)]| {
        with_file(file, |path| {
            let environment = variables.iter().copied().chain([SECRET]).collect();
            Configuration::read(Some(path), &environment).expect("a valid configuration").log.level.0
        })
    };
    let (ocis, oc, sse) = (("OCIS_LOG_LEVEL", "warn"), ("OC_LOG_LEVEL", "info"), ("SSE_LOG_LEVEL", "debug"));
    assert_eq!(level("", &[]), Level::ERROR);
    assert_eq!(level("log: {level: trace}", &[]), Level::TRACE);
    assert_eq!(level("log: {level: trace}", &[ocis]), Level::WARN);
    assert_eq!(level("", &[oc, ocis]), Level::INFO);
    assert_eq!(level("", &[sse, oc, ocis]), Level::DEBUG);
}

/// The built-in service of Infinite Scale does not read all of these variables, but the charts of both platforms set them.
#[test]
fn tls_insecure_has_variables_of_both_platforms() {
    let insecure = |variables: &[(&str, &str)]| {
        let tls = ("SSE_EVENTS_ENABLE_TLS", "true");
        let environment = variables.iter().copied().chain([SECRET, tls]).collect();
        Configuration::read(None, &environment).expect("a valid configuration").events.tls_insecure
    };
    let open_cloud = ("OC_EVENTS_TLS_INSECURE", "true");
    assert!(!insecure(&[]));
    assert!(insecure(&[("OCIS_INSECURE", "true")]));
    assert!(insecure(&[open_cloud, ("OC_INSECURE", "false")]));
    assert!(insecure(&[("OCIS_EVENTS_TLS_INSECURE", "true"), ("OCIS_INSECURE", "false")]));
    assert!(!insecure(&[open_cloud, ("SSE_EVENTS_TLS_INSECURE", "false")]));
}

#[test]
fn file_may_have_variables_and_lists() {
    let file = "
log:
keepalive_interval:
http:
  addr: \"${HOST}:80\"
  cors: {allow_origins: [\"https://${HOST}\", https://b.example]}
history: {max_bytes: 1MiB}
token_manager: {jwt_secret: '${OCIS_JWT_SECRET}'}
";
    let configuration = with_file(file, |path| {
        Configuration::read(Some(path), &[SECRET, ("HOST", "a.example")].into())
            .expect("a valid configuration")
    });
    assert_eq!(configuration.http.addr.to_string(), "a.example:80");
    let origins = ["https://a.example", "https://b.example"].map(AllowedOrigin::try_new);
    assert_eq!(configuration.cors.allow_origins.into_iter().map(Ok).collect::<Vec<_>>(), origins);
    assert_eq!(configuration.history.max_bytes, Bytes(1 << 20));
    assert_eq!(configuration.token_manager.jwt_secret.reveal(), SECRET.1);
}

#[test]
fn all_errors_are_reported_with_location_and_example() {
    let file = "
htp: {addr: 'a:1'}
http: {adr: 'a:1', root: ['/a', '/b']}
log: {level: loud}
history: 5
debug: {addr: '${NOT_SET}:1'}
token_manager: {jwt_secret: ''}
debug.addr: 'a:1'
events: {endpoint: 'nats://user:hidden@a:b', password: 12345678}
";
    let environment = [("SSE_KEEPALIVE_INTERVAL", "30")];
    assert_eq!(
        errors(file, environment),
        [
            "FILE, debug.addr: refers to the variable NOT_SET, which is not set",
            "FILE, debug.addr: is a key with a dot; write the name of the group, and the setting below it",
            "FILE, history: must be a group of settings, not a value",
            "FILE, htp: is not a setting; use http",
            "FILE, http.adr: is not a setting; use http.addr",
            "FILE, log.level: \"loud\" is not a log level (panic, fatal, error, warn, info, debug, trace); use for example info",
            "SSE_KEEPALIVE_INTERVAL: \"30\" is not a duration: it has no unit (ms, s, m, h); use for example 30s",
            "FILE, events.endpoint: \"nats://***@a:b\" is not an address; use for example 127.0.0.1:9233",
            "FILE, events.password: must be in quotes; use that user's password",
            "FILE, http.root: \"/a,/b\" must be one value, not a list; use for example /",
            "FILE, token_manager.jwt_secret: is empty; use the text that the platform's other services have in \
             OCIS_JWT_SECRET",
        ]
    );
}

#[test]
fn limits_must_be_at_least_one() {
    let environment = [SECRET, ("SSE_MAX_CONNECTIONS_PER_USER", "0")];
    assert_eq!(
        errors("", environment),
        ["SSE_MAX_CONNECTIONS_PER_USER: \"0\" must be at least 1; use for example 64"]
    );
    assert_eq!(
        errors("limits: {max_connections: 0}", [SECRET]),
        ["FILE, limits.max_connections: \"0\" must be at least 1; use for example 10000"]
    );
}

#[test]
fn token_cookie_needs_listed_origins() {
    assert_eq!(
        errors("", [SECRET, ("SSE_TOKEN_COOKIE", "token")]),
        [
            "OCIS_CORS_ALLOW_ORIGINS, OC_CORS_ALLOW_ORIGINS, SSE_CORS_ALLOW_ORIGINS or http.cors.allow_origins: \"*\" allows \
          all origins, but http.cors.token_cookie needs a list of origins; use for example \
          https://cloud.example.org"
        ]
    );
    let named =
        [SECRET, ("SSE_TOKEN_COOKIE", "token"), ("SSE_CORS_ALLOW_ORIGINS", "https://a.example")].into();
    let cookie = Configuration::read(None, &named).expect("a valid configuration").cors.token_cookie;
    assert_eq!(cookie.as_ref().map(CookieName::as_str), Some("token"));
}

#[test]
fn unsafe_origin_is_rejected_with_reason() {
    assert_eq!(
        errors("", [SECRET, ("SSE_CORS_ALLOW_ORIGINS", "https://a.example, https://app.example*")]),
        [
            "SSE_CORS_ALLOW_ORIGINS: \"https://a.example, https://app.example*\" cannot be used: in https://app.example*, a * has \
             to stand for whole labels before a domain or for a port, as in https://*.example.org or \
             https://cloud.example.org:*; use for example https://cloud.example.org"
        ]
    );
    let secret = &errors("", [SECRET, ("SSE_CORS_ALLOW_ORIGINS", "https://user:hidden@a.example")])[0];
    assert!(!secret.contains("hidden"), "{secret}");
}

#[test]
fn misplaced_passwords_are_masked() {
    for (variable, value) in [
        ("SSE_SEND_BUFFER", "1http://user:hidden@a.example"),
        ("SSE_KEEPALIVE_INTERVAL", "1user:hidden@a.example"),
        ("SSE_KEEPALIVE_INTERVAL", "1.2.3user:hidden@a.example"),
        ("SSE_MAX_CONNECTIONS", "user:hidden@a.example"),
        ("SSE_HTTP_ADDR", "user:hidden@a.example:1"),
        ("SSE_CORS_ALLOW_ORIGINS", "https://user:hidden@a.example"),
        ("SSE_EVENTS_ENDPOINT", "nats://user:hid?den@a.example:x"),
    ] {
        let error = &errors("", [SECRET, (variable, value)])[0];
        assert!(!error.contains("hidden") && error.contains("a.example"), "{error}");
    }
}

#[test]
fn certificate_needs_key() {
    const TLS: (&str, &str) = ("OCIS_HTTP_TLS_ENABLED", "true");
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
    with_file(&made.cert.pem(), |certificate| {
        let certificate = certificate.to_str().expect("Unicode");
        assert_eq!(
            errors("", [SECRET, TLS, ("OCIS_HTTP_TLS_CERTIFICATE", certificate)]),
            [
                "OCIS_HTTP_TLS_KEY, OC_HTTP_TLS_KEY or http.tls.key: must be set, because http.tls.cert is set; \
              use for example /etc/ocis/sse.key"
            ]
        );
    });
    let missing = &errors("", [SECRET, TLS, ("OCIS_HTTP_TLS_KEY", "/nowhere")])[0];
    assert!(missing.starts_with("OCIS_HTTP_TLS_KEY: \"/nowhere\" cannot be read: "), "{missing}");
}

#[test]
fn invalid_or_missing_file_is_error() {
    let problem = &errors("log: [", [SECRET])[0];
    assert!(problem.starts_with("FILE: is not valid YAML: "), "{problem}");
    let other_form = errors("OCIS_JWT_SECRET=hidden", [SECRET]);
    assert_eq!(other_form, ["FILE: has no keys with values such as `log: {level: info}`"]);
    let missing =
        Configuration::read(Some("/nowhere/sse.yaml".into()), &[SECRET].into()).expect_err("an error");
    assert!(missing.to_string().contains("/nowhere/sse.yaml: cannot be read: "), "{missing}");
}

#[test]
fn file_is_found_in_directories_of_platform() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("sse.yaml"), "log: {level: trace}").expect("written");
    let config_dir = directory.path().to_str().expect("Unicode");
    for variable in ["OCIS_CONFIG_DIR", "OC_CONFIG_DIR"] {
        let configuration = Configuration::read(None, &[SECRET, (variable, config_dir)].into())
            .expect("a valid configuration");
        assert_eq!(configuration.log.level.0, Level::TRACE, "{variable}");
    }
    let home = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(home.path().join(".ocis/config")).expect("made");
    std::fs::rename(directory.path().join("sse.yaml"), home.path().join(".ocis/config/sse.yaml"))
        .expect("moved");
    let home = home.path().to_str().expect("Unicode").to_owned();
    let configuration =
        Configuration::read(None, &[SECRET, ("HOME", &home)].into()).expect("a valid configuration");
    assert_eq!(configuration.log.level.0, Level::TRACE);
}

#[test]
fn settings_are_unique_and_complete() {
    for (position, setting) in SETTINGS.iter().enumerate() {
        assert!(SETTINGS[..position].iter().all(|other| other.key != setting.key), "{} twice", setting.key);
        assert!(!setting.variables.is_empty() && !setting.meaning.is_empty(), "{}", setting.key);
    }
    let variables: Vec<_> = SETTINGS[0].all_variables().collect();
    assert_eq!(variables, ["OCIS_LOG_LEVEL", "OC_LOG_LEVEL", "SSE_LOG_LEVEL"]);
}

#[test]
fn settings_page_is_current() {
    let code = |text: &str| format!("`{text}`");
    let rows = SETTINGS.iter().map(|setting| {
        let variables: Vec<_> = setting.variables.iter().map(|name| code(name)).collect();
        let default = match setting.default {
            None => "required".to_owned(),
            Some("") => "none".to_owned(),
            Some(default) => code(default),
        };
        let Setting { key, meaning, .. } = setting;
        let change = if setting.reloadable { "SIGHUP" } else { "restart" };
        format!("| `{key}` | {} | {default} | {change} | {meaning} |\n", variables.join(" "))
    });
    let table: String = rows.collect();
    let page = include_str!("../../docs/settings.md");
    assert!(
        page.contains(&format!("| --- | --- | --- | --- | --- |\n{table}<!-- end of settings -->")),
        "the table of docs/settings.md is stale; its rows are now:\n{table}"
    );
}

#[test]
fn printed_settings_have_sources_and_masked_secrets() {
    let file = "http: {addr: '127.0.0.1:80', cors: {allow_origins: ['https://a.example', '*']}}";
    let printed = with_file(file, |path| {
        let environment = [
            SECRET,
            ("SSE_KEEPALIVE_INTERVAL", "30s"),
            ("OC_EVENTS_AUTH_USERNAME", "user"),
            ("OC_EVENTS_AUTH_PASSWORD", "hidden"),
            ("OCIS_TRACING_ENABLED", "true"),
            ("OCIS_TRACING_COLLECTOR", "http://a.example:4318/v1/traces?key=hidden"),
        ]
        .into();
        let configuration =
            Configuration::read(Some(path.clone()), &environment).expect("a valid configuration");
        configuration.effective.to_string().replace(&path.display().to_string(), "FILE")
    });
    for line in [
        "log:\n  level: error # default\n",
        "\n  collector: \"http://a.example:4318/v1/traces?***\" # OCIS_TRACING_COLLECTOR\n",
        "\nkeepalive_interval: 30s # SSE_KEEPALIVE_INTERVAL\n",
        "\n  password: \"***\" # OC_EVENTS_AUTH_PASSWORD\n",
        "\nhttp:\n  addr: 127.0.0.1:80 # FILE\n",
        "\n  cors:\n    allow_origins: \"https://a.example,*\" # FILE\n",
        "\ntoken_manager:\n  jwt_secret: \"***\" # OCIS_JWT_SECRET\n",
    ] {
        assert!(printed.contains(line), "{line:?} is not in\n{printed}");
    }
    assert!(!printed.contains("hidden") && !printed.contains(SECRET.1), "{printed}");
}

#[test]
fn printed_settings_can_be_read_again() {
    let read = |text: &str| {
        with_file(text, |path| {
            let configuration =
                Configuration::read(Some(path), &[SECRET].into()).expect("a valid configuration");
            let printed = configuration.effective.to_string();
            // Without the comments, because the source of every value is now the file.
            let lines: Vec<_> =
                printed.lines().map(|line| line.split(" # ").next().map(str::to_owned)).collect();
            (printed, lines)
        })
    };
    let (defaults, values) = read("");
    assert_eq!(read(&defaults).1, values);
    assert_eq!(read(&Defaults.to_string()).1, values);
}

#[test]
fn printed_values_keep_every_character() {
    let every_character = "\0\t\r \u{7f}\u{80}\u{85}\u{9f}\u{a0}é\u{2028}\u{2029}\u{d7ff}\u{e000}\u{feff}\u{fffd}\u{fffe}\u{ffff}🦀";
    for character in every_character.chars() {
        let name = format!("a{character}b");
        let environment = [SECRET, ("SSE_SERVICE_NAME", name.as_str())].into_iter().collect();
        let configuration = Configuration::read(None, &environment).expect("a valid configuration");
        let printed = configuration.effective.to_string();
        let again = with_file(&printed, |path| Configuration::read(Some(path), &[SECRET].into()));
        assert_eq!(again.expect("a valid configuration").registry.service_name, name, "{printed}");
    }
}
