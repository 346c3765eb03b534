//! Charts of two axes, and bars of pairs, as SVG.

use std::ops::Range;

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use crate::Result;
use crate::drawing::{GRID, colour, font, mark, text};

/// Lengths are pixels.
const WIDTH: i32 = 960;
const MARGIN: i32 = 14;
/// Of the axes with their numbers.
const X_AXIS: i32 = 44;
const Y_AXIS: i32 = 70;
/// Of the line that names the series.
const LEGEND: i32 = 24;
const TEXT: f64 = 12.0;
/// Of a bar, and of the names of rows.
const BAR: i32 = 16;
const NAMES: i32 = 250;
/// Right of the longest bar, for its number.
const NUMBER: i32 = 60;

/// How the points of a series are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// Joined.
    Line,
    /// Each by itself.
    Dots,
    /// As short lines up from the horizontal axis.
    Ticks,
}

/// Points that belong together, from left to right.
pub struct Series {
    pub name: &'static str,
    pub marks: Marks,
    pub points: Vec<(f64, f64)>,
}

/// A chart of two axes, the vertical one from zero on.
pub struct Chart {
    /// What the axes are, with their units.
    pub x: &'static str,
    pub y: &'static str,
    pub height: i32,
    pub series: Vec<Series>,
}

impl Chart {
    pub fn draw(&self) -> Result<String> {
        let mut svg = String::new();
        let canvas = SVGBackend::with_string(&mut svg, (WIDTH as u32, self.height as u32));
        let canvas = canvas.into_drawing_area();
        canvas.fill(&WHITE)?;
        let mut place = MARGIN + Y_AXIS;
        for (number, series) in self.series.iter().enumerate() {
            mark(&canvas, number, (place, MARGIN))?;
            text(&canvas, (place + 10, MARGIN), HPos::Left, TEXT, series.name)?;
            place += 40 + 8 * series.name.len() as i32;
        }
        let (across, up) = self.extent()?;
        let mut chart = ChartBuilder::on(&canvas)
            .margin(MARGIN)
            .margin_top(LEGEND)
            .x_label_area_size(X_AXIS)
            .y_label_area_size(Y_AXIS)
            .build_cartesian_2d(across, up.clone())?;
        chart
            .configure_mesh()
            .x_labels(6)
            .y_labels(5)
            .x_label_formatter(&|value| short(*value))
            .y_label_formatter(&|value| short(*value))
            .x_desc(self.x)
            .y_desc(self.y)
            .label_style(font(TEXT))
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (number, series) in self.series.iter().enumerate() {
            let style = colour(number);
            match series.marks {
                Marks::Line => {
                    let line = PathElement::new(series.points.clone(), style.stroke_width(2));
                    chart.draw_series([line])?;
                }
                Marks::Dots => {
                    let dot = |at: &(f64, f64)| Circle::new(*at, 2, style.filled());
                    chart.draw_series(series.points.iter().map(dot))?;
                }
                Marks::Ticks => {
                    let top = up.end / 30.0;
                    let tick = |&(x, _): &(f64, f64)| {
                        PathElement::new([(x, 0.0), (x, top)], style.stroke_width(1))
                    };
                    chart.draw_series(series.points.iter().map(tick))?;
                }
            }
        }
        canvas.present()?;
        drop(chart);
        drop(canvas);
        Ok(svg)
    }

    /// From the least to the greatest of both axes. An error where there is nothing to show.
    fn extent(&self) -> Result<(Range<f64>, Range<f64>)> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let least = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
        let most = points().map(|point| point.0).fold(f64::NEG_INFINITY, f64::max);
        let top = points().map(|point| point.1).fold(0.0, f64::max);
        if least >= most {
            return Err(format!("nothing to show of {} over {}", self.y, self.x).into());
        }
        Ok((least..most, 0.0..(top * 1.05).max(1.0)))
    }
}

/// What a B-tree and a learned index take, a pair of bars each: less is better.
pub struct Bars {
    pub unit: &'static str,
    /// What is measured, and what the two take.
    pub rows: Vec<(String, [f64; 2])>,
}

impl Bars {
    pub fn draw(&self) -> Result<String> {
        let mut svg = String::new();
        let step = 2 * BAR + 10;
        let top = MARGIN + 2 * LEGEND;
        let height = top + step * self.rows.len() as i32 + MARGIN;
        let canvas = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32));
        let canvas = canvas.into_drawing_area();
        canvas.fill(&WHITE)?;
        let unit = format!("{}: less is better", self.unit);
        text(&canvas, (MARGIN, MARGIN), HPos::Left, TEXT, &unit)?;
        for (number, name) in ["B-tree", "learned index"].into_iter().enumerate() {
            let x = MARGIN + NAMES + 120 * number as i32;
            mark(&canvas, number, (x, MARGIN + LEGEND))?;
            text(&canvas, (x + 10, MARGIN + LEGEND), HPos::Left, TEXT, name)?;
        }
        let most = self.rows.iter().flat_map(|(_, pair)| pair).copied().fold(0.0, f64::max);
        let room = f64::from(WIDTH - 2 * MARGIN - NAMES - NUMBER);
        for (row, (name, pair)) in self.rows.iter().enumerate() {
            let y = top + step * row as i32;
            let left = MARGIN + NAMES;
            text(&canvas, (left - 8, y + BAR), HPos::Right, TEXT, name)?;
            for (number, value) in pair.iter().enumerate() {
                let y = y + BAR * number as i32;
                let end = left + (room * value / most).round() as i32;
                let bar = Rectangle::new([(left, y), (end, y + BAR - 2)], colour(number).filled());
                canvas.draw(&bar)?;
                let value = format!("{value:.2}");
                text(&canvas, (end + 6, y + BAR / 2 - 1), HPos::Left, TEXT, &value)?;
            }
        }
        canvas.present()?;
        drop(canvas);
        Ok(svg)
    }
}

/// A number of an axis: as few characters as tell it from its neighbours.
fn short(value: f64) -> String {
    if value.abs() >= 1e7 {
        format!("{value:.3e}")
    } else {
        format!("{}", (value * 1e3).round() / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_shows_each_point_and_refuses_to_show_nothing() {
        let chart = |points| Chart {
            x: "x",
            y: "y",
            height: 200,
            series: vec![Series { name: "dots", marks: Marks::Dots, points }],
        };
        let svg = chart(vec![(1.0, 2.0), (3.0, 4.0), (5.0, 0.0)]).draw().unwrap();
        // One more names the series.
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(chart(vec![]).draw().is_err() && chart(vec![(1.0, 1.0)]).draw().is_err());
    }

    #[test]
    fn the_longest_bar_has_room_for_its_number() {
        let rows = vec![("a".to_owned(), [20.0, 1.5]), ("b".to_owned(), [10.0, 0.0])];
        let svg = Bars { unit: "bytes", rows }.draw().unwrap();
        for number in [">\n20.00\n<", ">\n1.50\n<", ">\n0.00\n<"] {
            assert!(svg.contains(number), "{number} {svg}");
        }
        let right = WIDTH - MARGIN - NUMBER;
        assert!(svg.contains(&format!("x=\"{}\"", right + 6)), "{svg}");
    }
}
