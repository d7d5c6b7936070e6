//! The dashboard, the alerts and the page of metrics name existing metrics, labels and values.

use std::collections::{BTreeMap, BTreeSet};

use adapters::outbound::prometheus::{PrometheusMetrics, Server, Transport};
use figment::{
    Figment,
    providers::{Format as _, Yaml},
};
use ports::outbound::HttpMetrics as _;
use serde_json::Value;

const DASHBOARD: &str = include_str!("../../deploy/grafana/ocis-sse.json");
const RULES: &str = include_str!("../../deploy/prometheus/ocis-sse.rules.yaml");
const PAGE: &str = include_str!("../../docs/metrics.md");

/// Labels that Prometheus adds to each target, with Kubernetes the namespace too.
const TARGET: [&str; 3] = ["instance", "job", "namespace"];
/// Labels without a fixed set of values.
const OPEN: [&str; 2] = ["version", "status"];

/// The labels of each metric with their values.
pub(super) type Metrics = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Returns the metrics of a new service with every kind of server. It has answered two requests, because requests are
/// shown only from the first one on.
pub(super) fn metrics() -> Metrics {
    let counts = PrometheusMetrics::new("test");
    for server in Server::ALL {
        for transport in Transport::ALL {
            let server = counts.http_server(server, transport);
            server.answered("other", 404);
            server.answered("none", 431);
        }
    }
    let mut metrics = Metrics::new();
    for sample in counts.render().lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = sample.rsplit_once(' ').expect("a value");
        let (metric, labels) = series.split_once('{').unwrap_or((series, ""));
        let known = metrics.entry(metric.to_owned()).or_default();
        for Matcher { label, value } in matchers(labels) {
            known.entry(label.to_owned()).or_default().insert(value.to_owned());
        }
    }
    metrics
}

/// A condition on one label.
struct Matcher<'a> {
    label: &'a str,
    value: &'a str,
}

impl<'a> Matcher<'a> {
    /// Returns the values that the condition selects.
    fn values(&self) -> impl Iterator<Item = &'a str> {
        self.value.split('|')
    }
}

/// Parses `label="value",label=~"value|value"` up to the closing brace.
fn matchers(mut text: &str) -> Vec<Matcher<'_>> {
    let mut matchers = Vec::new();
    while let Some((label, rest)) = text.split_once(['=', '!']) {
        let (_, rest) = rest.split_once('"').expect("a value");
        let (value, rest) = rest.split_once('"').expect("its end");
        matchers.push(Matcher { label: label.trim_matches([',', ' ']), value });
        text = rest.trim_start();
        if text.starts_with('}') {
            break;
        }
    }
    matchers
}

/// Returns every metric of the service that a text names, also those that a rule records, with the conditions on its labels.
fn selectors(text: &str) -> Vec<(&str, Vec<Matcher<'_>>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut selectors = Vec::new();
    let mut from = 0;
    while let Some(found) = text[from..].find(is_name) {
        let start = from + found;
        let length = text[start..].find(|c| !is_name(c)).unwrap_or(text.len() - start);
        let (name, rest) = text[start..].split_at(length);
        if ["sse_", "process_", "job:"].iter().any(|beginning| name.starts_with(beginning)) {
            let asked = rest.strip_prefix('{').map(matchers).unwrap_or_default();
            selectors.push((name, asked));
        }
        from = start + length;
    }
    selectors
}

/// Returns the labels by which an expression groups or joins.
fn groupings(expression: &str) -> Vec<&str> {
    let mut labels = Vec::new();
    for keyword in ["by", "without", "on", "ignoring"] {
        for behind in expression.split(&format!(" {keyword} (")).skip(1) {
            let (named, _) = behind.split_once(')').expect("its end");
            labels.extend(named.split(',').map(str::trim));
        }
    }
    labels
}

/// Checks that the metrics, labels and values in a text exist.
fn check_text(metrics: &Metrics, location: &str, text: &str) {
    for (metric, asked) in selectors(text) {
        let labels = metrics.get(metric).unwrap_or_else(|| panic!("{location}: there is no {metric}"));
        for matcher in asked.iter().filter(|matcher| !TARGET.contains(&matcher.label)) {
            let label = matcher.label;
            let known = labels.get(label).unwrap_or_else(|| panic!("{location}: {metric} has no {label}"));
            for value in matcher.values().filter(|_| !OPEN.contains(&label)) {
                assert!(
                    known.contains(value),
                    "{location}: {label} of {metric} is never {value:?}, but one of {known:?}"
                );
            }
        }
    }
}

/// Checks an expression, and the labels that its legend or description shows.
fn check_expression(metrics: &Metrics, location: &str, expression: &str, shown: &[&str]) {
    check_text(metrics, location, expression);
    let named = selectors(expression);
    assert!(!named.is_empty(), "{location}: {expression} names no metric");
    let has = |label: &str| named.iter().any(|(metric, _)| metrics[*metric].contains_key(label));
    for label in groupings(expression).iter().chain(shown) {
        assert!(TARGET.contains(label) || has(label), "{location}: {expression} has no {label}");
    }
}

/// Returns every value of the key `key` in a document, with the object that contains it.
fn with_key<'a>(document: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match document {
        Value::Object(fields) => {
            if fields.contains_key(key) {
                found.push(document);
            }
            fields.values().for_each(|value| with_key(value, key, found));
        }
        Value::Array(values) => values.iter().for_each(|value| with_key(value, key, found)),
        _ => {}
    }
}

/// Returns the labels in `{{label}}` or `{{ $labels.label }}`.
fn templates(text: &str) -> Vec<&str> {
    let templates = text.split("{{").skip(1).filter_map(|behind| behind.split("}}").next());
    let labels = templates.filter_map(|template| {
        let template = template.trim();
        match template.strip_prefix("$labels.") {
            None if template.starts_with('$') => None,
            label => Some(label.unwrap_or(template)),
        }
    });
    labels.collect()
}

#[test]
fn dashboard_uses_existing_metrics() {
    let (metrics, dashboard) = (metrics(), serde_json::from_str::<Value>(DASHBOARD).expect("JSON"));
    let mut targets = Vec::new();
    with_key(&dashboard, "expr", &mut targets);
    assert!(targets.len() > 10, "{targets:?}");
    for target in targets {
        let legend = target["legendFormat"].as_str().unwrap_or_default();
        let expression = target["expr"].as_str().expect("an expression");
        check_expression(&metrics, "dashboard", expression, &templates(legend));
    }
    // Checks other texts as well, such as descriptions.
    check_text(&metrics, "dashboard", &DASHBOARD.replace("\\\"", "\""));
}

#[test]
fn rules_use_existing_metrics() {
    let (mut metrics, rules) =
        (metrics(), Figment::from(Yaml::string(RULES)).extract::<Value>().expect("YAML"));
    let mut recorded = Vec::new();
    with_key(&rules, "record", &mut recorded);
    for rule in recorded {
        let name = rule["record"].as_str().expect("a name");
        check_expression(&metrics, name, rule["expr"].as_str().expect("an expression"), &[]);
        metrics.insert(name.to_owned(), BTreeMap::new());
    }
    let mut alerts = Vec::new();
    with_key(&rules, "alert", &mut alerts);
    assert!(alerts.len() > 5, "{alerts:?}");
    for alert in alerts {
        let name = alert["alert"].as_str().expect("a name");
        let texts = alert["annotations"].as_object().expect("annotations").values();
        let text = texts.map(|text| text.as_str().expect("a text")).collect::<Vec<_>>().join(" ");
        check_expression(&metrics, name, alert["expr"].as_str().expect("an expression"), &templates(&text));
        check_text(&metrics, name, &text);
        // Checks the values of labels that a description names without the metric.
        let values =
            text.split(|c: char| c.is_whitespace() || "({})".contains(c)).filter(|word| word.contains("=\""));
        for Matcher { label, value } in values.flat_map(matchers) {
            let has = |labels: &BTreeMap<String, BTreeSet<String>>| {
                labels.get(label).is_some_and(|known| known.contains(value))
            };
            assert!(metrics.values().any(has), "{name}: {label} is never {value:?}");
        }
    }
}

/// Returns the texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The page lists exactly the labels of each metric and exactly the values of each label. A runtime is needed because
/// it has metrics of its own.
#[tokio::test]
async fn metrics_page_lists_existing_metrics() {
    // The page lists a histogram by its base name.
    let mut there = Metrics::new();
    for (metric, mut labels) in metrics().into_iter().filter(|(metric, _)| !metric.starts_with("process_")) {
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| metric.strip_suffix(part));
        labels.remove("le");
        for (label, values) in &mut labels {
            if OPEN.contains(&label.as_str()) {
                values.clear();
            }
        }
        there.insert(histogram.unwrap_or(&metric).to_owned(), labels);
    }
    let mut described = Metrics::new();
    let mut above = BTreeMap::new();
    for row in PAGE.lines().filter(|line| line.starts_with("| `sse_")) {
        let [_, metric, labels, ..] = row.split('|').collect::<Vec<_>>()[..] else { panic!("{row}") };
        if labels.trim() != "likewise" {
            let labels = labels.split(';').filter(|label| !label.trim().is_empty()).map(|label| {
                let mut words = quoted(label).map(str::to_owned);
                (words.next().expect("a label"), words.collect::<BTreeSet<_>>())
            });
            above = labels.collect();
        }
        described.insert(quoted(metric).next().expect("a metric").to_owned(), above.clone());
    }
    let names = |metrics: &Metrics| metrics.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&described), names(&there));
    for (metric, labels) in described {
        assert_eq!(labels, there[&metric], "{metric}");
    }
}
