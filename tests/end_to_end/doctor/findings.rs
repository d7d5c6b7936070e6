//! The findings of the program.

use serde_json::Value;
use tokio::process::Command;

use crate::{
    DEADLINE,
    nats::Nats,
    service::{SECRET, Service},
    transport,
};

/// The findings of `ocis-sse doctor`, and its exit status.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) status: i32,
    findings: Vec<Value>,
}

impl Findings {
    /// Runs the program with the settings of `service` and further ones.
    pub(super) async fn of(
        nats: &Nats,
        service: &Service,
        arguments: &[&str],
        settings: &[(&str, &str)],
    ) -> Self {
        let (http, debug, nats) = (service.http.to_string(), service.debug.to_string(), nats.address());
        let ours = [
            ("OCIS_JWT_SECRET", SECRET),
            ("OCIS_EVENTS_ENDPOINT", &nats),
            ("SSE_HTTP_ADDR", &http),
            ("SSE_DEBUG_ADDR", &debug),
            ("OCIS_CONFIG_DIR", "/nowhere"),
        ];
        let output = Command::new(env!("CARGO_BIN_EXE_ocis-sse"))
            .args(["doctor", "--json"])
            .args(arguments)
            .env_clear()
            .envs(ours.iter().chain(transport::settings()).chain(settings).copied())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(DEADLINE, output).await.expect("in time").expect("it runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let report: Value = serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
        let status = output.status.code().expect("a status");
        assert_eq!(report["ok"], status == 0);
        let findings = report["findings"].as_array().expect("a list").clone();
        Self { status, findings }
    }

    fn with(&self, verdict: impl Fn(&str) -> bool) -> Vec<&str> {
        let text = |finding: &Value, key: &str| verdict(finding[key].as_str().expect("a text"));
        let found = self.findings.iter().filter(|finding| text(finding, "verdict"));
        found.map(|finding| finding["check"].as_str().expect("a text")).collect()
    }

    /// Returns the checks that have failed.
    pub(super) fn failed(&self) -> Vec<&str> {
        self.with(|verdict| verdict == "failed")
    }

    /// Returns the checks with any verdict other than ok.
    pub(super) fn not_ok(&self) -> Vec<&str> {
        self.with(|verdict| verdict != "ok")
    }

    pub(super) fn has(&self, check: &str) -> bool {
        self.verdict(check).is_some()
    }

    pub(super) fn verdict(&self, check: &str) -> Option<&str> {
        self.findings.iter().find(|finding| finding["check"] == check)?["verdict"].as_str()
    }

    /// Returns what the check has seen, of the finding that is not ok if there is one.
    pub(super) fn seen(&self, check: &str) -> &str {
        self.text(check, "seen")
    }

    pub(super) fn advice(&self, check: &str) -> &str {
        self.text(check, "advice")
    }

    pub(super) fn seen_with(&self, check: &str, verdict: &str) -> &str {
        let found =
            self.findings.iter().find(|finding| finding["check"] == check && finding["verdict"] == verdict);
        found.and_then(|finding| finding["seen"].as_str()).unwrap_or_else(|| panic!("{self:?}"))
    }

    fn text(&self, check: &str, key: &str) -> &str {
        let of_check = || self.findings.iter().filter(|finding| finding["check"] == check);
        let found = of_check().find(|finding| finding["verdict"] != "ok").or_else(|| of_check().next());
        found.and_then(|finding| finding[key].as_str()).unwrap_or_else(|| panic!("no {check}: {self:?}"))
    }
}
