//! Testing many series at once without taking noise for news.

/// The p-values adjusted after Benjamini and Hochberg ("Controlling the false discovery rate", 1995): of those that are
/// at most q, a share of at most q is expected to be noise.
pub(super) fn adjusted(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut least = 1.0_f64;
    for (rank, &at) in order.iter().enumerate().rev() {
        least = least.min(p_values[at] * p_values.len() as f64 / (rank + 1) as f64);
        adjusted[at] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_its_authors() {
        // Their section 4.1: 15 tests, of which the first four are significant at q = 0.05.
        let p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
            0.6528, 0.7590, 1.0,
        ];
        let significant = adjusted(&p).iter().filter(|&&q| q <= 0.05).count();
        assert_eq!(significant, 4);
    }

    proptest! {
        #[test]
        fn they_keep_the_order_and_only_grow(p in prop::collection::vec(0.0..=1.0_f64, 0..50)) {
            let q = adjusted(&p);
            for (i, j) in (0..p.len()).flat_map(|i| (0..p.len()).map(move |j| (i, j))) {
                prop_assert!(q[i] >= p[i] - 1e-12 && q[i] <= 1.0);
                prop_assert!(p[i] > p[j] || q[i] <= q[j] + 1e-12);
            }
        }
    }
}
