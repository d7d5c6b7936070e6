//! The findings of a diagnosis.

use std::fmt;

use serde::Serialize;

/// Maximum length of a text. What a foreign server says may have any length.
const MAX_CHARS: usize = 500;

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The name of the check. It stays the same between versions.
    pub check: &'static str,
    /// The verdict.
    pub verdict: Verdict,
    /// The observation.
    pub seen: String,
    /// The advice. None if there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// The verdict of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Events arrive, but something is missing or will fail later.
    Warning,
    /// Events do not arrive, or not as they should.
    Failed,
    /// Not checked.
    Skipped,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, seen: &str, advice: Option<&str>) -> Self {
        Self { check, verdict, seen: printable(seen), advice: advice.map(printable) }
    }

    /// Creates a finding with nothing to do.
    pub fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, &seen.into(), None)
    }

    /// Creates a finding about something that is missing or will fail later.
    pub fn warning(check: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warning, &seen.into(), Some(&advice.into()))
    }

    /// Creates a finding about a fault.
    pub fn failed(check: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(check, Verdict::Failed, &seen.into(), Some(&advice.into()))
    }

    /// Creates a finding about a check that could not be made.
    pub fn skipped(check: &'static str, seen: impl Into<String>, advice: Option<&str>) -> Self {
        Self::new(check, Verdict::Skipped, &seen.into(), advice)
    }
}

/// Returns `text` on one line and without characters that a terminal acts upon, because a foreign server may have written a part of it.
fn printable(text: &str) -> String {
    let is_plain = |c: char| {
        !c.is_control() && !('\u{2028}'..='\u{202e}').contains(&c) && !('\u{2066}'..='\u{2069}').contains(&c)
    };
    text.chars().take(MAX_CHARS).map(|c| if is_plain(c) { c } else { ' ' }).collect()
}

/// All findings of a diagnosis, as a document for programs.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether no check has failed.
    pub ok: bool,
    /// The version of the program.
    pub version: &'static str,
    /// The findings, in the order of the checks.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Creates the document of `findings`.
    #[must_use]
    pub fn new(version: &'static str, findings: Vec<Finding>) -> Self {
        let ok = findings.iter().all(|finding| finding.verdict != Verdict::Failed);
        Self { ok, version, findings }
    }
}

/// Writes JSON.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string_pretty(self).map_err(|_| fmt::Error)?)
    }
}
