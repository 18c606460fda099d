//! Whether the load generator measured the target, or itself.

use std::time::Duration;

use super::Report;
use super::units::percent;
use crate::busy::BusyTimes;
use crate::control::Findings;
use crate::plan::Plan;
use crate::settings::Settings;

/// An open loop that sent less than this share of what was due in its time did not offer the load asked for.
const SENT_SHARE_MIN: f64 = 0.99;

/// CPU time of the busiest core in the measurement. Several threads may share one, and it is the core that has no more
/// than all of its time.
pub fn busiest_core(plan: &Plan, findings: &Findings) -> Duration {
    let cores = plan.by_core(findings.cpu.iter().copied(), |core, cpu| *core += cpu);
    cores.into_iter().max().unwrap_or_default()
}

/// The share of the busiest half second that the busiest core worked while connections were opened or came back; `None`
/// where these are not what is measured, or none were to.
pub fn handshakes_busy_share(plan: &Plan, findings: &Findings) -> Option<f64> {
    let cores = plan.by_core(findings.busy_handshakes.iter().cloned(), BusyTimes::merge);
    let shares = cores.iter().filter_map(BusyTimes::busiest_share);
    shares.reduce(f64::max)
}

/// Why a run's figures cannot be taken at their word; empty if they can.
pub fn doubts(report: &Report, settings: &Settings) -> Vec<String> {
    let mut doubts = Vec::new();
    // Without messages nothing waits for the load generator in the measurement.
    let sending = report
        .loop_kind
        .as_ref()
        .map(|_| (report.busy_share, "of the time", "fewer messages"));
    let connecting = report
        .handshakes_busy_share
        .map(|share| match report.storm {
            None => (
                share,
                "of half a second in which connections were opened",
                "a lower --rate",
            ),
            Some(_) => (
                share,
                "of half a second in which they came back",
                "a gentler --policy",
            ),
        });
    for (share, when, remedy) in sending.into_iter().chain(connecting) {
        if share >= settings.busy_max {
            doubts.push(format!(
                "the load generator was the bottleneck: its busiest core worked {} {when}, and beyond {} it is \
                 not known who waits for whom. Give it more --cpus, or {remedy}",
                percent(share),
                percent(settings.busy_max),
            ));
        }
    }
    let lag_max = settings.lag_max_ns as f64 / 1e3;
    if let Some(lag) = report.send_lag_microseconds.filter(|lag| lag.p99 > lag_max) {
        doubts.push(format!(
            "the schedule was not kept: one message in a hundred was sent {:.1} ms late or later, and {:.1} ms are \
             allowed (--lag-max). Give the load generator more --cpus, or ask for a lower --rate-messages",
            lag.p99 / 1e3,
            lag_max / 1e3,
        ));
    }
    let handshake_lag = report.handshake_lag_microseconds;
    if settings.scenario == "connect"
        && let Some(lag) = handshake_lag.filter(|lag| lag.p99 > lag_max)
    {
        doubts.push(format!(
            "the schedule was not kept: one handshake in a hundred began {:.1} ms late or later, and {:.1} ms are allowed \
             (--lag-max). Give the load generator more --cpus, or ask for a lower --rate",
            lag.p99 / 1e3,
            lag_max / 1e3,
        ));
    }
    if let (Some(offered), Some(sent)) = (
        report.messages_per_second_offered,
        report.messages_per_second_sent,
    ) && sent < offered * SENT_SHARE_MIN
        && report.duration_seconds > 0.0
    {
        let missing = report.failed + report.connections_lost;
        let why = match missing {
            0 => "the sockets took no more. Ask for a lower --rate-messages, or for more --connections to send them".to_owned(),
            _ => format!("{missing} connections failed or were lost, and with them who was to send"),
        };
        doubts.push(format!(
            "{sent:.0} messages a second were sent of the {offered:.0} asked for: {why}",
        ));
    }
    let grown = report
        .target
        .as_ref()
        .and_then(|target| target.memory_growth_share);
    if settings.growth_max.is_some() && grown.is_none() {
        doubts.push(
            "the target's memory could not be followed for long enough to say whether it grew (--growth-max): run as the \
             target's user or root, or longer"
                .to_owned(),
        );
    }
    doubts
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.
mod tests {
    use ringmain_rt::Backend;

    use super::*;
    use crate::cli::job;
    use crate::clock::{SECOND_NS, Window};
    use crate::delivery::Deliveries;
    use crate::measure::Record;
    use crate::plan::host::Host;
    use crate::report::timeline::Timeline;

    /// Ten seconds in which the threads, and last the control thread, worked so long.
    fn findings(cpu_seconds: &[f64]) -> Findings {
        let cpu = cpu_seconds.iter().copied().map(Duration::from_secs_f64);
        Findings {
            record: Record::new(SECOND_NS).unwrap(),
            window: Some(Window {
                begin_ns: 0,
                from_ns: 0,
                to_ns: 10 * SECOND_NS,
            }),
            window_monotonic: None,
            cpu: cpu.collect(),
            busy_handshakes: Vec::new(),
            timeline: Timeline::new(Vec::new(), SECOND_NS),
            deliveries: Deliveries::default(),
            target: None,
            connect_ns: SECOND_NS,
            interrupted: false,
        }
    }

    fn report(words: &str, findings: &Findings) -> Report {
        let settings = Settings::from_cli(&job(words)).unwrap();
        let host = Host {
            cpus: vec![0, 1],
            descriptors: 20_000,
            private_tables: true,
            files: 2_000_000,
            ports: 28_232,
        };
        let plan = Plan::new(&settings, settings.target.resolve().unwrap(), &host).unwrap();
        Report::new(&settings, &plan, 2, Backend::Epoll, findings).unwrap()
    }

    #[test]
    fn threads_that_share_a_core_are_judged_together() {
        let words = "fanout --url ws://127.0.0.1:1/ --connections 50000 --cpus";
        let busy = findings(&[3.3, 3.3, 3.3, 0.05]);
        // Three threads for the descriptors, and one core for all.
        let report = report(&format!("{words} 1"), &busy);
        assert_eq!((report.threads, &report.cpus[..]), (3, &[1][..]));
        let why = report.invalid_because.join(" ");
        assert!(why.contains("bottleneck"), "{why}");
    }

    #[test]
    fn threads_on_cores_of_their_own_are_judged_each_by_itself() {
        let words = "fanout --url ws://127.0.0.1:1/ --connections 30000 --cpus 0-1";
        // The last is the control thread, on the first one's core.
        let (idle, busy) = (findings(&[6.0, 6.0, 2.0]), findings(&[6.0, 6.0, 3.1]));
        assert_eq!(report(words, &idle).invalid_because, Vec::<String>::new());
        assert!((report(words, &busy).busy_share - 0.91).abs() < 1e-9);
        assert!(!report(words, &busy).valid);
    }

    #[test]
    fn a_core_that_was_busy_whenever_they_came_back_is_the_bottleneck() {
        let words = "storm --url ws://127.0.0.1:1/ --connections 50000 --cpus 1 --policy fixed:10";
        let mut busy = findings(&[0.3, 0.3, 0.3, 0.05]);
        busy.busy_handshakes = vec![BusyTimes::default(); 3];
        for times in &mut busy.busy_handshakes {
            let (from_ns, to_ns) = (10 * SECOND_NS, 11 * SECOND_NS);
            times.add(from_ns, to_ns, Duration::from_millis(330));
        }
        let why = report(words, &busy).invalid_because.join(" ");
        assert!(why.contains("99.0% of half a second"), "{why}");
    }
}
