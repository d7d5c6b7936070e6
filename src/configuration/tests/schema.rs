use figment::value::Value as Scalar;
use serde_json::Value;

use super::{super::schema::schema, *};
use crate::configuration::{Defaults, yaml::Node};

const COMMITTED: &str = include_str!("../../../deploy/sse.schema.json");

/// Values that a file may have, in YAML.
const VALUES: [&str; 34] = [
    "''",
    "text",
    "'1'",
    "1",
    "0",
    "-1",
    "1.5",
    "1e5",
    "true",
    "'true'",
    "'False'",
    "yes",
    "info",
    "'INFO'",
    "otlp",
    "30s",
    "'1m30s'",
    "'30'",
    "'+5s'",
    "'.5s'",
    "'-0s'",
    "' 5s '",
    "64KiB",
    "'1 GB'",
    "[a, b]",
    "['https://a.example', '*']",
    "[]",
    "'${NAME}'",
    "'${NAME|5s}'",
    "null",
    "127.0.0.1:80",
    "'127.0.0.1:4222,127.0.0.2'",
    "'007'",
    "nats-js-kv",
];

fn validator() -> jsonschema::Validator {
    jsonschema::draft7::new(&schema()).expect("a schema")
}

/// Returns a file as an editor reads it.
fn document(yaml: &str) -> Value {
    fn of(node: Node) -> Value {
        match node {
            Node::Value(value) => of_value(value),
            Node::Group(nodes) => nodes.into_iter().map(|(name, node)| (name, of(node))).collect(),
        }
    }
    fn of_value(value: Scalar) -> Value {
        match value {
            Scalar::Array(_, values) => values.into_iter().map(of_value).collect(),
            Scalar::Empty(..) => Value::Null,
            value => serde_json::to_value(value).expect("JSON"),
        }
    }
    of(Node::parse(yaml).unwrap_or_else(|error| panic!("{error}: {yaml}")))
}

/// Returns a file with one setting.
fn with(key: &str, value: &str) -> String {
    let groups: Vec<_> = key.split('.').collect();
    let (start, end): (String, String) =
        (groups.iter().flat_map(|group| ["{", group, ": "]).collect(), "}".repeat(groups.len()));
    format!("{start}{value}{end}")
}

#[test]
fn committed_schema_is_current() {
    let current: Value = serde_json::from_str(&Schema.to_string()).expect("JSON");
    let committed: Value = serde_json::from_str(COMMITTED).unwrap_or_default();
    assert!(
        current == committed,
        "deploy/sse.schema.json is stale; renew it with: cargo run -- config --schema > deploy/sse.schema.json"
    );
}

#[test]
fn defaults_match_the_schema() {
    let defaults = Defaults.to_string();
    assert!(defaults.starts_with("# yaml-language-server: $schema=sse.schema.json\n"));
    let errors: Vec<_> =
        validator().iter_errors(&document(&defaults)).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0]);
}

#[test]
fn schema_accepts_what_the_program_accepts() {
    let validator = validator();
    // Every feature is on, because the settings of a feature that is off are not checked.
    let switches = ["OCIS_TRACING_ENABLED", "OCIS_EVENTS_ENABLE_TLS", "OCIS_HTTP_TLS_ENABLED"]
        .map(|name| (name, "true"));
    let mut accepted = 0;
    for setting in SETTINGS {
        // A variable would hide the value of the file.
        let variables = [SECRET, ("NAME", "5s")].into_iter().chain(switches);
        let environment = variables.filter(|(name, _)| !setting.variables.contains(name)).collect();
        let example = format!("'{}'", setting.example.replace('\'', "''"));
        for value in VALUES.iter().copied().chain([example.as_str()]) {
            let file = with(setting.key, value);
            let errors = with_file(&file, |path| {
                Configuration::read(Some(path), &environment).err().map(|errors| errors.0).unwrap_or_default()
            });
            if !errors.iter().any(|error| error.location.ends_with(setting.key)) {
                accepted += 1;
                let document = document(&file);
                assert!(validator.is_valid(&document), "{file}: {:?}", validator.validate(&document));
            }
        }
    }
    assert!(accepted > SETTINGS.len() * 5, "{accepted}");
}

#[test]
fn schema_rejects_common_mistakes() {
    let validator = validator();
    for file in [
        "htp: {}",
        "http: {adr: '127.0.0.1:80'}",
        "http: text",
        "log: {level: loud}",
        "log: {pretty: maybe}",
        "keepalive_interval: 30",
        "keepalive_interval: 30d",
        "history: {max_bytes: 1 potato}",
        "limits: {max_connections_per_user: 0}",
        "events: {password: 1}",
    ] {
        assert!(!validator.is_valid(&document(file)), "{file}");
    }
}
