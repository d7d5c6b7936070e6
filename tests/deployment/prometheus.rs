//! The rules of Prometheus, as its own tool reads them.

use std::{fs, process::Command};

use super::program;

/// Each alert fires when it should, and is quiet otherwise. The cases are in `alerts/`.
#[test]
fn alerts_fire_when_they_should() {
    let cases =
        fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deployment/alerts")).expect("the cases");
    let cases = cases.map(|case| case.expect("a case").path());
    let tested =
        Command::new(program("promtool")).args(["test", "rules"]).args(cases).output().expect("it runs");
    let report = [tested.stdout, tested.stderr].concat();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&report));
}
