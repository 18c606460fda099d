//! One plot of lines: axes with labels and units, a grid, and what is drawn on it, as SVG.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::scale::Scale;

/// The width of a character of a label, in pixels, on the safe side.
const CHARACTER_PX: f64 = 7.0;
/// The least distance between two labels, in pixels.
const GAP_PX: f64 = 8.0;
/// Room for the labels of the vertical axis.
const LEFT_PX: f64 = 76.0;
/// Room for half of the last label of the horizontal axis.
const RIGHT_PX: f64 = 26.0;
/// Room for the title above the plot.
const TOP_PX: f64 = 24.0;
/// Room for the labels of the horizontal axis, and for its title.
const BOTTOM_PX: f64 = 42.0;

/// The two widths in which each plot is drawn: text must be readable on a desk and on a telephone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// For windows.
    Wide,
    /// For telephones.
    Narrow,
}

impl Size {
    /// Both.
    pub const BOTH: [Size; 2] = [Size::Wide, Size::Narrow];

    /// In pixels.
    pub fn width(self) -> f64 {
        match self {
            Size::Wide => 920.0,
            Size::Narrow => 350.0,
        }
    }

    /// The style's class that shows it where it fits.
    pub fn class(self) -> &'static str {
        match self {
            Size::Wide => "wide",
            Size::Narrow => "narrow",
        }
    }
}

/// An axis with its labels.
#[derive(Clone)]
pub struct Axis {
    /// Its range.
    pub scale: Scale,
    /// Its ticks.
    pub ticks: Vec<f64>,
    /// A tick's label, with its unit.
    pub label: fn(f64) -> String,
    /// What it shows.
    pub title: &'static str,
}

/// Points of a line, or `None` where it is broken.
pub type Points = Vec<Option<(f64, f64)>>;

/// A line.
pub struct Line {
    /// The style's class of its colour, `s1` to `s4`.
    pub class: &'static str,
    /// Its points, in the axes' values.
    pub points: Points,
}

/// A plot in its picture.
pub struct Plot {
    /// The width of the picture, and of the plot with its labels, in pixels.
    pub width: f64,
    /// Where it begins, from the top of the picture.
    pub top: f64,
    /// The height of the plot itself.
    pub height: f64,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// Whether the horizontal axis is labelled: of several above each other, only the last.
    pub labels_x: bool,
}

impl Plot {
    /// The height of all that is drawn.
    pub fn full_height(&self) -> f64 {
        let bottom = if self.labels_x { BOTTOM_PX } else { 6.0 };
        TOP_PX + self.height + bottom
    }

    /// The horizontal place of a value.
    pub fn at_x(&self, value: f64) -> f64 {
        LEFT_PX + self.x.scale.place(value) * (self.width - LEFT_PX - RIGHT_PX)
    }

    fn at_y(&self, value: f64) -> f64 {
        self.bottom() - self.y.scale.place(value) * self.height
    }

    /// The upper edge of the plot itself.
    pub fn inner_top(&self) -> f64 {
        self.top + TOP_PX
    }

    fn bottom(&self) -> f64 {
        self.inner_top() + self.height
    }

    /// Draws the axes and the lines.
    pub fn draw(&self, lines: &[Line]) -> Markup {
        html! {
            (self.draw_y())
            (self.draw_x())
            @for line in lines {
                path class={ "line " (line.class) } d=(self.path(&line.points)) {}
            }
        }
    }

    fn draw_y(&self) -> Markup {
        let (left, right) = (LEFT_PX, self.width - RIGHT_PX);
        html! {
            text class="title" x="2" y=(px(self.top + 12.0)) { (self.y.title) }
            @for &tick in &self.y.ticks {
                @let y = self.at_y(tick);
                line class="grid" x1=(px(left)) x2=(px(right)) y1=(px(y)) y2=(px(y)) {}
                text class="tick" text-anchor="end" x=(px(left - 6.0)) y=(px(y + 4.0)) { ((self.y.label)(tick)) }
            }
        }
    }

    fn draw_x(&self) -> Markup {
        let bottom = self.bottom();
        html! {
            line class="axis" x1=(px(LEFT_PX)) x2=(px(self.width - RIGHT_PX)) y1=(px(bottom)) y2=(px(bottom)) {}
            @for &tick in &self.x.ticks {
                @let x = px(self.at_x(tick));
                line class="grid" x1=(x) x2=(x) y1=(px(self.inner_top())) y2=(px(bottom)) {}
            }
            @if self.labels_x {
                @for (x, label) in self.labels_that_fit() {
                    text class="tick" text-anchor="middle" x=(px(x)) y=(px(bottom + 16.0)) { (label) }
                }
                text class="title" text-anchor="end" x=(px(self.width - 2.0)) y=(px(bottom + 35.0)) { (self.x.title) }
            }
        }
    }

    /// The labels of the horizontal axis that do not run into the one before.
    fn labels_that_fit(&self) -> Vec<(f64, String)> {
        let mut end = f64::NEG_INFINITY;
        let labels = self.x.ticks.iter().filter_map(|&tick| {
            let (x, label) = (self.at_x(tick), (self.x.label)(tick));
            let half = label.chars().count() as f64 * CHARACTER_PX / 2.0;
            (x - half >= end + GAP_PX).then(|| {
                end = x + half;
                (x, label)
            })
        });
        labels.collect()
    }

    fn path(&self, points: &Points) -> String {
        let mut path = String::new();
        let mut is_drawing = false;
        for point in points {
            if let Some((x, y)) = point {
                let command = if is_drawing { 'L' } else { 'M' };
                // Writing to a string cannot fail.
                let _ = write!(path, "{command}{} {}", px(self.at_x(*x)), px(self.at_y(*y)));
            }
            is_drawing = point.is_some();
        }
        path
    }
}

/// A place in pixels, to a tenth.
pub fn px(value: f64) -> String {
    format!("{value:.1}")
}

/// What the lines of a plot are; a name for each class.
pub fn legend(names: &[(&str, &str)]) -> Markup {
    html! {
        p.legend {
            @for (class, name) in names {
                span { svg width="22" height="8" aria-hidden="true" {
                    path class={ "line " (class) } d="M0 4L22 4" {}
                } " " (name) }
            }
        }
    }
}

/// A picture of the given height in one of the sizes.
pub fn picture(size: Size, height: f64, name: &str, content: &Markup) -> Markup {
    let width = size.width();
    html! {
        svg class=(size.class()) viewBox={ "0 0 " (width) " " (px(height)) } role="img" aria-label=(name) { (content) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::units;

    proptest! {
        #[test]
        fn labels_do_not_overlap_and_the_first_is_there(
            values in prop::collection::vec(1.0..1e9, 1..9),
            narrow: bool, log: bool,
        ) {
            let values = values.into_iter();
            let scale = if log { Scale::log(values) } else { Scale::linear(values) };
            let ticks = scale.ticks(12);
            let axis = Axis { scale, ticks: ticks.clone(), label: units::number, title: "x" };
            let size = if narrow { Size::Narrow } else { Size::Wide };
            let plot = Plot { width: size.width(), top: 0.0, height: 100.0, x: axis.clone(), y: axis, labels_x: true };
            let labels = plot.labels_that_fit();
            prop_assert_eq!(labels[0].0, plot.at_x(ticks[0]));
            for pair in labels.windows(2) {
                let half = |label: &str| label.chars().count() as f64 * CHARACTER_PX / 2.0;
                prop_assert!(pair[0].0 + half(&pair[0].1) < pair[1].0 - half(&pair[1].1));
            }
        }
    }
}
