//! oneflight beside its peers: `cargo bench --manifest-path tests/benches/Cargo.toml --bench compare -- --quick`.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use oneflight_benches::counted::Counted;
use oneflight_benches::report::{self, Figures};
use oneflight_benches::rounds::Plan;
use oneflight_benches::row::Row;
use oneflight_benches::workloads::{ALL, NOTES, Scale};
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
    /// Measures nothing: takes the rows from a file that --json has written.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "workload", "json"])]
    from: Option<PathBuf>,
    /// Writes BENCHMARKS.md there.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Draws the curves into this folder, as SVG.
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn names() -> Vec<&'static str> {
    ALL.iter().map(|(name, _)| *name).collect()
}

fn main() -> Result<()> {
    let options = Options::parse();
    let figures = match &options.from {
        Some(path) => {
            let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
            Figures::parse(&text)?
        }
        None => Figures::new(measure(&options)?),
    };
    println!("\n{}", table::verdicts(&report::goals(&figures)));
    if let Some(folder) = &options.plots {
        println!("{} plots", report::draw(&figures, folder)?);
    }
    if let Some(path) = &options.markdown {
        fs::write(path, report::render(figures)?).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn measure(options: &Options) -> Result<Vec<Row>> {
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
    println!("{} right results verified", verify::all().len());
    let hangs = verify::hangs().join(", ");
    println!("calls hang forever after a first caller that was dropped: {hangs}");
    for note in NOTES {
        println!("{note}");
    }
    let wanted =
        |name: &str| options.workload.is_empty() || options.workload.iter().any(|one| one == name);
    let mut all = Vec::new();
    for (_, groups) in ALL.iter().filter(|(name, _)| wanted(name)) {
        for make in groups(scale) {
            let rows = make().measure(&plan);
            println!("\n{}", table::of(&rows));
            for row in &rows {
                if let Some(json) = &mut json {
                    serde_json::to_writer(&mut *json, row)?;
                    writeln!(json)?;
                }
            }
            if let Some(json) = &mut json {
                // A run that is cut short leaves what it has measured.
                json.flush()?;
            }
            all.extend(rows);
        }
    }
    ensure!(!all.is_empty(), "nothing was measured");
    println!(
        "\ncompare: {} rows in {:.0} s",
        all.len(),
        started.elapsed().as_secs_f64()
    );
    Ok(all)
}
