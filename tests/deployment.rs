//! The files in `deploy/` speak of what there is.

use std::collections::BTreeSet;

use adapters::outbound::prometheus::PrometheusMetrics;
use ocis_sse::configuration::{SETTINGS, Setting};

const DASHBOARD: &str = include_str!("../deploy/grafana/ocis-sse.json");
const RULES: &str = include_str!("../deploy/prometheus/ocis-sse.rules.yaml");
const DOCKERFILE: &str = include_str!("../deploy/docker/Dockerfile");
const COMPOSE: &str = include_str!("../deploy/compose/compose.yaml");
const PROXIES: &str = include_str!("../docs/proxies.md");
const UNIT: &str = include_str!("../deploy/systemd/ocis-sse.service");

/// Every word of `text` that begins with one of `beginnings`.
fn words<'a>(text: &'a str, beginnings: &[&str]) -> BTreeSet<&'a str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| beginnings.iter().any(|beginning| word.starts_with(beginning)))
        .collect()
}

#[test]
fn every_metric_of_the_dashboard_and_the_alerts_exists() {
    let page = PrometheusMetrics::new("test").render();
    let series: BTreeSet<_> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    for (file, text) in [("dashboard", DASHBOARD), ("rules", RULES)] {
        let named = words(text, &["sse_", "process_"]);
        assert!(named.len() > 5, "{file}: {named:?}");
        for name in named {
            assert!(series.contains(name), "{file}: {name} is not among {series:?}");
        }
    }
}

#[test]
fn every_setting_that_is_set_exists() {
    let known: BTreeSet<String> = SETTINGS.iter().flat_map(Setting::all_variables).collect();
    for (file, text) in [("Dockerfile", DOCKERFILE), ("compose.yaml", COMPOSE), ("ocis-sse.service", UNIT)] {
        for name in words(text, &["SSE_", "MICRO_REGISTRY"]) {
            assert!(known.contains(name), "{file}: {name} is no setting");
        }
    }
}

#[test]
fn the_page_about_proxies_shows_their_files() {
    let files = [
        include_str!("../deploy/proxies/nginx.conf"),
        include_str!("../deploy/proxies/Caddyfile"),
        include_str!("../deploy/proxies/haproxy.cfg"),
        include_str!("../deploy/proxies/traefik/traefik.yaml"),
        include_str!("../deploy/proxies/traefik/platform.yaml"),
    ];
    for file in files {
        let shown: Vec<_> =
            file.lines()
                .map(|line| {
                    if line.is_empty() { String::new() } else { format!("    {line}").replace('\t', "    ") }
                })
                .collect();
        let shown = shown.join("\n");
        assert!(PROXIES.contains(&shown), "docs/proxies.md should show:\n{shown}");
    }
}
