//! What a bench prints: one row a figure.

use std::fmt::Write as _;

use serde::Serialize;

/// What a figure says of its goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The goal is met.
    Meets,
    /// It is not.
    Misses,
    /// There is no goal, or it cannot be judged here: told only.
    Told,
}

impl Verdict {
    /// Meets when it holds.
    pub fn of(holds: bool) -> Self {
        if holds { Verdict::Meets } else { Verdict::Misses }
    }
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was counted or measured, and on how much.
    pub what: String,
    /// The goal of the issue, or the floor and how it is made up.
    pub goal: String,
    /// What came out.
    pub measured: String,
    /// Whether that is good enough.
    pub verdict: Verdict,
    /// What a reader needs to understand the figure: its parts, or why it misses.
    pub because: String,
}

impl Row {
    /// A row.
    pub fn new(
        what: impl Into<String>,
        goal: impl Into<String>,
        measured: impl Into<String>,
        verdict: Verdict,
        because: impl Into<String>,
    ) -> Self {
        Row { what: what.into(), goal: goal.into(), measured: measured.into(), verdict, because: because.into() }
    }
}

/// The table as text: a line a row, and what stands behind each figure below it.
pub fn print(rows: &[Row]) -> String {
    let width =
        |column: fn(&Row) -> &str, name: &str| rows.iter().map(|row| column(row).chars().count()).chain([name.len()]).max().unwrap_or(0);
    let (what, goal) = (width(|row| &row.what, "what"), width(|row| &row.goal, "goal"));
    let measured = width(|row| &row.measured, "measured");
    let mut text = String::new();
    let _ = writeln!(text, "{:what$} | {:goal$} | {:measured$} | verdict", "what", "goal", "measured");
    let _ = writeln!(text, "{}", "-".repeat(what + goal + measured + 16));
    for row in rows {
        let verdict = match row.verdict {
            Verdict::Meets => "meets",
            Verdict::Misses => "MISSES",
            Verdict::Told => "told",
        };
        let _ = writeln!(text, "{:what$} | {:goal$} | {:measured$} | {verdict}", row.what, row.goal, row.measured);
    }
    for row in rows.iter().filter(|row| !row.because.is_empty()) {
        let _ = writeln!(text, "\n{}:\n  {}", row.what, row.because);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_names_and_reasons_below() {
        let rows =
            [Row::new("writes", "0", "0", Verdict::Meets, ""), Row::new("reads at rest", "<= 120", "200", Verdict::Misses, "power states")];
        let text = print(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "what          | goal   | measured | verdict");
        assert_eq!(lines[2], "writes        | 0      | 0        | meets");
        assert_eq!(lines[3], "reads at rest | <= 120 | 200      | MISSES");
        assert_eq!(lines[5..], ["reads at rest:", "  power states"]);
    }
}
