//! The workloads under Criterion: `cargo bench -p ringmain-benches --bench micro -- fan-out`.
#![allow(missing_docs)] // Criterion's macros make public functions.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringmain_benches::workloads;

fn all(criterion: &mut Criterion) {
    for workload in workloads::all() {
        let mut group = criterion.benchmark_group(workload.group);
        group.throughput(Throughput::Elements(workload.elements));
        group.bench_function(workload.name, |bencher| {
            let mut run = workload.prepare();
            bencher.iter(&mut run);
        });
        group.finish();
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
