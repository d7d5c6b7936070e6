//! The page for troubleshooting quotes what the program says.

use std::{fs, path::Path};

const PAGE: &str = include_str!("../../docs/troubleshooting.md");

/// The beginnings of quotations that are commands, not texts of the program.
const COMMANDS: [&str; 7] = ["ocis-sse", "sudo", "docker", "kubectl", "doctor", "--", "option "];
/// Texts between values that are too short to find.
const MIN_FRAGMENT: usize = 4;

/// Appends every source below `folder`, with texts that continue on the next line joined.
fn read_sources(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_sources(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).expect("a text");
            let mut is_continued = false;
            for line in text.lines() {
                let line = if is_continued { line.trim_start() } else { line };
                is_continued = line.ends_with('\\');
                *sources += line.strip_suffix('\\').unwrap_or(line);
                if !is_continued {
                    sources.push('\n');
                }
            }
        }
    }
}

fn sources() -> String {
    let mut sources = String::new();
    for folder in ["src", "ports/src", "adapters/src"] {
        read_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut sources);
    }
    sources
}

/// Returns the texts that the page quotes: those in backquotes with a space, outside of examples.
fn quotations() -> Vec<&'static str> {
    let lines = PAGE.lines().filter(|line| !line.starts_with("    "));
    let quoted = lines.flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted
        .filter(|text| text.contains(' ') && !COMMANDS.iter().any(|command| text.starts_with(command)))
        .collect()
}

#[test]
fn quoted_texts_exist() {
    let (sources, quotations) = (sources(), quotations());
    let mut findings = 0;
    for quotation in quotations {
        let text = match quotation.split_once(' ') {
            // A finding: the verdict and the check are columns of their own.
            Some((verdict, rest)) if ["ok", "warning", "FAILED", "skipped"].contains(&verdict) => {
                findings += 1;
                let (check, seen) = rest.split_once(' ').unwrap_or((rest, ""));
                assert!(sources.contains(&format!("\"{check}\"")), "{quotation}: {check} is no check");
                seen
            }
            _ => quotation,
        };
        for fragment in text.split('…').map(|fragment| fragment.trim_matches([' ', ':', ',', '(', ')'])) {
            let exists = fragment.len() < MIN_FRAGMENT || sources.contains(fragment);
            assert!(exists, "`{quotation}`: the code does not say `{fragment}`");
        }
    }
    assert!(findings > 10, "{findings}");
}

#[test]
fn every_check_has_a_line() {
    let mut sources = String::new();
    read_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/use_cases/diagnose"), &mut sources);
    for table_row in PAGE.lines().filter(|line| line.starts_with("| `")) {
        let (names, _) = table_row[2..].split_once(" |").expect("a second column");
        for name in names.split(", ").map(|name| name.trim_matches('`')) {
            if name.starts_with("public.") || name.starts_with("nats.") {
                assert!(sources.contains(&format!("\"{name}\"")), "{name} is no check");
            }
        }
    }
    let checks = sources.split('"').filter(|text| {
        let name = text.strip_prefix("public.").or_else(|| text.strip_prefix("nats."));
        name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase()))
    });
    for check in checks {
        assert!(PAGE.contains(&format!("`{check}`")), "docs/troubleshooting.md does not explain {check}");
    }
}
