//! The manifests for Kubernetes, as `kubectl` renders them, fit its schemas and the code.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::LazyLock,
    time::Duration,
};

use adapters::inbound::debug::ROUTES;
use ocis_sse::configuration::{Configuration, Environment, SETTINGS, Setting};
use serde_json::{Value, json};

use super::{DOCKERFILE, metrics::metrics, program};

const ADAPTER: &str = include_str!("../../deploy/kubernetes/autoscaling/prometheus-adapter.yaml");

/// The steps of a pod after SIGTERM, besides ending the streams: the source of each timeout with its name.
const TIMEOUTS_AT_THE_END: [(&str, &str); 4] = [
    (include_str!("../../src/use_cases/announce.rs"), "WITHDRAWAL_TIMEOUT"),
    (include_str!("../../adapters/src/outbound/nats/key_value/bookmarks.rs"), "CLOSE_TIMEOUT"),
    (include_str!("../../adapters/src/outbound/nats/subscription.rs"), "CLOSE_TIMEOUT"),
    (include_str!("../../adapters/src/outbound/otlp.rs"), "FLUSH_TIMEOUT"),
];

/// The resources of one folder, by their kinds.
type Resources = BTreeMap<String, Value>;

// Tests run at the same time, and each program is to be fetched once.
static KUBECTL: LazyLock<PathBuf> = LazyLock::new(|| program("kubectl"));
static PYTHON: LazyLock<PathBuf> = LazyLock::new(|| program("kubernetes-schemas"));

static BASE: LazyLock<Resources> = LazyLock::new(|| rendered("base"));
static EXAMPLE: LazyLock<Resources> = LazyLock::new(|| rendered("example"));

/// Returns the rendered resources of a folder. Panics if one does not match its schema.
fn rendered(folder: &str) -> Resources {
    let root = env!("CARGO_MANIFEST_DIR");
    let manifests = Command::new(&*KUBECTL)
        .args(["kustomize", &format!("{root}/deploy/kubernetes/{folder}")])
        .output()
        .expect("kubectl runs");
    assert!(manifests.status.success(), "{folder}: {}", String::from_utf8_lossy(&manifests.stderr));
    let mut validator = Command::new(&*PYTHON)
        .arg(format!("{root}/tests/deployment/validate.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python runs");
    validator.stdin.take().expect("an input").write_all(&manifests.stdout).expect("the manifests are read");
    let validated = validator.wait_with_output().expect("Python ends");
    assert!(validated.status.success(), "{folder}: {}", String::from_utf8_lossy(&validated.stderr));
    let resources: Vec<Value> = serde_json::from_slice(&validated.stdout).expect("JSON");
    let kind = |resource: &Value| resource["kind"].as_str().expect("a kind").to_owned();
    resources.into_iter().map(|resource| (kind(&resource), resource)).collect()
}

fn pod() -> &'static Value {
    &EXAMPLE["Deployment"]["spec"]["template"]["spec"]
}

fn container() -> &'static Value {
    &pod()["containers"][0]
}

/// Returns the elements of an array.
fn items(array: &Value) -> &[Value] {
    array.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Returns the port of the pod with a name.
fn port(name: &Value) -> u64 {
    let port = items(&container()["ports"]).iter().find(|port| port["name"] == *name);
    port.unwrap_or_else(|| panic!("no port {name}"))["containerPort"].as_u64().expect("a number")
}

/// Returns the environment of the process: that of the image, of the map of settings and of the deployment.
fn environment() -> BTreeMap<&'static str, &'static str> {
    let image = DOCKERFILE.split("\nENV ").nth(1).and_then(|rest| rest.split("\nEXPOSE").next());
    let image =
        image.expect("ENV before EXPOSE").split(['\\', '\n']).filter_map(|line| line.trim().split_once('='));
    let map = EXAMPLE["ConfigMap"]["data"].as_object().expect("settings").iter();
    let map = map.map(|(name, value)| (name.as_str(), value.as_str().expect("a text")));
    let own = items(&container()["env"]).iter();
    let own =
        own.map(|entry| (entry["name"].as_str().expect("a name"), entry["value"].as_str().expect("a value")));
    image.chain(map).chain(own).collect()
}

/// Returns the configuration of the pod. The file with the secret is another one.
fn configuration() -> Configuration {
    let mut secret = tempfile::NamedTempFile::new().expect("a file");
    secret.write_all(b"a secret of at least 32 characters").expect("it is written");
    let mut environment = environment();
    environment.insert("OCIS_JWT_SECRET_FILE", secret.path().to_str().expect("a path"));
    Configuration::read(None, &environment.into_iter().collect::<Environment>()).expect("it is valid")
}

/// Returns the bytes of a quantity such as `512Mi`.
fn mebibytes(quantity: &Value) -> usize {
    let number = quantity.as_str().and_then(|text| text.strip_suffix("Mi")).expect("a number of Mi");
    number.parse::<usize>().expect("a number") << 20
}

#[test]
fn folders_have_these_resources() {
    let kinds = |resources: &'static Resources| resources.keys().map(String::as_str).collect::<Vec<_>>();
    let base = ["ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service"];
    assert_eq!(kinds(&BASE), base);
    let mut all = [&base[..], &["HorizontalPodAutoscaler", "ServiceMonitor"]].concat();
    all.sort_unstable();
    assert_eq!(kinds(&EXAMPLE), all);
}

#[test]
fn settings_of_the_pod_are_valid() {
    let configuration = configuration();
    let known: BTreeSet<String> = SETTINGS.iter().flat_map(Setting::all_variables).collect();
    for name in environment().keys() {
        assert!(known.contains(name.strip_suffix("_FILE").unwrap_or(name)), "{name} is no setting");
    }
    let ports = [(&configuration.http.addr, "http"), (&configuration.debug.addr, "debug")];
    for (address, name) in ports {
        let address = address.to_string();
        assert_eq!(address, format!("0.0.0.0:{}", port(&json!(name))), "{name}");
    }
}

/// The program reads the secret from the file that is mounted. Kubernetes gives it a group that its user is in.
#[test]
fn secret_is_a_mounted_file() {
    let (mount, volume) = (&container()["volumeMounts"][0], &pod()["volumes"][0]);
    assert_eq!(mount["name"], volume["name"]);
    let file = format!("{}/jwt-secret", mount["mountPath"].as_str().expect("a path"));
    assert_eq!(environment()["OCIS_JWT_SECRET_FILE"], file);
    assert_eq!(volume["secret"]["defaultMode"], 0o440);
    assert_eq!(pod()["securityContext"]["fsGroup"], pod()["securityContext"]["runAsGroup"]);
}

#[test]
fn pod_is_restricted_and_runs_as_the_image_does() {
    let context = &pod()["securityContext"];
    let user = format!("\nUSER {}:{}\n", context["runAsUser"], context["runAsGroup"]);
    assert!(DOCKERFILE.contains(&user), "the image has another user than {user}");
    assert_eq!(context["runAsNonRoot"], true);
    assert_eq!(context["seccompProfile"], json!({"type": "RuntimeDefault"}));
    assert_eq!(
        container()["securityContext"],
        json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        })
    );
    let image = concat!("registry.example.org/ocis-sse:", env!("CARGO_PKG_VERSION"));
    assert_eq!(container()["image"], image);
}

/// A pod that Kubernetes kills has not ended all streams.
#[test]
fn grace_period_covers_the_stop() {
    let timeouts = TIMEOUTS_AT_THE_END.map(|(source, name)| {
        let declared = source.split_once(&format!("const {name}: Duration = Duration::from_secs("));
        let (seconds, _) =
            declared.and_then(|(_, rest)| rest.split_once(')')).expect("a constant in seconds");
        Duration::from_secs(seconds.parse().expect("a number"))
    });
    for resources in [&BASE, &EXAMPLE] {
        let variable = ("OCIS_JWT_SECRET", "a secret of at least 32 characters");
        let settings = resources["ConfigMap"]["data"].as_object().expect("settings").iter();
        let settings = settings.map(|(name, value)| (name.as_str(), value.as_str().expect("a text")));
        let configuration = Configuration::read(None, &settings.chain([variable]).collect::<Environment>());
        let drain = configuration.expect("it is valid").streams.drain_timeout.0;
        let stop = timeouts.iter().sum::<Duration>() + drain;
        let pod = &resources["Deployment"]["spec"]["template"]["spec"];
        let grace = Duration::from_secs(pod["terminationGracePeriodSeconds"].as_u64().expect("seconds"));
        assert!(grace > stop, "{grace:?}, but a stop takes up to {stop:?}");
    }
}

#[test]
fn successor_is_ready_before_a_pod_stops() {
    let strategy = &EXAMPLE["Deployment"]["spec"]["strategy"]["rollingUpdate"];
    assert_eq!(*strategy, json!({"maxUnavailable": 0, "maxSurge": 1}));
    assert_eq!(container()["readinessProbe"]["httpGet"]["path"], "/readyz");
    // A pod that is restarted because NATS is unreachable would end its streams.
    assert_eq!(container()["livenessProbe"]["httpGet"]["path"], "/healthz");
}

#[test]
fn probes_and_scrapes_use_existing_routes() {
    let probes = ["livenessProbe", "readinessProbe"].map(|probe| &container()[probe]["httpGet"]);
    let scrape = &EXAMPLE["ServiceMonitor"]["spec"]["endpoints"][0];
    for request in probes.into_iter().chain([scrape]) {
        let path = request["path"].as_str().expect("a path");
        assert!(ROUTES.contains(&path), "the debug server has no {path}");
        assert_eq!(request["port"], "debug", "{path}");
    }
    // The scrape goes to the service's port of that name.
    for exposed in items(&EXAMPLE["Service"]["spec"]["ports"]) {
        assert_eq!(exposed["port"], port(&exposed["targetPort"]));
        assert_eq!(exposed["name"], exposed["targetPort"]);
    }
}

#[test]
fn selectors_select_the_pods() {
    let labels = &EXAMPLE["Deployment"]["spec"]["template"]["metadata"]["labels"];
    let spec = |kind: &str| &EXAMPLE[kind]["spec"];
    assert_eq!(spec("Deployment")["selector"]["matchLabels"], *labels);
    assert_eq!(spec("PodDisruptionBudget")["selector"]["matchLabels"], *labels);
    assert_eq!(spec("NetworkPolicy")["podSelector"]["matchLabels"], *labels);
    assert_eq!(spec("Service")["selector"], *labels);
    assert_eq!(pod()["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"], *labels);
    // The monitor selects the service by the service's own labels.
    assert_eq!(spec("ServiceMonitor")["selector"]["matchLabels"], EXAMPLE["Service"]["metadata"]["labels"]);
}

#[test]
fn network_policy_admits_what_is_needed() {
    let spec = &EXAMPLE["NetworkPolicy"]["spec"];
    assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
    let ports = |rules: &'static Value, peer: &str| {
        let rules = items(rules).iter().map(move |rule| (&rule[peer][0], items(&rule["ports"])));
        rules
            .map(|(peer, ports)| (peer, ports.iter().map(|port| &port["port"]).collect::<Vec<_>>()))
            .collect()
    };
    let ingress: Vec<(&Value, Vec<&Value>)> = ports(&spec["ingress"], "from");
    assert_eq!(ingress.iter().map(|(_, ports)| ports.clone()).collect::<Vec<_>>(), [["http"], ["debug"]]);
    for (peer, ports) in ingress {
        assert!(peer.get("podSelector").is_some(), "{ports:?} are open to everyone");
        port(ports[0]);
    }
    let egress: Vec<(&Value, Vec<&Value>)> = ports(&spec["egress"], "to");
    let [(nats, nats_ports), (_, dns_ports)] = &egress[..] else { panic!("{egress:?}") };
    assert_eq!(nats["podSelector"]["matchLabels"], json!({"app": "nats"}));
    for server in &configuration().events.endpoint {
        let (_, port) = server.url().rsplit_once(':').expect("a port");
        let port = port.parse::<u16>().expect("a number");
        assert!(nats_ports.contains(&&json!(port)), "{port} of NATS is not in {nats_ports:?}");
    }
    assert_eq!(dns_ports, &[53, 53]);
}

/// The kernel's buffers need memory beside the history.
#[test]
fn memory_limit_is_twice_the_history() {
    let resources = &container()["resources"];
    let limit = mebibytes(&resources["limits"]["memory"]);
    assert!(limit >= 2 * configuration().history.max_bytes.0, "{limit}");
    assert!(mebibytes(&resources["requests"]["memory"]) <= limit);
    assert_eq!(resources["limits"]["cpu"], Value::Null, "a throttled process delays all streams");
}

#[test]
fn autoscaler_scales_the_deployment_by_an_existing_metric() {
    let spec = &EXAMPLE["HorizontalPodAutoscaler"]["spec"];
    let deployment = &EXAMPLE["Deployment"];
    assert_eq!(
        spec["scaleTargetRef"],
        json!({
            "apiVersion": deployment["apiVersion"],
            "kind": deployment["kind"],
            "name": deployment["metadata"]["name"],
        })
    );
    // The number of pods is the autoscaler's alone.
    assert_eq!(deployment["spec"]["replicas"], Value::Null);
    assert_eq!(spec["minReplicas"], BASE["Deployment"]["spec"]["replicas"]);
    let metric = spec["metrics"][0]["pods"]["metric"]["name"].as_str().expect("a metric");
    assert!(metrics().contains_key(metric), "there is no {metric}");
    assert!(ADAPTER.contains(&format!("seriesQuery: {metric}{{")), "the adapter does not have {metric}");
}
