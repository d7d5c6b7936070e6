//! The page on replacing the built-in service describes the settings of both services as they are in the code.

use std::collections::BTreeSet;

use ocis_sse::configuration::{SETTINGS, Setting};

const PAGE: &str = include_str!("../../docs/replacing-the-built-in-service.md");

struct Row {
    key: &'static str,
    variables: BTreeSet<&'static str>,
    default: &'static str,
    here: &'static str,
}

/// Returns the texts between backticks.
fn quoted(cell: &'static str) -> impl Iterator<Item = &'static str> {
    cell.split('`').skip(1).step_by(2)
}

fn rows() -> Vec<Row> {
    let (_, table) =
        PAGE.split_once("<!-- compatibility: held to the code by a test -->\n").expect("a table");
    let (table, _) = table.split_once("<!-- end of compatibility -->").expect("its end");
    let row = |line: &'static str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [key, infinite_scale, opencloud, default, here] = cells[..] else { panic!("five cells: {line}") };
        let variables = quoted(infinite_scale).chain(quoted(opencloud));
        let upper = |word: &&str| !word.contains(|c: char| c.is_ascii_lowercase());
        Row {
            key: quoted(key).next().expect("a key"),
            variables: variables.filter(upper).collect(),
            default: quoted(default).next().unwrap_or(default),
            here,
        }
    };
    table.lines().skip(2).map(row).collect()
}

fn setting(key: &str) -> &'static Setting {
    SETTINGS.iter().find(|setting| setting.key == key).unwrap_or_else(|| panic!("{key} is no setting"))
}

#[test]
fn lists_exactly_the_platforms_settings() {
    let shown: BTreeSet<_> = rows().iter().map(|row| row.key).collect();
    // Settings that the built-in service has under other names.
    let builtin = [
        "SSE_DEBUG_ADDR",
        "SSE_DEBUG_TOKEN",
        "SSE_DEBUG_PPROF",
        "SSE_DEBUG_ZPAGES",
        "SSE_KEEPALIVE_INTERVAL",
        "SSE_HTTP_ADDR",
        "SSE_HTTP_ROOT",
    ];
    let is_platforms = |name: &&str| !name.starts_with("SSE_") || builtin.contains(name);
    let platforms = SETTINGS.iter().filter(|setting| setting.variables.iter().any(is_platforms));
    assert_eq!(shown, platforms.map(|setting| setting.key).collect());
}

#[test]
fn shows_the_supported_variables() {
    for row in rows() {
        let read: BTreeSet<_> = setting(row.key).all_variables().collect();
        for name in &row.variables {
            assert!(read.contains(*name), "{}: {name} is not read", row.key);
        }
        for name in read.iter().filter(|name| !name.starts_with("SSE_")) {
            assert!(row.variables.contains(&**name), "{}: {name} is not shown", row.key);
        }
    }
}

#[test]
fn equal_defaults_are_described_as_equal() {
    for row in rows() {
        let here = match setting(row.key).default {
            None => "required",
            Some("") => "none",
            Some(default) => default,
        };
        let says_the_same = !row.here.contains("the default ");
        assert_eq!(here == row.default, says_the_same, "{}: {here}, and there {}", row.key, row.default);
    }
}
