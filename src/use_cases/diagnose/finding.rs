//! The findings of a diagnosis.

use std::fmt;

use serde::Serialize;

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The name of the check. It stays the same between versions.
    pub check: &'static str,
    /// The verdict.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What to do. None if there is nothing to do.
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
    /// Creates a finding with nothing to do.
    pub fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, seen: seen.into(), advice: None }
    }

    /// Creates a finding about something that is missing or will fail later.
    pub fn warning(check: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warning, seen: seen.into(), advice: Some(advice.into()) }
    }

    /// Creates a finding about a fault.
    pub fn failed(check: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Failed, seen: seen.into(), advice: Some(advice.into()) }
    }

    /// Creates a finding about a check that could not be made.
    pub fn skipped(check: &'static str, seen: impl Into<String>, advice: Option<String>) -> Self {
        Self { check, verdict: Verdict::Skipped, seen: seen.into(), advice }
    }
}

/// Writes the verdict, the check and what was seen in columns, and the advice below.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failed => "FAILED",
            Verdict::Skipped => "skipped",
        };
        write!(f, "{verdict:8} {:18} {}", self.check, self.seen)?;
        match &self.advice {
            Some(advice) => write!(f, "\n{:28}→ {advice}", ""),
            None => Ok(()),
        }
    }
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
