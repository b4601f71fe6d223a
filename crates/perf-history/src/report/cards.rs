//! What to do, first of all.

use super::html::{Text, meter};
use crate::Source;
use crate::analysis::{Analysis, Gain, RecommendationKind, words};

/// A card for each type of model that ran, and a line for those that did not.
pub(super) fn cards(analysis: &Analysis) -> String {
    let mut html = String::from("<div class=\"cards\">");
    let mut assumed = Vec::new();
    for (name, found) in &analysis.recommendations {
        let Some(affinity) = analysis.model_type_affinities.get(name) else { continue };
        let arm = words::arm(&affinity.optimal_arm);
        if found.source == Source::Default && found.samples == 0 {
            assumed.push(format!("<li><b>{}</b> {}</li>", Text(&name.replace('_', " ")), Text(&arm)));
            continue;
        }
        // What may as well be the other way round is no gain to be proud of.
        let clear = |gain: &&Gain| gain.latency_percent_interval.is_some_and(|interval| interval.high < 0.0);
        let gain = found.expected_gain.as_ref().filter(clear).and_then(|gain| gain.latency_percent);
        let gain = gain.map_or_else(String::new, |percent| {
            format!("<span class=\"gain\">{} latency</span>", Text(&words::percent(percent)))
        });
        let sure = match found.source {
            Source::History => meter(found.confidence),
            Source::Default => "<span class=\"tag\">assumed, too few runs</span>".to_owned(),
        };
        html += &format!(
            "<article><h3>{}</h3><p class=\"arm\">{} <small>{}</small></p><p class=\"facts\">{gain}{sure}</p><p>{}</p>\
             </article>",
            Text(&name.replace('_', " ")),
            Text(affinity.optimal_browser.as_str()),
            Text(&format!("{} {}", affinity.optimal_arm.browser_version, affinity.optimal_backend)),
            Text(&found.recommendation),
        );
    }
    html += "</div>";
    if !assumed.is_empty() {
        html += &format!(
            "<details class=\"assumed\"{}><summary>What is assumed for types that have not run</summary><ul>{}</ul><p \
             class=\"note\">Assumptions, not measurements: run the same model on two or more browsers or backends to \
             replace them.</p></details>",
            if analysis.history.runs == 0 { " open" } else { "" },
            assumed.concat()
        );
    }
    html
}

/// What to do about single models and arms.
pub(super) fn specific(analysis: &Analysis, most: usize) -> String {
    let all = &analysis.specific_recommendations;
    if all.is_empty() {
        return String::new();
    }
    let mut html = String::from("<ul class=\"todo\">");
    for found in all.iter().take(most) {
        let kind = match found.kind {
            RecommendationKind::Switch => "switch",
            RecommendationKind::Regression => "slower",
            RecommendationKind::Trend => "trend",
        };
        html += &format!(
            "<li><span class=\"tag {kind}\">{kind}</span><span>{}</span></li>",
            Text(&found.recommendation)
        );
    }
    html += "</ul>";
    if all.len() > most {
        html += &format!("<p class=\"note\">{} more are in the JSON.</p>", all.len() - most);
    }
    html
}
