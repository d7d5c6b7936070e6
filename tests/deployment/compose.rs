//! The compose files run the service with valid settings, beside a platform that leaves its own service out.

use std::collections::BTreeSet;

use figment::providers::{Format as _, Yaml};
use ocis_sse::configuration::{Address, Configuration, Environment, SETTINGS, Setting};
use serde_json::{Value, json};

use crate::DOCKERFILE;

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/compose");

/// A directory with a compose file, and the platform that it is for.
struct Example {
    directory: &'static str,
    /// The name of the platform in the compose file.
    platform: &'static str,
    /// The variable that excludes services of the platform.
    excludes: &'static str,
    /// The service name that the platform's proxy looks for.
    service_name: &'static str,
}

const EXAMPLES: [Example; 2] = [
    Example {
        directory: "infinite-scale",
        platform: "ocis",
        excludes: "OCIS_EXCLUDE_RUN_SERVICES",
        service_name: "com.owncloud.sse.sse",
    },
    Example {
        directory: "opencloud",
        platform: "opencloud",
        excludes: "OC_EXCLUDE_RUN_SERVICES",
        service_name: "eu.opencloud.sse.sse",
    },
];

impl Example {
    fn file(&self, name: &str) -> String {
        let path = format!("{DIRECTORY}/{}/{name}", self.directory);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Returns the platform and ocis-sse as compose starts them.
    fn services(&self) -> [Value; 2] {
        let mut file: Value = Yaml::from_str(&self.file("compose.yaml")).expect("YAML");
        interpolate(&mut file);
        [self.platform, "ocis-sse"].map(|name| file["services"][name].take())
    }
}

/// Replaces `${NAME:-default}` by the default, and `${NAME:?message}` by a value.
fn interpolate(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((before, expression)) = text.split_once("${") {
                let (expression, after) = expression.split_once('}').expect("its end");
                let default = expression.split_once(":-").map(|(_, default)| default);
                let replacement = default.unwrap_or("a secret of at least thirty-two bytes");
                *text = format!("{before}{replacement}{after}");
            }
        }
        Value::Array(values) => values.iter_mut().for_each(interpolate),
        Value::Object(fields) => fields.values_mut().for_each(interpolate),
        _ => {}
    }
}

/// Returns the settings of the image.
fn image_settings() -> Vec<(&'static str, &'static str)> {
    let assignments = DOCKERFILE.split_whitespace().filter_map(|word| word.split_once('='));
    assignments.filter(|(name, _)| name.starts_with("SSE_")).collect()
}

/// Returns the configuration with which the image runs in a container with these variables.
fn configuration(service: &Value) -> Configuration {
    let variables = service["environment"].as_object().expect("its variables");
    let variables = variables.iter().map(|(name, value)| (name.as_str(), value.as_str().expect("a text")));
    let environment: Environment = image_settings().into_iter().chain(variables).collect();
    Configuration::read(None, &environment).expect("no error")
}

fn port(address: &str) -> &str {
    address.rsplit_once(':').expect("a port").1
}

#[test]
fn variables_are_settings() {
    let known: BTreeSet<_> = SETTINGS.iter().flat_map(Setting::all_variables).collect();
    for example in EXAMPLES {
        let [_, service] = example.services();
        for name in service["environment"].as_object().expect("its variables").keys() {
            assert!(known.contains(name), "{}: {name} is no setting", example.directory);
        }
    }
}

#[test]
fn service_reads_events_of_the_platform_and_registers_there() {
    for example in EXAMPLES {
        let [platform, service] = example.services();
        assert_eq!(platform["environment"][example.excludes], "sse", "{}", example.directory);
        let configuration = configuration(&service);
        assert_eq!(configuration.registry.service_name, example.service_name);
        let nats_port = platform["environment"]["NATS_NATS_PORT"].as_str().expect("a port");
        let nats = format!("nats://{}:{nats_port}", example.platform);
        let registry = configuration.registry.address.expect("an address");
        for server in configuration.events.endpoint.iter().chain(&registry) {
            assert_eq!(server.url(), nats);
        }
        // The platform registers its services in the same NATS.
        let own_registry = platform["environment"]["MICRO_REGISTRY_ADDRESS"].as_str().expect("an address");
        assert_eq!(port(own_registry), nats_port);
    }
}

#[test]
fn secret_and_settings_are_those_of_the_platform() {
    for example in EXAMPLES {
        let [platform, service] = example.services();
        let secrets: Vec<_> = ["OCIS_JWT_SECRET", "OC_JWT_SECRET"]
            .into_iter()
            .filter(|name| platform["environment"].get(name).is_some())
            .collect();
        assert_eq!(secrets.len(), 1, "{}", example.directory);
        assert_eq!(platform["environment"][secrets[0]], service["environment"][secrets[0]]);
    }
}

/// Compose refuses a file whose required variable is missing, and uses defaults for the others.
#[test]
fn example_lists_the_variables_of_the_compose_file() {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for example in EXAMPLES {
        let compose = example.file("compose.yaml");
        let used: BTreeSet<_> =
            compose.split("${").skip(1).filter_map(|rest| rest.split(|c| !is_name(c)).next()).collect();
        let listed = example.file(".env.example");
        let assignments = listed.lines().filter(|line| !line.starts_with('#'));
        let listed: BTreeSet<_> = assignments.filter_map(|line| Some(line.split_once('=')?.0)).collect();
        assert_eq!(used, listed, "{}", example.directory);
    }
}

#[test]
fn container_matches_the_image() {
    let instructions = DOCKERFILE.replace("\\\n", " ");
    let (_, health) = instructions.split_once("\nHEALTHCHECK ").expect("a health check");
    let (_, health) = health.split_once("CMD ").expect("its command");
    let command: Vec<String> = serde_json::from_str(health.lines().next().expect("a line")).expect("a list");
    let exposed = instructions.lines().find_map(|line| line.strip_prefix("EXPOSE ")).expect("the ports");
    for example in EXAMPLES {
        let [_, service] = example.services();
        let configuration = configuration(&service);
        let [streams, debug] = [&configuration.http.addr, &configuration.debug.addr].map(Address::to_string);
        let [streams, debug] = [port(&streams), port(&debug)];
        assert_eq!(exposed, format!("{streams} {debug}"));
        // The port of the streams is for the platform's proxy only, which is on the same network.
        assert_eq!((&service["expose"], service.get("ports")), (&json!([debug]), None));
        let test: Vec<String> =
            serde_json::from_value(service["healthcheck"]["test"].clone()).expect("a list");
        assert_eq!(test, [&["CMD".to_owned()], &*command].concat());
        let grace = service["stop_grace_period"].as_str().and_then(|time| time.strip_suffix('s'));
        let grace: u64 = grace.and_then(|seconds| seconds.parse().ok()).expect("seconds");
        assert!(grace > configuration.streams.drain_timeout.0.as_secs(), "{grace}");
        let context = format!(
            "{DIRECTORY}/{}/{}",
            example.directory,
            service["build"]["context"].as_str().expect("a path")
        );
        let dockerfile = service["build"]["dockerfile"].as_str().expect("a path");
        assert_eq!(std::fs::read_to_string(format!("{context}/{dockerfile}")).expect("the file"), DOCKERFILE);
    }
}
