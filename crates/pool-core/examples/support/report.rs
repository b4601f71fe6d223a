//! What the replays gave, as a table and as JSON.

use std::io::Write as _;

use serde_json::{Value, json};
use vocab::PolicyName;

use super::replay::Course;

/// All replays of one policy in worlds of one kind.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) policy: PolicyName,
    pub(crate) courses: Vec<Course>,
}

/// The mean and the standard deviation of what is known; `None` where nothing is.
fn spread(values: impl Iterator<Item = Option<f64>>) -> Option<(f64, f64)> {
    let values: Vec<f64> = values.flatten().collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (!values.is_empty()).then(|| (mean, square.sqrt()))
}

impl Row {
    fn of(&self, figure: impl Fn(&Course) -> Option<f64>) -> Option<(f64, f64)> {
        spread(self.courses.iter().map(figure))
    }

    /// The mean regret, as a share of what the clairvoyant paid.
    pub(crate) fn regret(&self) -> f64 {
        self.of(|course| Some(course.regret)).map_or(f64::NAN, |(mean, _)| mean)
    }

    fn json(&self) -> Value {
        let figure = |figure: Option<(f64, f64)>| figure.map(|(mean, sd)| json!({ "mean": mean, "sd": sd }));
        let known = |known: fn(&Course) -> Option<f64>| {
            self.courses.iter().filter(|course| known(course).is_some()).count()
        };
        json!({
            "policy": self.policy,
            "replays": self.courses.len(),
            "total_ms": figure(self.of(|course| Some(course.total_ms))),
            "regret": figure(self.of(|course| Some(course.regret))),
            "over_best_fixed": figure(self.of(|course| Some(course.over_fixed))),
            "requests_until_best_leads": figure(self.of(|course| course.until_lead)),
            "replays_where_best_leads": known(|course| course.until_lead),
            "runs_until_regression_noticed": figure(self.of(|course| course.until_noticed)),
            "replays_where_noticed": known(|course| course.until_noticed),
            "exploring": figure(self.of(|course| Some(course.exploring))),
        })
    }
}

pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Shows the policies of one kind of world, and gives the same as JSON.
pub(crate) fn show(name: &str, kind: &str, rows: &[Row], oracle_ms: f64) -> Value {
    say(&format!("\n{kind}: {name} (the oracle pays {:.1} s)", oracle_ms / 1e3));
    let heads = ["total s", "regret %", "over fixed %", "until lead", "noticed after", "exploring %"];
    let head: String = heads.iter().map(|head| format!("{head:>17}")).collect();
    say(&format!("{:<12}{head}", "policy"));
    for row in rows {
        let cell = |figure: Option<(f64, f64)>, times: f64, digits: usize| match figure {
            Some((mean, sd)) => {
                format!("{:>17}", format!("{:.digits$} ± {:.digits$}", mean * times, sd * times))
            }
            None => format!("{:>17}", "–"),
        };
        let cells = [
            cell(row.of(|course| Some(course.total_ms)), 1e-3, 1),
            cell(row.of(|course| Some(course.regret)), 100.0, 2),
            cell(row.of(|course| Some(course.over_fixed)), 100.0, 2),
            cell(row.of(|course| course.until_lead), 1.0, 0),
            cell(row.of(|course| course.until_noticed), 1.0, 0),
            cell(row.of(|course| Some(course.exploring)), 100.0, 2),
        ];
        say(&format!("{:<12}{}", row.policy.to_string(), cells.concat()));
    }
    let rows: Vec<Value> = rows.iter().map(Row::json).collect();
    json!({ "kind": kind, "name": name, "oracle_ms": oracle_ms, "policies": rows })
}
