//! An analysis for a terminal.

use std::fmt;

use super::answer::Analysis;
use super::trend::Measure;
use super::words;
use crate::Source;

/// Text in columns.
struct Table {
    heads: &'static [&'static str],
    /// The columns whose figures stand to the right.
    right: &'static [usize],
    rows: Vec<Vec<String>>,
}

/// How wide a column may be; what is longer is cut.
const WIDEST: usize = 44;

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = |text: &str| -> String {
            // A name must not be able to send control sequences to a terminal.
            let clean = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
            if text.chars().count() <= WIDEST {
                clean.collect()
            } else {
                clean.take(WIDEST - 1).chain(['…']).collect()
            }
        };
        let heads = self.heads.iter().map(|head| (*head).to_owned()).collect();
        let lines: Vec<Vec<String>> = std::iter::once(&heads)
            .chain(&self.rows)
            .map(|row| row.iter().map(|cell| cut(cell)).collect())
            .collect();
        let width =
            |at: usize| lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.chars().count()).max();
        for line in &lines {
            let mut text = String::from(" ");
            for (at, cell) in line.iter().enumerate() {
                let gap = " ".repeat(width(at).unwrap_or(0).saturating_sub(cell.chars().count()));
                let (before, after) =
                    if self.right.contains(&at) { (gap.as_str(), "") } else { ("", gap.as_str()) };
                text.push_str(&format!(" {before}{cell}{after} "));
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

/// How many rows a terminal is shown of each list.
const ROWS: usize = 20;

impl fmt::Display for Analysis {
    /// Tables of what is recommended, of regressions and trends, for a terminal that is some 120 columns wide.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            generated_at: _,
            history,
            browser_performance: _,
            model_type_affinities,
            trends,
            regressions,
            recommendations,
            specific_recommendations,
            timelines: _,
        } = self;
        match (history.from, history.to) {
            (Some(from), Some(to)) => writeln!(
                f,
                "{} runs of {} models on {} arms, {} to {} UTC\n",
                words::count(history.runs),
                history.models,
                history.arms,
                words::time(from),
                words::time(to)
            )?,
            _ => writeln!(f, "There is no history yet: what follows is assumed.\n")?,
        }
        writeln!(f, "Best browser and backend by model type")?;
        let rows = model_type_affinities.iter().map(|(name, affinity)| {
            let source = match affinity.source {
                Source::History => words::sure(affinity.confidence),
                Source::Default => "assumed".to_owned(),
            };
            let latency = recommendations.get(name).and_then(|found| found.expected_gain.as_ref());
            vec![
                (*name).to_owned(),
                words::arm(&affinity.optimal_arm),
                affinity.score.map_or_else(String::new, |score| format!("{score:.3}")),
                source,
                words::count(affinity.samples),
                latency.and_then(|gain| gain.latency_percent).map_or_else(String::new, words::percent),
                latency.map_or_else(String::new, |gain| words::arm(&gain.against)),
            ]
        });
        let heads = &["model type", "best", "score", "sure", "runs", "latency", "against"];
        writeln!(f, "{}", Table { heads, right: &[2, 3, 4, 5], rows: rows.collect() })?;

        writeln!(f, "Changes of latency: {}", shown(regressions.len(), regressions.len()))?;
        if !regressions.is_empty() {
            let rows = regressions.iter().take(ROWS).map(|found| {
                vec![
                    words::time(found.at),
                    words::workload(&found.model, &found.shape),
                    words::arm(&found.arm),
                    words::ms(found.before_ms),
                    words::ms(found.after_ms),
                    words::percent(100.0 * (found.ratio - 1.0)),
                    words::probability(found.q_value),
                    found
                        .version_change
                        .as_ref()
                        .map_or_else(String::new, |change| format!("after {}", change.from)),
                ]
            });
            let heads = &["since (UTC)", "model", "arm", "before", "after", "change", "p", "new version"];
            writeln!(f, "{}", Table { heads, right: &[3, 4, 5, 6], rows: rows.collect() })?;
        }
        let significant = trends.significant as usize;
        writeln!(f, "Trends: {} of {} series", shown(significant, significant), words::count(trends.tested))?;
        if significant > 0 {
            let rows = trends.series.iter().filter(|trend| trend.significant).take(ROWS).map(|trend| {
                let measure = match trend.measure {
                    Measure::Latency => "latency",
                    Measure::SuccessRate => "success (points)",
                };
                vec![
                    words::workload(&trend.model, &trend.shape),
                    words::arm(&trend.arm),
                    measure.to_owned(),
                    words::percent(trend.percent_per_day),
                    words::probability(trend.q_value),
                    words::count(trend.samples),
                ]
            });
            let heads = &["model", "arm", "what", "a day", "p", "runs"];
            writeln!(f, "{}", Table { heads, right: &[3, 4, 5], rows: rows.collect() })?;
        }
        writeln!(f, "What to do")?;
        let general = recommendations.values().filter(|found| found.source == Source::History);
        let all = general
            .map(|found| &found.recommendation)
            .chain(specific_recommendations.iter().map(|found| &found.recommendation));
        let mut none = true;
        for sentence in all.take(ROWS) {
            none = false;
            let clean: String =
                sentence.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
            writeln!(f, "  • {clean}")?;
        }
        if none {
            writeln!(
                f,
                "  Run the same models on two or more browsers or backends; then there is something to compare."
            )?;
        }
        Ok(())
    }
}

fn shown(count: usize, all: usize) -> String {
    match (count, all) {
        (0, _) => "none that is significant".to_owned(),
        (count, _) if count > ROWS => format!("{count}, of which the first {ROWS}"),
        (count, _) => count.to_string(),
    }
}
