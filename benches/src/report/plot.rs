//! Plots as SVG: bars of ratios with their spread, and curves over the number of rows.

use std::fmt::Write;

use crate::result::Figure;

const LABELS: f64 = 430.0;
const PLOT: f64 = 400.0;
const LINE: f64 = 20.0;
const TOP: f64 = 50.0;
const BETTER: &str = "#2f6f9f";
const WORSE: &str = "#b5533c";
const GREY: &str = "#777";

/// A bar for each figure, on a logarithmic scale from one: to the right the learned index is better.
pub fn bars(title: &str, figures: &[&Figure]) -> String {
    let values = figures.iter().flat_map(|f| [f.ratio, f.low, f.high]);
    let scale = Scale::over(values.chain(figures.iter().filter_map(|f| f.ceiling)), LABELS);
    let height = TOP + LINE * figures.len() as f64 + 30.0;
    let mut svg = start(LABELS + PLOT + 80.0, height);
    text(
        &mut svg,
        10.0,
        20.0,
        "start",
        15,
        &format!("{title}: ratio, above 1 the learned index is better"),
    );
    axis(&mut svg, &scale, TOP - 8.0, height - 22.0);
    for (i, figure) in figures.iter().enumerate() {
        let y = TOP + LINE * i as f64;
        let (one, end) = (scale.at(1.0), scale.at(figure.ratio));
        let colour = if figure.ratio < 1.0 { WORSE } else { BETTER };
        let name = shortened(&name_of(figure), 66);
        text(&mut svg, LABELS - 8.0, y + 12.0, "end", 11, &name);
        let (x, width) = (one.min(end), (end - one).abs().max(1.0));
        let _ = writeln!(
            svg,
            r#"<rect x="{x:.1}" y="{:.1}" width="{width:.1}" height="12" fill="{colour}"/>"#,
            y + 2.0
        );
        let (low, high) = (scale.at(figure.low), scale.at(figure.high));
        line(&mut svg, (low, y + 8.0), (high, y + 8.0), "#222", "");
        if let Some(ceiling) = figure.ceiling.filter(|ceiling| ceiling.is_finite()) {
            let x = scale.at(ceiling);
            line(&mut svg, (x, y), (x, y + 16.0), "#000", "2 2");
        }
        let of = format!("{:.2}", figure.ratio);
        text(&mut svg, LABELS + PLOT + 30.0, y + 12.0, "start", 11, &of);
    }
    let note = "thin line: spread; dotted: the same plan without an index";
    text(&mut svg, LABELS, height - 6.0, "start", 10, note);
    svg.push_str("</svg>\n");
    svg
}

/// Curves of the ratio over the number of rows, one for each data set and measurement.
pub fn curves(figures: &[&Figure]) -> String {
    let others = |figure: &Figure| figures.iter().filter(|f| name_of(f) == name_of(figure)).count();
    let figures: Vec<&Figure> = figures.iter().copied().filter(|f| others(f) > 1).collect();
    let figures = &figures[..];
    let colours =
        ["#2f6f9f", "#b5533c", "#4c8a4c", "#8a5fa8", "#a88a2a", "#3c9a9a", "#555", "#c06090"];
    let (left, bottom, height) = (60.0, 340.0, 290.0);
    let rows = Scale::over(figures.iter().map(|f| f.rows as f64), left);
    let ratios = Scale { start: 0.0, ..Scale::over(figures.iter().map(|f| f.ratio), 0.0) };
    let up = |ratio: f64| bottom - ratios.at(ratio) * height / PLOT;
    let names = names_of(figures);
    let mut svg = start(left + PLOT + 360.0, bottom + 50.0);
    text(&mut svg, 10.0, 20.0, "start", 15, "ratio to a B-tree over the number of rows");
    for tick in ratios.ticks() {
        let y = up(tick);
        line(&mut svg, (left, y), (left + PLOT, y), if tick == 1.0 { "#222" } else { "#ddd" }, "");
        text(&mut svg, left - 6.0, y + 4.0, "end", 11, &format!("{tick}"));
    }
    for tick in rows.ticks() {
        let x = rows.at(tick);
        text(&mut svg, x, bottom + 18.0, "middle", 11, &format!("{tick:e}"));
    }
    for (i, name) in names.iter().enumerate() {
        let colour = colours[i % colours.len()];
        let of = figures.iter().filter(|f| name_of(f) == *name);
        let points: Vec<String> =
            of.map(|f| format!("{:.1},{:.1}", rows.at(f.rows as f64), up(f.ratio))).collect();
        let _ = writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
            points.join(" ")
        );
        let y = 60.0 + LINE * i as f64;
        let x = left + PLOT + 16.0;
        line(&mut svg, (x, y - 4.0), (x + 20.0, y - 4.0), colour, "");
        text(&mut svg, x + 26.0, y, "start", 11, &shortened(name, 50));
    }
    text(&mut svg, left + PLOT / 2.0, bottom + 40.0, "middle", 11, "rows");
    svg.push_str("</svg>\n");
    svg
}

fn name_of(figure: &Figure) -> String {
    format!("{}: {}", figure.data, figure.what)
}

fn names_of(figures: &[&Figure]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for figure in figures {
        let name = name_of(figure);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// A logarithmic scale, [`PLOT`] wide.
struct Scale {
    least: f64,
    greatest: f64,
    start: f64,
}

impl Scale {
    /// One that has all of these, and one where it is next to them.
    fn over(values: impl Iterator<Item = f64>, start: f64) -> Self {
        let (mut least, mut greatest) = (f64::INFINITY, 0.0f64);
        for value in values.filter(|value| value.is_finite() && *value > 0.0) {
            (least, greatest) = (least.min(value), greatest.max(value));
        }
        if least < 1_000.0 {
            (least, greatest) = (least.min(0.8), greatest.max(1.25));
        }
        Self { least, greatest: greatest.max(least * 1.01), start }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value / self.least).ln() / (self.greatest / self.least).ln();
        self.start + PLOT * share.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        let steps: &[f64] =
            if self.greatest / self.least > 30.0 { &[1.0] } else { &[1.0, 2.0, 3.0, 5.0] };
        let powers =
            (-3..10).flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
        powers.filter(|tick| (self.least..=self.greatest * 1.001).contains(tick)).collect()
    }
}

fn axis(svg: &mut String, scale: &Scale, top: f64, bottom: f64) {
    for tick in scale.ticks() {
        let x = scale.at(tick);
        line(svg, (x, top), (x, bottom), if tick == 1.0 { "#222" } else { "#ddd" }, "");
        text(svg, x, top - 3.0, "middle", 10, &format!("{}", (tick * 1e3).round() / 1e3));
    }
}

fn start(width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
        height=\"{height}\" font-family=\"sans-serif\">\n\
        <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    )
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, size: u32, what: &str) {
    let what = what.replace('&', "&amp;").replace('<', "&lt;");
    let fill = if size < 11 { GREY } else { "#222" };
    let _ = writeln!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" font-size="{size}" fill="{fill}">{what}</text>"#
    );
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, dashes: &str) {
    let dashes =
        if dashes.is_empty() { String::new() } else { format!(r#" stroke-dasharray="{dashes}""#) };
    let _ = writeln!(
        svg,
        r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="{colour}"{dashes}/>"#,
        from.0, from.1, to.0, to.1
    );
}

fn shortened(name: &str, length: usize) -> String {
    match name.chars().count() > length {
        true => name.chars().take(length - 1).chain(['…']).collect(),
        false => name.to_owned(),
    }
}
