//! For use while working: `cargo bench --manifest-path tests/benches/own/Cargo.toml --bench dev`.

use divan::Bencher;
use oneflight_own_benches as own;

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench]
fn solo(bencher: Bencher<'_, '_>) {
    let group = own::warm();
    bencher
        .counter(divan::counter::ItemsCount::new(own::CALLS))
        .bench_local(|| own::solo(&group));
}

#[divan::bench]
fn solo_long(bencher: Bencher<'_, '_>) {
    let group = own::warm_long();
    bencher
        .counter(divan::counter::ItemsCount::new(own::CALLS))
        .bench_local(|| own::solo_long(&group));
}

#[divan::bench]
fn work(bencher: Bencher<'_, '_>) {
    let group = own::warm();
    bencher
        .counter(divan::counter::ItemsCount::new(own::CALLS))
        .bench_local(|| own::work(&group));
}

#[divan::bench]
fn cycle(bencher: Bencher<'_, '_>) {
    let group = own::warm();
    bencher
        .counter(divan::counter::ItemsCount::new(own::CALLS))
        .bench_local(|| own::cycle(&group));
}

#[divan::bench]
fn join(bencher: Bencher<'_, '_>) {
    bencher
        .counter(divan::counter::ItemsCount::new(own::WAITERS))
        .with_inputs(own::begun)
        .bench_local_values(own::joined);
}

#[divan::bench]
fn settle_resume(bencher: Bencher<'_, '_>) {
    bencher
        .counter(divan::counter::ItemsCount::new(own::WAITERS))
        .with_inputs(own::parked)
        .bench_local_values(own::settled);
}

#[divan::bench]
fn cancel(bencher: Bencher<'_, '_>) {
    bencher
        .counter(divan::counter::ItemsCount::new(own::WAITERS))
        .with_inputs(own::parked)
        .bench_local_values(own::cancelled);
}
