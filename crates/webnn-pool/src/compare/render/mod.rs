//! A comparison as a table, as JUnit XML and as a page.

mod draw;
mod html;
mod junit;
mod table;

pub use html::html;
pub use junit::junit;
pub use table::table;

#[cfg(test)]
mod tests {
    use vocab::BrowserName;

    use super::*;
    use crate::compare::regress::RegressionRules;
    use crate::compare::report::{CompareReport, Status};
    use crate::compare::sample::{arm, report};
    use crate::compare::{Outcome, Requirements};

    fn judged() -> CompareReport {
        let arms = |firefox: f64| {
            report(vec![
                arm(BrowserName::Chromium, Status::Right, &[10.0, 10.1]),
                arm(BrowserName::Firefox, Status::Wrong, &[firefox, 1.02 * firefox]),
                arm(BrowserName::Edge, Status::Missing, &[]),
            ])
        };
        let mut now = arms(30.0);
        now.compare_with(&arms(10.0), &RegressionRules::default()).expect("the same inputs");
        now.judge(&Requirements::default());
        now
    }

    #[test]
    fn a_page_has_the_drawings_and_no_name_is_markup() {
        let page = html(&judged());
        for part in
            ["id=\"t-latency\"", "id=\"t-rounds\"", "id=\"t-start\"", "id=\"t-memory\"", "id=\"t-changes\""]
        {
            assert!(page.contains(part), "no {part}");
        }
        assert!(
            page.contains("a&lt;b&gt;&amp;&#39;c&#39;")
                && !page.contains("a<b>")
                && !page.contains("<wrong>")
        );
        assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("NaN"), "{page}");
        let drawings = page.matches("<svg viewBox=\"0 0 720").count();
        assert_eq!(
            (drawings, page.matches("<desc").count(), page.matches("<details><summary>The figures").count()),
            (5, 5, 5)
        );
    }

    #[test]
    fn a_page_of_nothing_is_a_page() {
        let mut empty = report(vec![arm(BrowserName::Edge, Status::Missing, &[])]);
        empty.judge(&Requirements::default());
        let page = html(&empty);
        assert!(page.ends_with("</html>\n") && !page.contains("viewBox=\"0 0 720"), "{page}");
        assert!(!junit(&empty).contains("-0"), "{}", junit(&empty));
    }

    #[test]
    fn junit_counts_what_it_holds() {
        let report = judged();
        let xml = junit(&report);
        let count = |outcome| report.checks.iter().filter(|check| check.outcome == outcome).count();
        assert_eq!(xml.matches("<testcase ").count(), report.checks.len());
        assert_eq!(xml.matches("<failure ").count(), count(Outcome::Failed));
        assert_eq!(xml.matches("<skipped ").count(), count(Outcome::Skipped));
        assert!(
            count(Outcome::Failed) >= 2 && xml.contains(&format!("failures=\"{}\"", count(Outcome::Failed)))
        );
        assert!(!xml.contains("a<b>") && xml.contains("timestamp=\"2026-11-30T00:53:00\""), "{xml}");
    }

    #[test]
    fn a_table_says_what_changed() {
        let text = table(&judged());
        assert!(text.contains("WORSE firefox/wasm latency") && text.contains("then"), "{text}");
        assert!(text.contains("edge/wasm missing: <missing> & why"), "{text}");
    }
}
