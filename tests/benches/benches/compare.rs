//! oneflight beside its peers: `cargo bench --manifest-path tests/benches/Cargo.toml --bench compare -- --quick`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use oneflight_benches::counted::Counted;
use oneflight_benches::rounds::Plan;
use oneflight_benches::workloads::{ALL, Scale};
use oneflight_benches::{table, verify};

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// Compares oneflight with its peers and its limits, all in one run.
#[derive(Debug, Parser)]
struct Options {
    /// Smaller sizes and fewer rounds: under two minutes for everything.
    #[arg(long)]
    quick: bool,
    /// Only this workload; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = names())]
    workload: Vec<String>,
    /// Writes the rows to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn names() -> Vec<&'static str> {
    ALL.iter().map(|(name, _)| *name).collect()
}

fn main() -> Result<()> {
    let options = Options::parse();
    let (plan, scale) = match options.quick {
        true => (Plan::QUICK, Scale::Quick),
        false => (Plan::FULL, Scale::Full),
    };
    let mut json = match &options.json {
        Some(path) => {
            let file = File::create(path).with_context(|| path.display().to_string())?;
            Some(BufWriter::new(file))
        }
        None => None,
    };
    let started = Instant::now();
    println!("{} results verified", verify::all().len());
    let mut count = 0;
    for (name, groups) in ALL {
        if !options.workload.is_empty() && !options.workload.iter().any(|wanted| wanted == name) {
            continue;
        }
        for make in groups(scale) {
            let rows = make().measure(&plan);
            println!("\n{}", table::of(&rows));
            for row in &rows {
                if let Some(json) = &mut json {
                    serde_json::to_writer(&mut *json, row)?;
                    writeln!(json)?;
                }
            }
            count += rows.len();
        }
    }
    if let Some(mut json) = json {
        json.flush()?;
    }
    if count == 0 {
        bail!("nothing was measured");
    }
    println!(
        "\ncompare: {count} rows in {:.0} s",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}
