//! From values to places on an axis, and where its ticks are.

/// A line does not lie on the lower edge of a logarithmic axis: it begins at most at the least value divided by this.
const MARGIN: f64 = 1.2;

/// An axis' range and kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Equal steps are equal differences.
    Linear {
        /// The value at its beginning.
        from: f64,
        /// The value at its end; above `from`.
        to: f64,
    },
    /// Equal steps are equal ratios.
    Log {
        /// The value at its beginning; above 0.
        from: f64,
        /// The value at its end; above `from`.
        to: f64,
    },
}

impl Scale {
    /// From 0 to a round number that no value exceeds.
    pub fn linear(values: impl Iterator<Item = f64>) -> Scale {
        let max = values.fold(0.0, f64::max);
        let step = nice_step(max, 4);
        let to = (max / step).ceil().max(1.0) * step;
        Scale::Linear { from: 0.0, to }
    }

    /// Between numbers of the form 1, 2 or 5 times a power of ten that enclose all values above 0.
    pub fn log(values: impl Iterator<Item = f64>) -> Scale {
        let values = values.filter(|value| *value > 0.0);
        let (min, max) = values.fold((f64::INFINITY, 0.0), |(min, max), value| {
            (f64::min(min, value), f64::max(max, value))
        });
        if max == 0.0 {
            return Scale::Log {
                from: 1.0,
                to: 10.0,
            };
        }
        let from = round_down(min / MARGIN);
        let mut to = round_down(max);
        while to < max || to <= from {
            to = next_round(to);
        }
        Scale::Log { from, to }
    }

    /// Where a value is, from 0 at the beginning to 1 at the end; values beyond are put there.
    pub fn place(self, value: f64) -> f64 {
        let share = match self {
            Scale::Linear { from, to } => (value - from) / (to - from),
            Scale::Log { from, to } => (value.max(from) / from).ln() / (to / from).ln(),
        };
        share.clamp(0.0, 1.0)
    }

    /// Round values along the axis, about as many as given.
    pub fn ticks(self, count: u32) -> Vec<f64> {
        match self {
            Scale::Linear { from, to } => {
                let step = nice_step(to - from, count);
                let last = ((to - from) / step + 1e-9).floor() as u32;
                (0..=last).map(|i| from + f64::from(i) * step).collect()
            }
            Scale::Log { .. } => {
                let (rounds, decades) = (self.rounds(), self.decades());
                if rounds.len() <= count as usize || decades.len() < 2 {
                    return rounds;
                }
                let every = decades.len().div_ceil(count.max(1) as usize);
                decades.into_iter().step_by(every).collect()
            }
        }
    }

    /// The powers of ten along a logarithmic axis.
    pub fn decades(self) -> Vec<f64> {
        let mut rounds = self.rounds();
        rounds.retain(|round| (round.log10() - round.log10().round()).abs() < 1e-9);
        rounds
    }

    /// 1, 2 and 5 times the powers of ten along the axis.
    fn rounds(self) -> Vec<f64> {
        let (Scale::Linear { from, to } | Scale::Log { from, to }) = self;
        let rounds =
            std::iter::successors(Some(round_down(from)), |&round| Some(next_round(round)));
        rounds
            .skip_while(|round| *round < from * (1.0 - 1e-9))
            .take_while(|round| *round <= to * (1.0 + 1e-9))
            .collect()
    }
}

/// 1, 2 or 5 times a power of ten, so that about `count` steps make the range.
fn nice_step(range: f64, count: u32) -> f64 {
    if range <= 0.0 {
        return 1.0;
    }
    let rough = range / f64::from(count);
    let mut step = round_down(rough);
    while step < rough * (1.0 - 1e-9) {
        step = next_round(step);
    }
    step
}

/// The largest of 1, 2 and 5 times a power of ten that is no more.
fn round_down(value: f64) -> f64 {
    let power = 10f64.powf((value.log10() + 1e-9).floor());
    let digit = value / power;
    let digits = [5.0, 2.0];
    let digit = digits.into_iter().find(|d| digit >= d * (1.0 - 1e-9));
    power * digit.unwrap_or(1.0)
}

/// The one after it.
fn next_round(round: f64) -> f64 {
    let power = 10f64.powf((round.log10() + 1e-9).floor());
    let digit = (round / power).round();
    power
        * if digit < 2.0 {
            2.0
        } else if digit < 5.0 {
            5.0
        } else {
            10.0
        }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_scale_encloses_its_values_keeps_their_order_and_has_few_round_ticks(
            mut values in prop::collection::vec(1e-3..1e9, 1..20),
        ) {
            values.sort_by(f64::total_cmp);
            for scale in [Scale::linear(values.iter().copied()), Scale::log(values.iter().copied())] {
                let (Scale::Linear { from, to } | Scale::Log { from, to }) = scale;
                prop_assert!(from < to);
                for pair in values.windows(2) {
                    prop_assert!(scale.place(pair[0]) <= scale.place(pair[1]));
                }
                for value in &values {
                    prop_assert!(from <= value * 1.000_001 && *value <= to * 1.000_001);
                }
                let ticks = scale.ticks(4);
                prop_assert!((1..=14).contains(&ticks.len()), "{scale:?} {ticks:?}");
                prop_assert!(ticks.is_sorted());
                prop_assert!(ticks.iter().all(|tick| (from * 0.999_999..=to * 1.000_001).contains(tick)));
            }
        }
    }

    #[test]
    fn ticks_are_round_and_as_few_as_asked_for() {
        let linear = Scale::linear([37.0].into_iter());
        assert_eq!(linear.ticks(4), [0.0, 10.0, 20.0, 30.0, 40.0]);
        let log = Scale::log([35.0, 800.0].into_iter());
        assert_eq!(log.ticks(6), [20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]);
        assert_eq!(log.ticks(4), [100.0, 1000.0]);
        let wide = Scale::log([1.0, 1e8].into_iter());
        assert_eq!(wide.ticks(4), [1.0, 1e3, 1e6]);
        // Nothing to show still is an axis.
        assert_eq!(Scale::linear([].into_iter()).ticks(4).first(), Some(&0.0));
        assert_eq!(
            Scale::log([0.0].into_iter()).ticks(4),
            [1.0, 2.0, 5.0, 10.0]
        );
    }
}
