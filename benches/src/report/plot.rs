//! Pictures of ratios as SVG: a dot for each figure, with its spread.

use std::borrow::Cow;

use plotters::coord::combinators::WithKeyPoints;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use textwrap::{Options, WordSplitter};

use super::tables::{number, thousands};
use crate::Result;
use crate::drawing::{BAND, COLOURS, GRID, colour, font, mark, text};
use crate::result::{Figure, GROUPS};

/// Lengths are pixels.
const WIDTH: i32 = 960;
const MARGIN: i32 = 14;
const LINE: i32 = 15;
/// Of the names of rows, which have up to [`NAME`] characters in a line.
const NAMES: i32 = 340;
const NAME: usize = 46;
/// Right of a spread, for its number.
const NUMBER: i32 = 60;
/// Of the axis, with its numbers and what they are.
const AXIS: i32 = 44;
const TEXT: f64 = 12.0;
const TITLE: f64 = 16.0;

const NOTE: &str = "Right of 1 the learned index is better.";
const SPREAD: &str = "Marks are medians of paired rounds; lines reach from the least round to the \
    greatest.";
const BOUND: &str = "the bound: an index as small as the entropy of the keys";

/// Some figures of a group that have one message.
pub struct Picture<'a> {
    /// The group.
    pub group: &'static str,
    /// What it shows.
    pub title: String,
    /// The name of its file.
    pub file: String,
    /// What the ratio is, with its units.
    ratio: String,
    figures: Vec<&'a Figure>,
}

/// The pictures of all groups. A figure that is alone has none.
pub fn pictures<'a>(figures: &'a [Figure]) -> Vec<Picture<'a>> {
    let mut pictures = Vec::new();
    for (group, heading) in GROUPS {
        let members: Vec<&Figure> = figures.iter().filter(|f| f.group == group).collect();
        let with_key = |figure: &&'a Figure| {
            // Of growing tables, what is measured at one size only is another message.
            let grows = members.iter().any(|other| differ_in_rows(figure, other));
            let subject = match (group, &figure.data[..]) {
                ("scale", "pgbench") if !grows => "More clients",
                ("scale", _) if !grows => "Rows in the delta",
                _ => heading,
            };
            Some(((subject, aspect(figure)?), *figure))
        };
        let with_keys: Vec<_> = members.iter().filter_map(with_key).collect();
        for (subject, aspect) in distinct(with_keys.iter().map(|(key, _)| *key)) {
            let of_this = with_keys.iter().filter(|(key, _)| *key == (subject, aspect));
            let figures: Vec<&Figure> = of_this.map(|(_, figure)| *figure).collect();
            let units = distinct(figures.iter().map(|figure| &figure.unit[..])).join(", ");
            let of_btree = figures.iter().all(|figure| figure.against == "btree");
            let other = if of_btree { "the B-tree" } else { "the other index" };
            let ratio = match aspect {
                "speed" => format!("times as fast as {other}"),
                _ => format!("times fewer {units} than {other}"),
            };
            pictures.push(Picture {
                group,
                title: format!("{subject}: how many {ratio}"),
                file: format!("{subject} {aspect}.svg").to_lowercase().replace(' ', "_"),
                ratio,
                figures,
            });
        }
    }
    pictures.retain(|picture| picture.figures.len() > 1);
    pictures
}

/// What the ratio is of; `None` where it is neither of speeds nor of sizes.
fn aspect(figure: &Figure) -> Option<&'static str> {
    let ratios = [figure.low, figure.ratio, figure.high];
    if figure.what.starts_with("training") || ratios.iter().any(|ratio| !ratio.is_normal()) {
        return None;
    }
    match figure.unit.as_str() {
        "bytes/row" | "pages" | "buffers" => Some("size"),
        "ms" | "ns" => Some("speed"),
        unit => unit.ends_with("/s").then_some("speed"),
    }
}

fn differ_in_rows(one: &Figure, other: &Figure) -> bool {
    one.rows != other.rows && one.data == other.data && one.what == other.what
}

impl Picture<'_> {
    /// Draws it.
    #[expect(clippy::too_many_lines, reason = "a picture from top to bottom")]
    pub fn draw(&self, svg: &mut String) -> Result<()> {
        let names = self.names();
        let rows = distinct(names.iter().map(|(row, _)| row));
        let mut series = distinct(names.iter().map(|(_, series)| &series[..]));
        let bound = |figure: &Figure| figure.ceiling.filter(|_| self.group == "space");
        series.extend(self.figures.iter().any(|figure| bound(figure).is_some()).then_some(BOUND));
        series.retain(|name| !name.is_empty());
        let members = |row: &String| -> Vec<usize> {
            (0..names.len()).filter(|i| names[*i].0 == *row).collect()
        };
        let lines = |row: &String| wrapped(row).len().max(members(row).len());
        // Where each row begins and ends, from above.
        let start = 2 * MARGIN + LINE * (3 + series.len() as i32);
        let mut end = start;
        let mut places = Vec::new();
        for row in rows {
            let below = end + LINE * lines(row) as i32 + 6;
            places.push((row, end..below));
            end = below;
        }
        let (left, right) = (MARGIN + NAMES, WIDTH - MARGIN);
        let canvas = SVGBackend::with_string(svg, (WIDTH as u32, (end + AXIS + MARGIN) as u32));
        let canvas = canvas.into_drawing_area();
        canvas.fill(&WHITE)?;
        for (_, y) in places.iter().step_by(2) {
            canvas.draw(&Rectangle::new([(MARGIN, y.start), (right, y.end)], BAND.filled()))?;
        }
        text(&canvas, (MARGIN, MARGIN + 8), HPos::Left, TITLE, &self.title)?;
        let spread = if self.figures.iter().any(|f| f.rounds > 1) { SPREAD } else { "" };
        let note = format!("{NOTE} {spread}");
        text(&canvas, (MARGIN, MARGIN + 31), HPos::Left, TEXT, note.trim_end())?;
        for (number, name) in series.iter().enumerate() {
            let y = MARGIN + 36 + LINE * (number as i32 + 1);
            mark(&canvas, number, (MARGIN + 5, y))?;
            text(&canvas, (MARGIN + 16, y), HPos::Left, TEXT, name)?;
        }
        let ratios = self.figures.iter().flat_map(|f| [Some(f.low), Some(f.high), bound(f)]);
        let room = f64::from(NUMBER) / f64::from(right - left - NUMBER);
        let mut chart = ChartBuilder::on(&canvas)
            .margin(MARGIN)
            .margin_top(start)
            .x_label_area_size(AXIS)
            .y_label_area_size(NAMES)
            .build_cartesian_2d(axis(ratios.flatten(), room), 0.0..1.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(0)
            .x_label_formatter(&|ratio| format!("{}", (ratio * 1e5).round() / 1e5))
            .x_desc(format!("{} (logarithmic)", self.ratio))
            .label_style(font(TEXT))
            .bold_line_style(GRID)
            .draw()?;
        let x = |ratio: f64| chart.backend_coord(&(ratio, 0.0)).0;
        canvas.draw(&PathElement::new([(x(1.0), start), (x(1.0), end)], BLACK))?;
        for (row, y) in places {
            let middle = (y.start + y.end) / 2;
            let lines = wrapped(row);
            for (line, y) in lines.iter().zip(around(middle, lines.len())) {
                text(&canvas, (left - 8, y), HPos::Right, TEXT, line)?;
            }
            for (i, y) in members(row).into_iter().zip(around(middle, members(row).len())) {
                let figure = self.figures[i];
                let ratio = number(figure.ratio);
                let number_of = |name: &str| series.iter().position(|s| *s == name).unwrap_or(0);
                let series = number_of(&names[i].1);
                let spread = [(x(figure.low), y), (x(figure.high), y)];
                canvas.draw(&PathElement::new(spread, colour(series)))?;
                mark(&canvas, series, (x(figure.ratio), y))?;
                if let Some(bound) = bound(figure) {
                    mark(&canvas, number_of(BOUND), (x(bound), y))?;
                    text(&canvas, (x(figure.low) - 9, y), HPos::Right, TEXT, &ratio)?;
                } else {
                    text(&canvas, (x(figure.high) + 9, y), HPos::Left, TEXT, &ratio)?;
                }
            }
        }
        Ok(canvas.present()?)
    }

    /// The row of each figure, and what its colour stands for: the more of both are the rows.
    fn names(&self) -> Vec<(String, String)> {
        let all = &self.figures;
        let is_one = distinct(all.iter().map(|figure| &figure.against)).len() == 1;
        let grows = all.iter().any(|one| all.iter().any(|other| differ_in_rows(one, other)));
        let what = |figure: &Figure| match is_one {
            true => figure.what.clone(),
            false => format!("{}, against {}", figure.what, figure.against),
        };
        let sets = distinct(all.iter().map(|figure| &figure.data)).len();
        let whats = distinct(all.iter().map(|figure| what(figure))).len();
        let name = |figure: &&Figure| match (figure.data.clone(), what(figure)) {
            (data, what) if grows => {
                (format!("{data}: {what}"), format!("{} rows", thousands(figure.rows as f64)))
            }
            (data, what) if sets.min(whats) > COLOURS.len() => {
                (format!("{data}: {what}"), String::new())
            }
            (data, what) if sets < whats => (what, data),
            names => names,
        };
        all.iter().map(name).collect()
    }
}

/// The lines of a row's name.
fn wrapped(name: &str) -> Vec<Cow<'_, str>> {
    textwrap::wrap(name, Options::new(NAME).word_splitter(WordSplitter::NoHyphenation))
}

/// The vertical centres of `lines` lines of text, centred together on `middle`.
fn around(middle: i32, lines: usize) -> impl Iterator<Item = i32> {
    (0..lines as i32).map(move |i| middle + LINE * (2 * i + 1 - lines as i32) / 2)
}

/// A logarithmic axis that has all of these and 1, and beyond them this share of its length.
fn axis(ratios: impl Iterator<Item = f64>, room: f64) -> WithKeyPoints<LogCoord<f64>> {
    let ends = (0.85f64, 1.25f64);
    let (least, most) = ratios.fold(ends, |(a, b), ratio| (a.min(ratio), b.max(ratio)));
    let least = least * (least / most).powf(0.02);
    let most = most * (most / least).powf(room);
    let steps: &[f64] = match most / least {
        times if times < 4.0 => &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
        times if times < 50.0 => &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
        times if times < 5_000.0 => &[1.0, 2.0, 5.0],
        _ => &[1.0],
    };
    let ticks = (-5..9).flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
    let ticks = ticks.filter(|tick| (least..=most).contains(tick)).collect();
    (least..most).log_scale().with_key_points(ticks)
}

fn distinct<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for item in items {
        if !found.contains(&item) {
            found.push(item);
        }
    }
    found
}
