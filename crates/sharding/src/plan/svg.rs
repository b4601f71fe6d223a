//! The plan as a picture.

use std::fmt::Write as _;

use super::explain::size;
use super::{Plan, Stage};
use crate::cut::total;

/// Pixels of a stage's box and of the gaps around it.
const BOX: (usize, usize) = (210, 62);
const GAP: (usize, usize) = (90, 22);

/// Fills of shards, in turn; dark enough for text on them to be read, and told apart by brightness too.
const FILLS: [&str; 8] =
    ["#dbeafe", "#fde68a", "#bbf7d0", "#fecaca", "#e9d5ff", "#fed7aa", "#a5f3fc", "#e5e7eb"];

/// Draws the stages by columns, each behind those that it depends on, filled by shard, with their workers where these are
/// known, and with what flows between them. The SVG stands alone: no script, no font and no image from elsewhere.
#[must_use]
pub fn svg(plan: &Plan) -> String {
    let mut column = vec![0_usize; plan.stages.len()];
    let mut taken: Vec<usize> = Vec::new();
    let mut corner = Vec::with_capacity(plan.stages.len());
    for (place, stage) in plan.stages.iter().enumerate() {
        let at = before(place, stage).map(|before| column[before] + 1).max().unwrap_or(0);
        column[place] = at;
        if taken.len() <= at {
            taken.resize(at + 1, 0);
        }
        corner.push((GAP.1 + at * (BOX.0 + GAP.0), 50 + taken[at] * (BOX.1 + GAP.1)));
        taken[at] += 1;
    }
    let width = GAP.1 * 2 + taken.len() * (BOX.0 + GAP.0) - GAP.0.min(taken.len() * GAP.0);
    let height = 60 + taken.iter().max().unwrap_or(&1) * (BOX.1 + GAP.1);
    let mut out = String::new();
    let mut put = |text: String| {
        // Writing to a string cannot fail.
        let _ = out.write_str(&text);
    };
    put(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n<title>{0}</title>\n<defs><marker id=\"tip\" \
         viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0 L8 4 \
         L0 8z\" fill=\"#475569\"/></marker></defs>\n<text x=\"{1}\" y=\"26\" font-size=\"15\" fill=\"#0f172a\">{0}</text>\n",
        escape(&format!("{}: {}, {} shards", plan.model, plan.strategy, plan.shards)),
        GAP.1
    ));
    for (place, stage) in plan.stages.iter().enumerate() {
        for before in before(place, stage) {
            let flows = plan.flows.iter().filter(|flow| flow.from == before && flow.to.contains(&place));
            let sizes: Vec<u64> = flows.map(|flow| flow.bytes.unwrap_or(0)).collect();
            let (count, bytes) = (sizes.len(), total(sizes));
            let (from, to) = (corner[before], corner[place]);
            let (x1, y1, x2, y2) = (from.0 + BOX.0, from.1 + BOX.1 / 2, to.0, to.1 + BOX.1 / 2);
            let bend = (x1 + x2) / 2;
            put(format!(
                "<path d=\"M{x1} {y1} C{bend} {y1} {bend} {y2} {x2} {y2}\" fill=\"none\" stroke=\"#475569\" \
                 marker-end=\"url(#tip)\"><title>{count} tensors, {}</title></path>\n",
                size(bytes)
            ));
            if column[place] == column[before] + 1 {
                put(format!(
                    "<text x=\"{bend}\" y=\"{}\" text-anchor=\"middle\" fill=\"#475569\" font-size=\"10\" \
                     paint-order=\"stroke\" stroke=\"#ffffff\" stroke-width=\"3\">{}</text>\n",
                    // In the middle of the arrow, so that arrows that meet keep their labels apart.
                    (y1 + y2) / 2 - 6,
                    size(bytes)
                ));
            }
        }
    }
    for (stage, &(x, y)) in plan.stages.iter().zip(&corner) {
        let fill = FILLS[stage.shard % FILLS.len()];
        let place = stage.worker.clone().unwrap_or_else(|| format!("{} nodes", stage.nodes));
        let lines = [
            format!("{} · {}", stage.index, stage.label),
            format!("shard {} · {place}", stage.shard),
            format!("{} · {:.2} GFLOP", size(stage.weight_bytes), stage.work as f64 / 1e9),
        ];
        put(format!(
            "<g><rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"6\" fill=\"{fill}\" stroke=\"#334155\"/>\n",
            BOX.0, BOX.1
        ));
        for (line, text) in lines.iter().enumerate() {
            let (x, y) = (x + 10, y + 18 + 17 * line);
            let short: String = text.chars().take(32).collect();
            put(format!("<text x=\"{x}\" y=\"{y}\" fill=\"#0f172a\">{}</text>\n", escape(&short)));
        }
        put("</g>\n".to_owned());
    }
    put("</svg>\n".to_owned());
    out
}

/// What a stage depends on; in a plan that was not checked it may name what does not stand before it.
fn before(place: usize, stage: &Stage) -> impl Iterator<Item = usize> {
    stage.depends_on.iter().copied().filter(move |&before| before < place)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
