//! Reports for tests.

use std::collections::BTreeMap;

use super::host::HostFacts;
use super::timeline::Moment;
use super::{CurvePoint, Percentiles, Report};
use crate::delivery::DeliveryRow;
use crate::observe::TargetFindings;

/// `echo` in a closed loop, nothing amiss.
pub fn closed() -> Report {
    Report {
        valid: true,
        command: vec!["ringmain-load".to_owned(), "echo".to_owned()],
        mode: "echo".to_owned(),
        loop_kind: Some("closed".to_owned()),
        url: "ws://127.0.0.1:8000/echo".to_owned(),
        connections: 200,
        connected: 200,
        payload_bytes: "64".into(),
        in_flight: Some(4),
        duration_seconds: 10.0,
        warmup_seconds: 1.0,
        measured_at_seconds: Some(1.1),
        sent: 1_100_000,
        expected: 1_100_000,
        received: 1_100_000,
        messages_per_second: 100_000.0,
        bytes_per_second: 6_400_000.0,
        latency_microseconds: Some(percentiles(100.0, 1_000_000)),
        latency_curve: curve(100.0),
        handshake_microseconds: Some(percentiles(400.0, 200)),
        handshake_curve: curve(400.0),
        connect_seconds: 0.05,
        handshakes_per_second: 4000.0,
        cpu_seconds: 5.0,
        busy_share: 0.5,
        busy_shares: vec![0.5, 0.01],
        timeline: (0..12).map(moment).collect(),
        deliveries: (0..200).map(|publisher| delivery(publisher, 0)).collect(),
        threads: 1,
        cpus: vec![1],
        io: "io_uring".to_owned(),
        host: HostFacts {
            kernel: "6.18.0".to_owned(),
            cpu: "A processor".to_owned(),
            cores: 2,
            memory_bytes: 24 << 30,
            version: "0.1.0".to_owned(),
            ended_at: 1_700_000_000,
        },
        target: Some(TargetFindings {
            memory: Vec::new(),
            memory_growth_share: None,
            pid: Some(123),
            pids: Vec::new(),
            cpu_seconds: Some(6.0),
            cpu_nanoseconds_a_message: Some(6000.0),
            user_bytes_a_connection: Some(700.0),
            kernel_bytes_a_connection: Some(8000.0),
            metrics: BTreeMap::from([("ringmain_messages_total".to_owned(), 1e6)]),
            warnings: Vec::new(),
        }),
        ..Report::default()
    }
}

/// The same in an open loop.
pub fn open() -> Report {
    Report {
        loop_kind: Some("open".to_owned()),
        in_flight: None,
        messages_per_second_offered: Some(5000.0),
        messages_per_second_sent: Some(5000.0),
        messages_per_second: 5000.0,
        service_microseconds: Some(percentiles(90.0, 1_000_000)),
        service_curve: curve(90.0),
        send_lag_microseconds: Some(percentiles(10.0, 1_000_000)),
        ..closed()
    }
}

/// Connections that are held, without a probe.
pub fn idle() -> Report {
    Report {
        mode: "idle".to_owned(),
        loop_kind: None,
        in_flight: None,
        rooms: Some(2),
        sent: 0,
        expected: 0,
        received: 0,
        messages_per_second: 0.0,
        latency_microseconds: None,
        latency_curve: Vec::new(),
        deliveries: Vec::new(),
        ..closed()
    }
}

/// `closed` with as many rows amiss, and messages lost and connections failed.
pub fn faulty(rows: u32) -> Report {
    let amiss = (0..rows).map(|publisher| delivery(publisher, 2));
    Report {
        lost: 2 * u64::from(rows),
        failed: 3,
        errors: BTreeMap::from([("http_503".to_owned(), 3)]),
        hints: vec!["http_503: the server is full".to_owned()],
        deliveries: amiss.chain([delivery(rows, 0)]).collect(),
        ..closed()
    }
}

/// Times around this.
pub fn percentiles(p50: f64, count: u64) -> Percentiles {
    Percentiles {
        p50,
        p90: p50 * 1.5,
        p99: p50 * 2.0,
        p999: p50 * 4.0,
        max: p50 * 10.0,
        mean: p50 * 1.1,
        count,
    }
}

fn curve(p50: f64) -> Vec<CurvePoint> {
    let points = [
        (0.0, 0.5),
        (0.5, 1.0),
        (0.9, 1.5),
        (0.99, 2.0),
        (0.999, 4.0),
        (1.0, 10.0),
    ];
    let points = points.iter().map(|&(quantile, factor)| CurvePoint {
        quantile,
        microseconds: p50 * factor,
    });
    points.collect()
}

fn moment(index: u32) -> Moment {
    Moment {
        at_seconds: f64::from(index),
        seconds: 1.0,
        connections: 200,
        sent_per_second: 100_000.0 + f64::from(index * 100),
        received_per_second: 100_000.0,
        errors: u64::from(index == 3),
        latency_microseconds: (index > 0).then(|| percentiles(100.0, 100_000)),
    }
}

fn delivery(publisher: u32, lost: u64) -> DeliveryRow {
    DeliveryRow {
        room: 0,
        publisher: Some(publisher),
        sent: 5500,
        expected: 5500,
        received: 5500 - lost,
        lost,
        duplicated: 0,
        reordered: 0,
        corrupt: 0,
    }
}
