//! The curves, as SVG for a person to look at.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::prelude::*;

use super::figures::Figures;

/// One plot: a workload over its sizes.
struct Plot {
    file: &'static str,
    title: &'static str,
    workload: &'static str,
    key: &'static str,
    across: &'static str,
    up: &'static str,
}

const PLOTS: &[Plot] = &[
    Plot {
        file: "settle_resume",
        title: "Settle and resume, no executor",
        workload: "settle_resume",
        key: "guard",
        across: "waiters on one key (at 1: the whole cycle)",
        up: "ns a waiter",
    },
    Plot {
        file: "fan_tokio",
        title: "Settle to the last waiter resumed, tokio on one thread",
        workload: "fan",
        key: "tokio-current",
        across: "waiters on one key, a task each",
        up: "ns a waiter",
    },
    Plot {
        file: "keys",
        title: "Beginning a flight while the table grows tenfold",
        workload: "keys",
        key: "begin",
        across: "keys in flight at the end",
        up: "ns a begin",
    },
    Plot {
        file: "value",
        title: "Handing a settled value to a waiter",
        workload: "value",
        key: "u64",
        across: "bytes of the value",
        up: "ns a waiter",
    },
];

/// Who is drawn, in which colour: more lines than these can not be told apart. A run prints everyone.
const LINES: &[(&str, RGBColor)] = &[
    ("oneflight", RGBColor(200, 30, 30)),
    ("work", RGBColor(230, 120, 120)),
    ("Shared", RGBColor(31, 119, 180)),
    ("dash", RGBColor(44, 140, 60)),
    ("broadcast", RGBColor(240, 140, 20)),
    ("quick_cache", RGBColor(130, 90, 180)),
    ("singleflight-async", RGBColor(140, 86, 75)),
    ("async_singleflight", RGBColor(220, 110, 190)),
    ("asyncband", RGBColor(20, 170, 190)),
    ("moka", RGBColor(170, 170, 30)),
    ("Event on the stack", RGBColor(150, 150, 150)),
    ("Vec<Waker>", RGBColor(60, 60, 60)),
];

const SIZE: (u32, u32) = (960, 560);
/// How much of the width the names take.
const NAMES: u32 = 200;

/// Writes every plot that there are rows for; how many.
pub fn draw(figures: &Figures, folder: &Path) -> Result<usize> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut count = 0;
    for plot in PLOTS {
        if figures.sizes(plot.workload, plot.key).len() > 1 {
            let path = folder.join(plot.file).with_extension("svg");
            plot.draw(figures, &path)
                .map_err(|error| anyhow!("{}: {error}", path.display()))?;
            count += 1;
        }
    }
    Ok(count)
}

type Line = (&'static str, RGBColor, Vec<(f64, f64)>);

impl Plot {
    fn lines(&self, figures: &Figures) -> Vec<Line> {
        let line = |(name, colour): &(&'static str, RGBColor)| {
            let rows = figures
                .of(self.workload, self.key)
                .filter(|row| row.contender == *name);
            let points: Vec<_> = rows
                .filter_map(|row| Some((row.n as f64, row.ns?)))
                .collect();
            (!points.is_empty()).then_some((*name, *colour, points))
        };
        LINES.iter().filter_map(line).collect()
    }

    fn draw(&self, figures: &Figures, path: &Path) -> Result<(), Box<dyn std::error::Error + '_>> {
        let mut lines = self.lines(figures);
        let all = || lines.iter().flat_map(|(_, _, points)| points);
        let (left, right) = bounds(all().map(|(x, _)| *x));
        let (low, high) = bounds(all().map(|(_, y)| *y));
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (chart, names) = area.split_horizontally(SIZE.0 - NAMES);
        let mut chart = ChartBuilder::on(&chart)
            .caption(self.title, ("sans-serif", 22))
            .margin(12)
            .x_label_area_size(48)
            .y_label_area_size(72)
            .build_cartesian_2d(
                (left..right).log_scale(),
                (low * 0.8..high * 1.25).log_scale(),
            )?;
        let size = |value: &f64| human(*value);
        chart
            .configure_mesh()
            .x_desc(self.across)
            .y_desc(self.up)
            .x_label_formatter(&size)
            .y_label_formatter(&size)
            .label_style(("sans-serif", 15))
            .axis_desc_style(("sans-serif", 16))
            .bold_line_style(BLACK.mix(0.18))
            .light_line_style(BLACK.mix(0.05))
            .draw()?;
        for (name, colour, points) in &lines {
            let width = if *name == "oneflight" { 4 } else { 2 };
            chart.draw_series(LineSeries::new(
                points.iter().copied(),
                colour.stroke_width(width),
            ))?;
            let dot = |point: &(f64, f64)| Circle::new(*point, width, colour.filled());
            chart.draw_series(points.iter().map(dot))?;
        }
        // In the order in which the lines end, so that the eye goes straight across.
        lines.sort_by(|a, b| last(b).total_cmp(&last(a)));
        for (place, (name, colour, _)) in lines.iter().enumerate() {
            let y = 64 + 26 * place as i32;
            let width = if *name == "oneflight" { 4 } else { 2 };
            names.draw(&PathElement::new(
                vec![(4, y), (30, y)],
                colour.stroke_width(width),
            ))?;
            names.draw(&Circle::new((17, y), width, colour.filled()))?;
            names.draw(&Text::new(*name, (38, y - 8), ("sans-serif", 16)))?;
        }
        area.present()?;
        Ok(())
    }
}

fn last(line: &Line) -> f64 {
    line.2.last().map_or(0.0, |(_, y)| *y)
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::MAX, f64::MIN), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

fn human(value: f64) -> String {
    match value {
        1e6.. => format!("{}M", value / 1e6),
        1e3.. => format!("{}k", value / 1e3),
        _ => format!("{value}"),
    }
}
