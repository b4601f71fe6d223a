//! Which browser and backend suits which type of model, as a map.

use std::collections::BTreeMap;

use super::html::Text;
use crate::Source;
use crate::analysis::{Affinity, Analysis, Candidate, words};

/// A table of browsers and backends by types of model, coloured by score. It is a table, so it can be read aloud.
pub(super) fn heat_map(analysis: &Analysis) -> String {
    let types: Vec<_> =
        analysis.model_type_affinities.iter().filter(|(_, found)| found.samples > 0).collect();
    if types.is_empty() {
        return "<p class=\"note\">Nothing has run yet, so there is nothing to compare.</p>".to_owned();
    }
    // Of several versions and devices, the best one stands for its browser and backend.
    let mut rows: BTreeMap<_, BTreeMap<&str, &Candidate>> = BTreeMap::new();
    for (name, affinity) in &types {
        for candidate in candidates(affinity) {
            let key = (candidate.arm.browser.as_str(), candidate.arm.backend.as_str());
            rows.entry(key).or_default().entry(name).or_insert(candidate);
        }
    }
    let mut html = String::from(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Affinities\"><table class=\"heat\"><caption>Score \
         by browser and backend (rows) and model type (columns)</caption><thead><tr><th scope=\"col\">browser / \
         backend</th>",
    );
    for (name, _) in &types {
        html += &format!("<th scope=\"col\">{}</th>", Text(&name.replace('_', " ")));
    }
    html += "</tr></thead><tbody>";
    for ((browser, backend), cells) in &rows {
        html += &format!("<tr><th scope=\"row\">{} <small>{}</small></th>", Text(browser), Text(backend));
        for (name, affinity) in &types {
            html += &cells
                .get(**name)
                .map_or_else(|| "<td class=\"none\">–</td>".to_owned(), |found| cell(found, affinity));
        }
        html += "</tr>";
    }
    html + "</tbody></table></div><p class=\"note\">Large: the score, 70 % success and 30 % latency; the more colour, \
            the better. Small: latency as a multiple of the best arm’s on the same models, and the success rate. \
            ★ marks the best with the probability that it is; a frame, the best where that is at least 80 %. Cells \
            in italics have too few runs to judge. ≈ is assumed: the arm ran nothing that another one ran.</p>"
}

/// The best arm of an affinity and the others, best first.
fn candidates(affinity: &Affinity) -> impl Iterator<Item = &Candidate> {
    affinity.optimal.iter().chain(&affinity.alternatives)
}

fn cell(found: &Candidate, affinity: &Affinity) -> String {
    let best = affinity.source == Source::History && affinity.optimal_arm == found.arm;
    let mut class = Vec::new();
    class.extend(best.then_some(if affinity.confidence >= 0.8 { "best sure" } else { "best" }));
    class.extend((found.source == Source::Default).then_some("thin"));
    let star = if best {
        format!(" ★ <small>{}</small>", Text(&words::sure(affinity.confidence)))
    } else {
        String::new()
    };
    // Scores below a half are rare, so the colours are for what is above.
    let heat = (100.0 * (found.score - 0.4) / 0.6).clamp(0.0, 100.0);
    let times = if found.compared { "" } else { "≈" };
    format!(
        "<td class=\"{}\" style=\"--heat:{heat:.0}%\" title=\"{}: {} runs\"><b>{:.2}</b>{star}<br><small>{times}{:.2}× · \
         {}</small></td>",
        class.join(" "),
        Text(&words::arm(&found.arm)),
        found.samples,
        found.score,
        found.relative_latency.min(9_999.0),
        words::share(found.success_rate),
    )
}
