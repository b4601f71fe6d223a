//! Divides a line into stretches: the heaviest one as light as possible, and among such divisions the one that is even
//! and has cheap cuts.

/// How much heavier than the best division's heaviest stretch one may be, if it is better otherwise: a tenth.
const SLACK: u64 = 10;

/// What the cheapest possible cut counts against evenness, in squared thousandths of the whole: a cut that costs twice as
/// much is taken where it makes stretches more even by about a twentieth.
const CUT: u64 = 200;

/// The places to cut at, out of `places`, for `parts` stretches of the line `mass`; `None` if there are too few places.
/// `price` is what a cut at a place costs. Places are between 1 and the length less one, in rising order.
pub(crate) fn divide(mass: &[u64], places: &[usize], price: &[u64], parts: usize) -> Option<Vec<usize>> {
    if parts == 0 || places.len() + 1 < parts {
        return None;
    }
    let sums = prefix(mass);
    // The stretches end at the places and at the end of the line.
    let ends: Vec<usize> = places.iter().copied().chain([mass.len()]).collect();
    let begins: Vec<usize> = std::iter::once(0).chain(places.iter().copied()).collect();
    let weight = |from: usize, to: usize| sums[ends[to]] - sums[begins[from]];
    let lightest = heaviest_of_best(&weight, ends.len(), parts);
    let most = lightest.saturating_add(lightest / SLACK);
    let (total, least) = (sums[mass.len()], least(places, price));
    let uneven = |from: usize, to: usize| unevenness(weight(from, to), total);
    cheapest(&weight, ends.len(), parts, most, &uneven, &|end| scaled(price[ends[end]], least))
        .map(|cuts| cuts.into_iter().map(|end| ends[end]).collect())
}

/// The square of a stretch's share in thousandths: the sum over all stretches is least where they are even.
fn unevenness(weight: u64, total: u64) -> u64 {
    let share = weight.saturating_mul(1000) / total.max(1);
    share * share
}

fn least(places: &[usize], price: &[u64]) -> u64 {
    places.iter().map(|&place| price[place]).min().unwrap_or(0)
}

fn scaled(price: u64, least: u64) -> u64 {
    (price.saturating_add(1).saturating_mul(CUT) / least.saturating_add(1)).min(CUT * 10_000)
}

fn prefix(mass: &[u64]) -> Vec<u64> {
    let mut sums = vec![0];
    for weight in mass {
        sums.push(sums[sums.len() - 1] + weight);
    }
    sums
}

/// The weight of the heaviest stretch in the best division; the classic linear partition by dynamic programming.
fn heaviest_of_best(weight: &dyn Fn(usize, usize) -> u64, count: usize, parts: usize) -> u64 {
    let mut best: Vec<u64> = (0..count).map(|end| weight(0, end)).collect();
    for part in 1..parts {
        let before = best;
        best = (0..count)
            .map(|end| {
                let last = (part..=end).map(|from| before[from - 1].max(weight(from, end)));
                last.min().unwrap_or(u64::MAX)
            })
            .collect();
    }
    best[count - 1]
}

/// The cheapest cuts none of whose stretches is heavier than `most`, as the stretches' ends without the last one.
fn cheapest(
    weight: &dyn Fn(usize, usize) -> u64,
    count: usize,
    parts: usize,
    most: u64,
    uneven: &dyn Fn(usize, usize) -> u64,
    price: &dyn Fn(usize) -> u64,
) -> Option<Vec<usize>> {
    let mut best: Vec<Option<u64>> =
        (0..count).map(|end| (weight(0, end) <= most).then(|| uneven(0, end))).collect();
    let mut from: Vec<Vec<usize>> = Vec::new();
    for part in 1..parts {
        let mut next = vec![None; count];
        let mut choice = vec![0; count];
        for end in part..count {
            for start in part..=end {
                if let Some(cost) = best[start - 1]
                    && weight(start, end) <= most
                {
                    let cost = cost + price(start - 1) + uneven(start, end);
                    if next[end].is_none_or(|known| cost < known) {
                        next[end] = Some(cost);
                        choice[end] = start - 1;
                    }
                }
            }
        }
        best = next;
        from.push(choice);
    }
    best[count - 1]?;
    let mut cuts = Vec::new();
    let mut end = count - 1;
    for choice in from.iter().rev() {
        end = choice[end];
        cuts.push(end);
    }
    cuts.reverse();
    Some(cuts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heaviest(mass: &[u64], cuts: &[usize]) -> u64 {
        let ends = cuts.iter().copied().chain([mass.len()]);
        let mut start = 0;
        ends.map(|end| mass[std::mem::replace(&mut start, end)..end].iter().sum()).max().unwrap_or(0)
    }

    /// Every way to choose so many of the places.
    fn choices(places: &[usize], count: usize) -> Vec<Vec<usize>> {
        if count == 0 {
            return vec![Vec::new()];
        }
        (0..places.len())
            .flat_map(|at| {
                let rest = choices(&places[at + 1..], count - 1);
                rest.into_iter().map(move |rest| [&[places[at]], &*rest].concat())
            })
            .collect()
    }

    proptest! {
        #[test]
        fn no_other_division_is_better(
            mass in prop::collection::vec(0_u64..100, 2..10),
            price in prop::collection::vec(0_u64..100, 11),
            allowed in prop::collection::vec(any::<bool>(), 10),
            parts in 1_usize..6,
        ) {
            let places: Vec<usize> = (1..mass.len()).filter(|&place| allowed[place]).collect();
            let all = choices(&places, parts - 1);
            let Some(cuts) = divide(&mass, &places, &price, parts) else {
                prop_assert!(all.is_empty());
                return Ok(());
            };
            let best = all.iter().map(|cuts| heaviest(&mass, cuts)).min().expect("there is one");
            let most = best + best / SLACK;
            prop_assert!(heaviest(&mass, &cuts) <= most);
            let total = mass.iter().sum();
            let cost = |cuts: &[usize]| {
                let prices = cuts.iter().map(|&cut| scaled(price[cut], least(&places, &price))).sum::<u64>();
                let mut start = 0;
                let ends = cuts.iter().copied().chain([mass.len()]);
                let shares = ends.map(|end| mass[std::mem::replace(&mut start, end)..end].iter().sum());
                prices + shares.map(|share| unevenness(share, total)).sum::<u64>()
            };
            let cheapest = all.iter().filter(|cuts| heaviest(&mass, cuts) <= most).map(|cuts| cost(cuts)).min();
            prop_assert_eq!(Some(cost(&cuts)), cheapest);
        }
    }
}
