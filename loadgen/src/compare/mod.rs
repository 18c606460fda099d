//! Compares two results: is the second worse than the first?

mod figures;
mod settings;
pub mod table;

use std::fs;
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use crate::cli::Compare;
use crate::report::Report;
use figures::Figure;
use settings::Difference;

/// A share, given in percent: `5%` or `5`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percent(f64);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Percent, String> {
        let number = text.strip_suffix('%').unwrap_or(text);
        match number.parse() {
            Ok(percent) if (0.0..=1000.0).contains(&percent) => Ok(Percent(percent / 100.0)),
            _ => Err("give a percentage from 0% to 1000%".to_owned()),
        }
    }
}

/// Why two results cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A file is not there.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A file is something else.
    #[error("{path} is no result of ringmain-load ({cause}): give what --json wrote")]
    Parse {
        /// The file.
        path: String,
        /// What does not fit.
        cause: serde_json::Error,
    },
    /// The runs were of different things.
    #[error("the two runs are not of the same thing: {}. Run both with the same options", settings::listed(.0))]
    Differ(Vec<Difference>),
}

/// What came of a comparison. Shares are fractions: 0.05 is 5%.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The scenario and its loop.
    pub scenario: String,
    /// The first file.
    pub a: String,
    /// The second.
    pub b: String,
    /// By how much of A's value a figure of B may be worse.
    pub max_regress: Percent,
    /// The figures that either has.
    pub figures: Vec<Figure>,
    /// Why B is worse, in words; empty if it is not.
    pub worse_because: Vec<String>,
    /// What makes the comparison doubtful.
    pub doubts: Vec<String>,
}

impl Comparison {
    /// Compares two reports; the names are their files'.
    ///
    /// # Errors
    /// They are of different things.
    pub fn new(
        (name_a, a): (&str, &Report),
        (name_b, b): (&str, &Report),
        max_regress: Percent,
    ) -> Result<Comparison, CompareError> {
        let differences = settings::differences(a, b);
        if !differences.is_empty() {
            return Err(CompareError::Differ(differences));
        }
        let figures = figures::of(a, b, max_regress.0);
        let mut worse_because = amiss(a, b);
        worse_because.extend(figures.iter().filter_map(Figure::worse_because));
        Ok(Comparison {
            scenario: format!("{}, {}", a.mode, crate::report::words::loop_named(a)),
            a: name_a.to_owned(),
            b: name_b.to_owned(),
            max_regress,
            figures,
            worse_because,
            doubts: doubts(a, b),
        })
    }

    /// Whether B is worse.
    pub fn is_worse(&self) -> bool {
        !self.worse_because.is_empty()
    }
}

/// Compares two files.
///
/// # Errors
/// One cannot be read, or they are of different things.
pub fn of(files: &Compare) -> Result<Comparison, CompareError> {
    let (a, b) = (read(&files.before)?, read(&files.after)?);
    let (name_a, name_b) = (files.before.display(), files.after.display());
    Comparison::new(
        (&name_a.to_string(), &a),
        (&name_b.to_string(), &b),
        files.max_regress,
    )
}

fn read(path: &Path) -> Result<Report, CompareError> {
    let name = || path.display().to_string();
    let text = fs::read_to_string(path).map_err(|cause| CompareError::Read {
        path: name(),
        cause,
    })?;
    serde_json::from_str(&text).map_err(|cause| CompareError::Parse {
        path: name(),
        cause,
    })
}

/// What is amiss in B and was not in A.
fn amiss(a: &Report, b: &Report) -> Vec<String> {
    let mut reasons = Vec::new();
    let faults = b.faults();
    if a.faults().is_empty() && !faults.is_empty() {
        reasons.push(format!("B has faults: {}", faults.join(", ")));
    }
    if a.valid && !b.valid {
        let why = b.invalid_because.join("; ");
        reasons.push(format!("B is invalid: {why}"));
    }
    reasons
}

/// What a reader should know before the figures are taken at their word.
fn doubts(a: &Report, b: &Report) -> Vec<String> {
    let mut doubts = Vec::new();
    if !a.faults().is_empty() {
        doubts.push(format!("A has faults: {}", a.faults().join(", ")));
    }
    for (name, report) in [("A", a), ("B", b)] {
        if let Some(words) = crate::report::words::interrupted(report) {
            doubts.push(format!("{name} was interrupted: {words}"));
        }
    }
    if !a.valid {
        doubts.push("A is invalid: its figures are not the target's".to_owned());
    }
    doubts.extend(settings::untold(a, b));
    let facts = |report: &Report| {
        [
            ("processor", report.host.cpu.clone()),
            ("cores", report.host.cores.to_string()),
            ("kernel", report.host.kernel.clone()),
            ("ringmain-load", report.host.version.clone()),
            ("load's driver", report.io.clone()),
            ("load's threads", report.threads.to_string()),
            ("load's cores", format!("{:?}", report.cpus)),
        ]
    };
    for ((name, a), (_, b)) in facts(a).into_iter().zip(facts(b)) {
        if a != b {
            doubts.push(format!("{name}: A {a}, B {b}"));
        }
    }
    doubts
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::report::sample;

    fn compare(a: &Report, b: &Report, max_regress: &str) -> Result<Comparison, CompareError> {
        Comparison::new(("a", a), ("b", b), max_regress.parse().unwrap())
    }

    fn is_worse(a: &Report, b: &Report) -> bool {
        compare(a, b, "5%").unwrap().is_worse()
    }

    #[test]
    fn percentages_are_read_with_and_without_their_sign() {
        assert_eq!("5%".parse(), Ok(Percent(0.05)));
        assert_eq!("2.5".parse(), Ok(Percent(0.025)));
        for wrong in ["", "%", "-1%", "five", "NaN", "1001"] {
            assert!(wrong.parse::<Percent>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn runs_of_different_things_are_refused_by_name() {
        let a = sample::closed();
        type Change = fn(&mut Report);
        let changes: [(&str, Change); 8] = [
            ("scenario", |b| b.mode = "fanout".to_owned()),
            ("connections", |b| b.connections = 201),
            ("payload", |b| b.payload_bytes = "65".into()),
            ("in flight", |b| b.in_flight = Some(5)),
            ("rooms", |b| b.rooms = Some(2)),
            ("publishers", |b| b.publishers = Some(2)),
            ("handshakes offered", |b| {
                b.handshakes_per_second_offered = Some(1.0)
            }),
            ("all at once", |b| b.handshakes_at_once = true),
        ];
        for (name, change) in changes {
            let mut b = a.clone();
            change(&mut b);
            let error = compare(&a, &b, "5%").unwrap_err().to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
        let error = compare(&a, &sample::open(), "5%").unwrap_err().to_string();
        assert!(error.contains("loop (A: closed, B: open)"), "{error}");
        // How long and from where one measures does not change what is measured.
        let mut longer = a.clone();
        longer.duration_seconds = 60.0;
        longer.url = "ws://127.0.0.1:9000/echo".to_owned();
        assert!(!is_worse(&a, &longer));
    }

    #[test]
    fn what_the_runs_were_of_is_read_from_their_files() {
        let with = |changes: Value| {
            let mut json = serde_json::to_value(sample::open()).unwrap();
            let fields = json.as_object_mut().unwrap();
            fields.extend(changes.as_object().unwrap().clone());
            serde_json::from_value::<Report>(json).unwrap()
        };
        let staying = |seconds: Value| {
            let mut visits = json!({"per_second_offered": 10.0, "visits": 100, "skipped": 0, "received": 100, "missed": 0});
            if !seconds.is_null() {
                visits["stay_seconds"] = seconds;
            }
            with(json!({ "visits": visits }))
        };
        let plain = sample::open();
        let secret = with(json!({"url": "WSS://127.0.0.1:9000/echo"}));
        let (own, not_own) = (with(json!({"own": true})), with(json!({"own": false})));
        let (short, long) = (staying(json!(1.0)), staying(json!(5.0)));
        for (a, b, words) in [
            (&plain, &secret, "scheme (A: ws, B: wss)"),
            (&own, &not_own, "own messages received (A: yes, B: no)"),
            (&short, &long, "seconds of a visit (A: 1.00, B: 5.00)"),
        ] {
            let error = compare(a, b, "5%").unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
            assert!(compare(b, b, "5%").is_ok());
        }
        // Files of older versions do not say; then the reader is told.
        let untold = staying(Value::Null);
        for (a, b, words) in [
            (
                &plain,
                &own,
                "own messages received: A does not say (of an older version), B yes",
            ),
            (&long, &untold, "seconds of a visit: A 5.00, B does not say"),
        ] {
            let doubts = compare(a, b, "5%").unwrap().doubts.join("; ");
            assert!(doubts.contains(words), "{words}: {doubts}");
        }
    }

    #[test]
    fn cpu_a_message_is_not_judged_where_others_read_slowly() {
        let with = |members, cpu| {
            let mut report = sample::open();
            report.target.as_mut().unwrap().cpu_nanoseconds_a_message = Some(cpu);
            report.slow = serde_json::from_value(json!({
                "members": members, "bytes_per_second": 0, "closed": 0, "received": 0, "missed": 0
            }))
            .unwrap();
            report
        };
        assert!(is_worse(&with(5, 100.0), &with(5, 200.0)));
        assert!(!is_worse(&with(0, 100.0), &with(5, 200.0)));
    }

    #[test]
    fn faults_and_doubts_count_only_where_they_are_new() {
        let (good, faulty) = (sample::closed(), sample::faulty(2));
        assert!(is_worse(&good, &faulty));
        assert!(!is_worse(&faulty, &faulty) && !is_worse(&faulty, &good));
        let invalid = Report {
            valid: false,
            ..sample::closed()
        };
        assert!(is_worse(&good, &invalid));
        assert!(!is_worse(&invalid, &invalid) && !is_worse(&invalid, &good));
        let doubts = compare(&invalid, &invalid, "5%").unwrap().doubts;
        assert!(doubts[0].contains("A is invalid"), "{doubts:?}");
    }

    #[test]
    fn a_closed_loop_is_judged_by_its_rate_and_an_open_one_by_its_latency() {
        let slower = |mut report: Report| {
            report.messages_per_second *= 0.5;
            report
        };
        let later = |mut report: Report| {
            let latency = report.latency_microseconds.as_mut().unwrap();
            latency.p99 *= 2.0;
            report
        };
        let (closed, open) = (sample::closed(), sample::open());
        assert!(is_worse(&closed, &slower(closed.clone())));
        assert!(!is_worse(&closed, &later(closed.clone())));
        assert!(!is_worse(&open, &slower(open.clone())));
        assert!(is_worse(&open, &later(open.clone())));
    }

    #[test]
    fn a_quantile_with_few_values_beyond_it_is_not_judged() {
        let with = |count, p999| {
            let mut report = sample::open();
            let latency = report.latency_microseconds.as_mut().unwrap();
            (latency.count, latency.p999) = (count, p999);
            report
        };
        assert!(is_worse(&with(100_000, 100.0), &with(100_000, 200.0)));
        assert!(!is_worse(&with(100_000, 100.0), &with(99_999, 200.0)));
    }

    proptest! {
        #[test]
        fn nothing_is_worse_than_itself(rate in 0.0..1e7, p99 in 0.0..1e7, max in 0.0..100.0) {
            let mut report = sample::open();
            report.messages_per_second = rate;
            report.latency_microseconds.as_mut().unwrap().p99 = p99;
            let comparison = compare(&report, &report, &format!("{max}%")).unwrap();
            prop_assert!(!comparison.is_worse());
        }

        #[test]
        fn worse_is_what_lost_more_than_is_allowed(
            rate in 1.0..1e7, factor in 0.01..3.0, percent in 0u32..50,
        ) {
            let a = Report { messages_per_second: rate, ..sample::closed() };
            let b = Report { messages_per_second: rate * factor, ..sample::closed() };
            let allowed = f64::from(percent) / 100.0;
            // Where the two agree but for rounding, either answer is right.
            let loss: f64 = 1.0 - factor;
            prop_assume!((loss - allowed).abs() > 1e-9);
            let worse = compare(&a, &b, &format!("{percent}%")).unwrap().is_worse();
            prop_assert_eq!(worse, loss > allowed);
        }

        #[test]
        fn of_two_different_runs_at_most_one_is_worse(
            rates in prop::array::uniform2(1.0..1e7), percent in 0u32..50,
        ) {
            let [a, b] = rates.map(|rate| Report { messages_per_second: rate, ..sample::closed() });
            let max = format!("{percent}%");
            let worse = |a, b| compare(a, b, &max).unwrap().is_worse();
            prop_assert!(!(worse(&a, &b) && worse(&b, &a)));
        }
    }
}
