//! The load tool with the floor, the server that is part of it.

use std::process::Command;

use serde_json::Value;

fn bench(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bench")).args(arguments).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn floor_events_arrive_and_are_reported() {
    let load = ["floor", "--users", "20", "--streams", "5", "--events", "30"];
    let (status, report, _) = bench(&[&load[..], &["--json"]].concat());
    assert_eq!(status, Some(0));
    let report: Value = serde_json::from_str(&report).expect("JSON");
    for (key, expected) in
        [("streams", 100), ("expected", 3000), ("arrived", 3000), ("out_of_order", 0), ("lost_streams", 0)]
    {
        assert_eq!(report[key], expected, "{key}");
    }
    assert!(report["latency"]["p99"].as_u64() >= report["latency"]["p50"].as_u64());
    assert!(report["cpu_to_deliver"].as_f64().is_some_and(|cpu| cpu > 0.0));

    let (_, text, _) = bench(&load);
    assert!(text.contains("arrived        3000 of 3000, 0 of them duplicate or late"), "{text}");
}

#[test]
fn missing_server_is_an_error() {
    let unused =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string();
    let (status, _, error) = bench(&["idle", "--users", "1", "--server", &unused]);
    assert_eq!(status, Some(2));
    assert!(error.contains("a stream could not be opened") && error.contains("refused"), "{error}");
}

#[test]
fn missing_nats_is_an_error_of_the_unicast_floor() {
    let unused =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string();
    let (status, _, error) = bench(&["unicast-floor", "--users", "1", "--nats", &unused]);
    assert_eq!(status, Some(2));
    assert!(error.contains(&format!("NATS at {unused}")), "{error}");
}

#[test]
fn comments_of_the_floor_are_counted() {
    let load = ["floor", "--users", "10", "--events", "20", "--comments"];
    let (status, report, _) = bench(&[&load[..], &["--json"]].concat());
    assert_eq!(status, Some(0));
    let report: Value = serde_json::from_str(&report).expect("JSON");
    for (key, expected) in [("expected", 200), ("arrived", 200), ("comments", 200), ("lost_streams", 0)] {
        assert_eq!(report[key], expected, "{key}");
    }
    assert!(report["cpu_to_comment"].as_f64().is_some_and(|cpu| cpu > 0.0));
    assert!(report.get("cpu_to_deliver").is_none());
}

#[test]
fn tls_floor_resumes_sessions_if_asked() {
    let load = ["tls-floor", "--tls", "--users", "20", "--opening", "1", "--json"];
    for (further, resumed) in [(&[][..], 0), (&["--resume"][..], 19)] {
        let (status, report, _) = bench(&[&load[..], further].concat());
        assert_eq!(status, Some(0));
        let report: Value = serde_json::from_str(&report).expect("JSON");
        for (key, expected) in [("streams", 20), ("lost_streams", 0), ("resumed", resumed)] {
            assert_eq!(report[key], expected, "{key}");
        }
        assert!(report["cpu_to_open"].as_f64().is_some_and(|cpu| cpu > 0.0));
    }
    let (status, _, error) = bench(&["tls-floor", "--users", "1"]);
    assert_eq!(status, Some(2));
    assert!(error.contains("--tls"), "{error}");
}
