//! What all pictures share: colours, marks and letters.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Result;

/// Colours that all people tell apart: Okabe and Ito, "Color Universal Design" (2008), less yellow.
pub const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(0, 0, 0),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];
/// Behind every second row.
pub const BAND: RGBColor = RGBColor(244, 244, 244);
/// Of the lines of a grid.
pub const GRID: RGBColor = RGBColor(205, 205, 205);

/// What pictures are drawn on.
pub type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The colour of a series.
pub fn colour(series: usize) -> RGBColor {
    COLOURS[series % COLOURS.len()]
}

/// A mark whose shape and colour stand for a series.
pub fn mark(canvas: &Canvas<'_>, series: usize, at: (i32, i32)) -> Result<()> {
    let style = colour(series).filled();
    match series % 4 {
        0 => canvas.draw(&Circle::new(at, 4, style))?,
        1 => canvas.draw(&TriangleMarker::new(at, 5, style))?,
        2 => canvas.draw(&Rectangle::new([(at.0 - 3, at.1 - 3), (at.0 + 4, at.1 + 4)], style))?,
        _ => canvas.draw(&Cross::new(at, 4, style.stroke_width(2)))?,
    }
    Ok(())
}

/// Text beside, or around, a place at its middle.
pub fn text(canvas: &Canvas<'_>, at: (i32, i32), side: HPos, size: f64, what: &str) -> Result<()> {
    let style = font(size).pos(Pos::new(side, VPos::Center));
    Ok(canvas.draw(&Text::new(what, at, style))?)
}

/// A font whose letters are `size` pixels high. Plotters divides the size by 1.24.
pub fn font(size: f64) -> TextStyle<'static> {
    ("sans-serif", size * 1.24).into()
}
